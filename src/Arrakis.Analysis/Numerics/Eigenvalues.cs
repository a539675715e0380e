using System.Numerics;
using System.Numerics.Tensors;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// Eigenvalues of a small real matrix of any kind, in double precision: balanced by powers of two, made Hessenberg by reflections, then Francis' implicit double
/// steps, which keep complex pairs in real arithmetic (Golub and Van Loan, Matrix Computations, 7.4 and 7.5). They are those of a matrix that differs from the
/// given one by roundings of its norm: an eigenvalue of a defective matrix, a block of m, may be off by the m-th root of that.
/// </summary>
internal static class Eigenvalues
{
    // Two or three steps an eigenvalue are usual.
    private const int StepsPerValue = 100;

    /// <summary>Finds all eigenvalues.</summary>
    /// <param name="a">[n, n], finite; overwritten.</param>
    /// <param name="values">[n], in no order but that a complex pair stands together.</param>
    public static void Solve(Span<double> a, Span<Complex> values)
    {
        int n = values.Length;
        Balance(a, n);
        MakeHessenberg(a, n);
        double negligible = Math.ScaleB(TensorPrimitives.Norm<double>(a), -52);
        for (int last = n - 1, steps = 0; last >= 0;)
        {
            int first = last;
            while (first > 0 && Math.Abs(a[first * n + first - 1]) > negligible)
                first--;
            if (first >= last - 1)
            {
                if (first == last)
                    values[last] = a[last * n + last];
                else
                    Pair(a[first * n + first], a[first * n + last], a[last * n + first], a[last * n + last], out values[first], out values[last]);
                last = first - 1;
                steps = 0;
                continue;
            }

            if (++steps > StepsPerValue)
                throw new InvalidOperationException("the eigenvalues of a matrix do not converge: it is not finite");
            Step(a, n, first, last, strange: steps % 10 == 0);
        }
    }

    /// <summary>
    /// Scales rows and columns against each other (a similarity) until each index's row is about as long as its column, so that a negligible entry is one beside all
    /// others. Powers of two: nothing is rounded.
    /// </summary>
    private static void Balance(Span<double> a, int n)
    {
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int i = 0; i < n; i++)
            {
                double row = 0, column = 0;
                for (int j = 0; j < n; j++)
                {
                    row += j == i ? 0 : Math.Abs(a[i * n + j]);
                    column += j == i ? 0 : Math.Abs(a[j * n + i]);
                }

                if (row == 0 || column == 0)
                    continue;
                double factor = Math.ScaleB(1, (int)Math.Round(Math.Log2(row / column) / 2));
                if (column * factor + row / factor >= 0.95 * (row + column))
                    continue;
                changed = true;
                for (int j = 0; j < n; j++)
                {
                    a[i * n + j] /= factor;
                    a[j * n + i] *= factor;
                }
            }
        }
    }

    /// <summary>Zeroes what is below the first subdiagonal, a column at a time: (I − βvvᵀ) A (I − βvvᵀ).</summary>
    private static void MakeHessenberg(Span<double> a, int n)
    {
        double[] reflector = new double[n], mixed = new double[n];
        for (int k = 0; k < n - 2; k++)
        {
            Span<double> v = reflector.AsSpan(0, n - k - 1), w = mixed.AsSpan(0, n - k);
            for (int i = 0; i < v.Length; i++)
                v[i] = a[(k + 1 + i) * n + k];
            double norm = TensorPrimitives.Norm<double>(v);
            if (norm == 0)
                continue;
            // Away from v[0], so that nothing cancels.
            v[0] += v[0] > 0 ? norm : -norm;
            double beta = 2 / TensorPrimitives.SumOfSquares<double>(v);
            w.Clear();
            for (int i = 0; i < v.Length; i++)
                TensorPrimitives.MultiplyAdd(a.Slice((k + 1 + i) * n + k, w.Length), v[i], w, w);
            for (int i = 0; i < v.Length; i++)
            {
                Span<double> row = a.Slice((k + 1 + i) * n + k, w.Length);
                TensorPrimitives.MultiplyAdd(w, -beta * v[i], row, row);
            }

            for (int i = 0; i < n; i++)
            {
                Span<double> row = a.Slice(i * n + k + 1, v.Length);
                TensorPrimitives.MultiplyAdd(v, -beta * TensorPrimitives.Dot<double>(row, v), row, row);
            }

            for (int i = k + 2; i < n; i++)
                a[i * n + k] = 0;
        }
    }

    /// <summary>
    /// One double step on rows first … last, three or more: the first column of (H − μ₁)(H − μ₂), μ the eigenvalues of the last 2×2 block, makes a bulge of three
    /// rows, which is chased down the subdiagonal. Only the block itself is kept: its eigenvalues do not depend on what stands beside it.
    /// </summary>
    private static void Step(Span<double> h, int n, int first, int last, bool strange)
    {
        double sum = h[(last - 1) * n + last - 1] + h[last * n + last];
        double product = h[(last - 1) * n + last - 1] * h[last * n + last] - h[(last - 1) * n + last] * h[last * n + last - 1];
        if (strange)
        {
            // Shifts of a size that is right and a value that is not get a cycle out of its rut: a permutation, say, which is its own QR step.
            double size = Math.Abs(h[last * n + last - 1]) + Math.Abs(h[(last - 1) * n + last - 2]);
            (sum, product) = (1.5 * size, size * size);
        }

        double corner = h[first * n + first], below = h[(first + 1) * n + first];
        double x = corner * corner + h[first * n + first + 1] * below - sum * corner + product;
        double y = below * (corner + h[(first + 1) * n + first + 1] - sum);
        double z = below * h[(first + 2) * n + first + 1];
        for (int k = first; k < last; k++)
        {
            Reflect(h, n, k, x, y, k + 2 <= last ? z : 0, first, last);
            x = h[(k + 1) * n + k];
            y = k + 2 <= last ? h[(k + 2) * n + k] : 0;
            z = k + 3 <= last ? h[(k + 3) * n + k] : 0;
        }
    }

    /// <summary>Turns (x, y, z), in rows k … k + 2 of column k − 1, into one number, from both sides; z is 0 where the block has only rows k and k + 1 left.</summary>
    private static void Reflect(Span<double> h, int n, int k, double x, double y, double z, int first, int last)
    {
        double norm = Math.Sqrt(x * x + y * y + z * z);
        if (norm == 0)
            return;
        double head = x > 0 ? x + norm : x - norm;
        double beta = 2 / (head * head + y * y + z * z);
        bool three = k + 2 <= last;
        if (k > first)
        {
            h[k * n + k - 1] = x > 0 ? -norm : norm;
            h[(k + 1) * n + k - 1] = 0;
            if (three)
                h[(k + 2) * n + k - 1] = 0;
        }

        for (int j = k; j <= last; j++)
        {
            double dot = beta * (head * h[k * n + j] + y * h[(k + 1) * n + j] + (three ? z * h[(k + 2) * n + j] : 0));
            h[k * n + j] -= dot * head;
            h[(k + 1) * n + j] -= dot * y;
            if (three)
                h[(k + 2) * n + j] -= dot * z;
        }

        for (int i = first; i <= Math.Min(k + 3, last); i++)
        {
            Span<double> row = h.Slice(i * n + k, three ? 3 : 2);
            double dot = beta * (head * row[0] + y * row[1] + (three ? z * row[2] : 0));
            row[0] -= dot * head;
            row[1] -= dot * y;
            if (three)
                row[2] -= dot * z;
        }
    }

    /// <summary>The eigenvalues of [a b; c d].</summary>
    private static void Pair(double a, double b, double c, double d, out Complex one, out Complex other)
    {
        double half = (a - d) / 2, discriminant = half * half + b * c;
        if (discriminant < 0)
        {
            one = new Complex(d + half, Math.Sqrt(-discriminant));
            other = Complex.Conjugate(one);
            return;
        }

        // The larger root without cancellation, the other from the product of both, which is −bc.
        double root = Math.Sqrt(discriminant), far = half < 0 ? half - root : half + root;
        one = d + far;
        other = far == 0 ? d : d - b * c / far;
    }
}
