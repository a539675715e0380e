namespace Arrakis.Native.Tests.Reference;

/// <summary>A dense matrix of doubles, row-major. The plainest thing that can stand for a letter in a formula.</summary>
public sealed class Matrix
{
    public Matrix(int rows, int columns, double[]? data = null)
    {
        Rows = rows;
        Columns = columns;
        Data = data ?? new double[rows * columns];
        if (Data.Length != rows * columns)
            throw new ArgumentException($"{Data.Length} values cannot be a {rows}×{columns} matrix");
    }

    public int Rows { get; }

    public int Columns { get; }

    public double[] Data { get; }

    public double this[int row, int column]
    {
        get => Data[row * Columns + column];
        set => Data[row * Columns + column] = value;
    }

    public ReadOnlySpan<double> Row(int row) => Data.AsSpan(row * Columns, Columns);

    /// <summary>The matrix with entry f(row, column).</summary>
    public static Matrix Build(int rows, int columns, Func<int, int, double> entry)
    {
        var m = new Matrix(rows, columns);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
                m[r, c] = entry(r, c);
        }

        return m;
    }

    public Matrix Transpose() => Build(Columns, Rows, (r, c) => this[c, r]);

    /// <summary>diag(<paramref name="diagonal"/>) · this: a norm's weight folded into what reads from the norm.</summary>
    public Matrix ScaleRows(double[] diagonal) => Build(Rows, Columns, (r, c) => diagonal[r] * this[r, c]);

    /// <summary>√Σ m², the norm of all entries taken as one vector.</summary>
    public double FrobeniusNorm() => Vec.Norm(Data);

    public static Matrix operator *(Matrix a, Matrix b)
    {
        if (a.Columns != b.Rows)
            throw new ArgumentException($"{a.Rows}×{a.Columns} times {b.Rows}×{b.Columns}");
        return Build(a.Rows, b.Columns, (r, c) =>
        {
            double sum = 0;
            for (int k = 0; k < a.Columns; k++)
                sum += a[r, k] * b[k, c];
            return sum;
        });
    }

    /// <summary>The row vector <paramref name="x"/> times a matrix.</summary>
    public static double[] operator *(double[] x, Matrix m)
    {
        if (x.Length != m.Rows)
            throw new ArgumentException($"a row vector of {x.Length} times {m.Rows}×{m.Columns}");
        double[] y = new double[m.Columns];
        for (int r = 0; r < m.Rows; r++)
        {
            for (int c = 0; c < m.Columns; c++)
                y[c] += x[r] * m[r, c];
        }

        return y;
    }
}

/// <summary>Vectors as plain arrays.</summary>
public static class Vec
{
    public static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        if (a.Length != b.Length)
            throw new ArgumentException($"lengths {a.Length} and {b.Length}");
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    /// <summary>‖a‖₂.</summary>
    public static double Norm(ReadOnlySpan<double> a) => Math.Sqrt(Dot(a, a));

    /// <summary>‖a‖₁.</summary>
    public static double Norm1(ReadOnlySpan<double> a)
    {
        double sum = 0;
        foreach (double v in a)
            sum += Math.Abs(v);
        return sum;
    }

    /// <summary>into += factor · a.</summary>
    public static void AddTo(double[] into, ReadOnlySpan<double> a, double factor = 1)
    {
        for (int i = 0; i < into.Length; i++)
            into[i] += factor * a[i];
    }

    public static double[] Scaled(ReadOnlySpan<double> a, double factor)
    {
        double[] b = new double[a.Length];
        AddTo(b, a, factor);
        return b;
    }

    /// <summary>The entrywise product a ∘ b.</summary>
    public static double[] Times(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double[] c = new double[a.Length];
        for (int i = 0; i < c.Length; i++)
            c[i] = a[i] * b[i];
        return c;
    }

    /// <summary>e_i in <paramref name="length"/> dimensions.</summary>
    public static double[] Unit(int length, int i)
    {
        double[] e = new double[length];
        e[i] = 1;
        return e;
    }

    /// <summary>v / ‖v‖.</summary>
    public static double[] Normalised(ReadOnlySpan<double> v) => Scaled(v, 1 / Norm(v));

    /// <summary><paramref name="count"/> zero vectors of <paramref name="length"/>.</summary>
    public static double[][] Zeros(int count, int length) => [.. Enumerable.Range(0, count).Select(_ => new double[length])];
}
