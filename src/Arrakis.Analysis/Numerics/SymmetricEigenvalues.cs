using System.Numerics.Tensors;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// Eigenvalues of a small symmetric matrix in double precision: reflections make it tridiagonal, then implicit QR steps with Wilkinson's shift take the
/// eigenvalues off its end (Golub and Van Loan, Matrix Computations, 8.3). Each is right to a few roundings of the largest.
/// </summary>
internal static class SymmetricEigenvalues
{
    // Two or three steps an eigenvalue are usual; the shift is proven to converge, so that reaching this is a fault of ours.
    private const int StepsPerValue = 50;

    /// <summary>Finds all eigenvalues.</summary>
    /// <param name="a">[n, n], symmetric and finite; overwritten.</param>
    /// <param name="values">[n], largest first.</param>
    public static void Solve(Span<double> a, Span<double> values)
    {
        // off[i] stands between values[i] and values[i + 1]; the last place is only for the reduction to work in.
        double[] off = new double[values.Length];
        Tridiagonalise(a, values, off);
        Diagonalise(values, off);
        values.Sort();
        values.Reverse();
    }

    /// <summary>I − βvvᵀ from both sides, a column at a time: with p = βAv and w = p − (β/2)(pᵀv)v, A becomes A − vwᵀ − wvᵀ.</summary>
    private static void Tridiagonalise(Span<double> a, Span<double> diagonal, Span<double> off)
    {
        int n = diagonal.Length;
        for (int k = 0; k < n - 1; k++)
        {
            diagonal[k] = a[k * n + k];
            Span<double> v = a.Slice(k * n + k + 1, n - k - 1), w = off[(k + 1)..];
            double norm = TensorPrimitives.Norm<double>(v);
            if (norm == 0 || v.Length == 1)
            {
                off[k] = v[0];
                continue;
            }

            // Away from v[0], so that nothing cancels.
            off[k] = v[0] > 0 ? -norm : norm;
            v[0] -= off[k];
            double beta = 2 / TensorPrimitives.SumOfSquares<double>(v);
            for (int i = 0; i < v.Length; i++)
                w[i] = beta * TensorPrimitives.Dot<double>(a.Slice((k + 1 + i) * n + k + 1, v.Length), v);
            TensorPrimitives.MultiplyAdd(v, -beta / 2 * TensorPrimitives.Dot<double>(w, v), w, w);
            for (int i = 0; i < v.Length; i++)
            {
                Span<double> row = a.Slice((k + 1 + i) * n + k + 1, v.Length);
                TensorPrimitives.MultiplyAdd(w, -v[i], row, row);
                TensorPrimitives.MultiplyAdd(v, -w[i], row, row);
            }
        }

        if (n > 0)
            diagonal[n - 1] = a[n * n - 1];
    }

    private static void Diagonalise(Span<double> diagonal, Span<double> off)
    {
        int last = diagonal.Length - 1;
        if (last < 1)
            return;
        off[last] = 0;
        // A few roundings of the norm: between two values that are one but for rounding the shift is known no better, and nothing smaller would go away.
        double negligible = Math.ScaleB(TensorPrimitives.Norm<double>(diagonal) + TensorPrimitives.Norm<double>(off), -52);
        for (int steps = StepsPerValue * diagonal.Length; last > 0;)
        {
            if (Math.Abs(off[last - 1]) <= negligible)
            {
                last--;
                continue;
            }

            int first = last - 1;
            while (first > 0 && Math.Abs(off[first - 1]) > negligible)
                first--;
            if (steps-- == 0)
                throw new InvalidOperationException("the eigenvalues of a symmetric matrix do not converge: it is not finite");
            Step(diagonal, off, first, last);
        }
    }

    /// <summary>One implicit QR step on rows first … last: a bulge, made by the shift, is chased down the diagonal by rotations.</summary>
    private static void Step(Span<double> diagonal, Span<double> off, int first, int last)
    {
        double half = (diagonal[last - 1] - diagonal[last]) / 2, end = off[last - 1];
        double root = Math.Sqrt(half * half + end * end);
        double x = diagonal[first] - (diagonal[last] - end * end / (half + (half < 0 ? -root : root))), z = off[first];
        for (int k = first; k < last; k++)
        {
            double r = Math.Sqrt(x * x + z * z);
            (double c, double s) = r == 0 ? (1, 0) : (x / r, z / r);
            if (k > first)
                off[k - 1] = r;
            double a = diagonal[k], b = diagonal[k + 1], e = off[k];
            diagonal[k] = c * c * a + 2 * c * s * e + s * s * b;
            diagonal[k + 1] = s * s * a - 2 * c * s * e + c * c * b;
            off[k] = c * s * (b - a) + (c - s) * (c + s) * e;
            if (k + 1 == last)
                return;
            x = off[k];
            z = s * off[k + 1];
            off[k + 1] *= c;
        }
    }
}
