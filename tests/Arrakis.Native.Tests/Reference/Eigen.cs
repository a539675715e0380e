using System.Numerics;

namespace Arrakis.Native.Tests.Reference;

/// <summary>Eigenvalues of small dense matrices, by the two textbook methods.</summary>
public static class Eigen
{
    /// <summary>Eigenvalues of a symmetric matrix, largest first, by cyclic Jacobi rotations (Golub and Van Loan, 8.5).</summary>
    public static double[] Symmetric(Matrix symmetric)
    {
        int n = symmetric.Rows;
        Matrix a = Matrix.Build(n, n, (r, c) => symmetric[r, c]);
        double whole = a.FrobeniusNorm();
        // Quadratic convergence: some eight sweeps are usual, forty never reached.
        for (int sweep = 0; sweep < 40 && OffDiagonal(a) > 1e-15 * whole; sweep++)
        {
            for (int p = 0; p < n; p++)
            {
                for (int q = p + 1; q < n; q++)
                    Rotate(a, p, q);
            }
        }

        return [.. Enumerable.Range(0, n).Select(i => a[i, i]).OrderDescending()];
    }

    /// <summary>σ²(a), largest first: the eigenvalues of a aᵀ.</summary>
    public static double[] SquaredSingularValues(Matrix a) => [.. Symmetric(a * a.Transpose()).Select(v => Math.Max(0, v))];

    private static double OffDiagonal(Matrix a)
    {
        double sum = 0;
        for (int r = 0; r < a.Rows; r++)
        {
            for (int c = 0; c < a.Columns; c++)
                sum += r == c ? 0 : a[r, c] * a[r, c];
        }

        return Math.Sqrt(sum);
    }

    /// <summary>Turns a[p, q] to zero.</summary>
    private static void Rotate(Matrix a, int p, int q)
    {
        if (a[p, q] == 0)
            return;
        double tau = (a[q, q] - a[p, p]) / (2 * a[p, q]);
        double t = (tau >= 0 ? 1 : -1) / (Math.Abs(tau) + Math.Sqrt(1 + tau * tau));
        double c = 1 / Math.Sqrt(1 + t * t), s = t * c;
        for (int i = 0; i < a.Rows; i++)
            (a[i, p], a[i, q]) = (c * a[i, p] - s * a[i, q], s * a[i, p] + c * a[i, q]);
        for (int i = 0; i < a.Rows; i++)
            (a[p, i], a[q, i]) = (c * a[p, i] - s * a[q, i], s * a[p, i] + c * a[q, i]);
    }

    /// <summary>Eigenvalues of any square matrix, in no order, by shifted QR steps in complex arithmetic with deflation of the last row.</summary>
    public static Complex[] General(Matrix matrix)
    {
        int n = matrix.Rows;
        Complex[,] a = new Complex[n, n];
        for (int r = 0; r < n; r++)
        {
            for (int c = 0; c < n; c++)
                a[r, c] = matrix[r, c];
        }

        double negligible = 1e-14 * matrix.FrobeniusNorm();
        Complex[] values = new Complex[n];
        for (int m = n, step = 0; m > 0;)
        {
            double last = Enumerable.Range(0, m - 1).Sum(c => a[m - 1, c].Magnitude);
            if (last <= negligible)
            {
                values[--m] = a[m, m];
                step = 0;
                continue;
            }

            if (++step > 300)
                throw new InvalidOperationException($"no convergence: {last} left in row {m - 1}");
            // An odd shift now and then, never the same, gets a cycle out of its rut.
            Step(a, m, step % 11 == 0 ? Complex.FromPolarCoordinates(last, step) : Shift(a, m));
        }

        return values;
    }

    /// <summary>Wilkinson's: the eigenvalue of the last 2×2 block that is closer to its last entry.</summary>
    private static Complex Shift(Complex[,] a, int m)
    {
        (Complex p, Complex q, Complex r, Complex s) = (a[m - 2, m - 2], a[m - 2, m - 1], a[m - 1, m - 2], a[m - 1, m - 1]);
        Complex half = (p + s) / 2, root = Complex.Sqrt((p - s) * (p - s) / 4 + q * r);
        return ((half + root - s).Magnitude < (half - root - s).Magnitude) ? half + root : half - root;
    }

    /// <summary>A − μ = QR, A ← RQ + μ on the leading m×m block, with Q made of Givens rotations.</summary>
    private static void Step(Complex[,] a, int m, Complex shift)
    {
        for (int i = 0; i < m; i++)
            a[i, i] -= shift;
        var rotations = new List<(int J, int I, Complex C, Complex S)>();
        for (int j = 0; j < m; j++)
        {
            for (int i = j + 1; i < m; i++)
            {
                double r = Math.Sqrt(Square(a[j, j]) + Square(a[i, j]));
                if (a[i, j] == Complex.Zero || r == 0)
                    continue;
                (Complex c, Complex s) = (a[j, j] / r, a[i, j] / r);
                for (int k = 0; k < m; k++)
                    (a[j, k], a[i, k]) = (Complex.Conjugate(c) * a[j, k] + Complex.Conjugate(s) * a[i, k], c * a[i, k] - s * a[j, k]);
                rotations.Add((j, i, c, s));
            }
        }

        foreach ((int j, int i, Complex c, Complex s) in rotations)
        {
            for (int k = 0; k < m; k++)
                (a[k, j], a[k, i]) = (a[k, j] * c + a[k, i] * s, a[k, i] * Complex.Conjugate(c) - a[k, j] * Complex.Conjugate(s));
        }

        for (int i = 0; i < m; i++)
            a[i, i] += shift;
    }

    private static double Square(Complex z) => z.Real * z.Real + z.Imaginary * z.Imaginary;
}
