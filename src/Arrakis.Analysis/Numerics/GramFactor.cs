using System.Numerics.Tensors;

namespace Arrakis.Analysis.Numerics;

/// <summary>A factor of a Gram matrix that was summed in float32.</summary>
internal static class GramFactor
{
    // A Gram matrix's entry is off by a few float32 roundings of the two vectors' lengths. Beside a diagonal of ones that is this much, and what is left of the
    // diagonal below it is rounding, not rank.
    private const double Rounding = 4.8e-7;

    /// <summary>
    /// F with FᵀF = M: Cholesky's factor with the largest remaining diagonal taken first (Higham 1990), of M scaled to a diagonal of ones, so that neither the rank
    /// that is found nor the rounding depends on how long the vectors behind M are. What is left when only rounding remains is dropped: rows beyond the rank are zero.
    /// </summary>
    /// <param name="gram">M [n, n], positive semidefinite but for its rounding.</param>
    /// <param name="factor">F [n, n], overwritten.</param>
    public static void Compute(ReadOnlySpan<float> gram, Span<double> factor)
    {
        int n = (int)Math.Sqrt(gram.Length);
        double[] lengths = new double[n], rest = new double[n * n];
        for (int i = 0; i < n; i++)
            lengths[i] = Math.Sqrt(Math.Max(0, gram[i * n + i]));
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < n; j++)
                rest[i * n + j] = lengths[i] == 0 || lengths[j] == 0 ? 0 : gram[i * n + j] / (lengths[i] * lengths[j]);
        }

        factor.Clear();
        for (int rank = 0; rank < n; rank++)
        {
            int pivot = 0;
            for (int i = 1; i < n; i++)
                pivot = rest[i * n + i] > rest[pivot * n + pivot] ? i : pivot;
            double left = rest[pivot * n + pivot];
            if (!(left > Rounding))
                break;
            Span<double> row = factor.Slice(rank * n, n);
            TensorPrimitives.Divide(rest.AsSpan(pivot * n, n), Math.Sqrt(left), row);
            for (int i = 0; i < n; i++)
            {
                Span<double> update = rest.AsSpan(i * n, n);
                TensorPrimitives.MultiplyAdd(row, -row[i], update, update);
            }
        }

        for (int rank = 0; rank < n; rank++)
            TensorPrimitives.Multiply(factor.Slice(rank * n, n), lengths, factor.Slice(rank * n, n));
    }
}
