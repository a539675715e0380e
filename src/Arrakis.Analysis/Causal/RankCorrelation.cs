using System.Numerics.Tensors;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>How far two measures order the same things alike (Spearman 1904): the correlation of ranks, equal values sharing the mean of theirs.</summary>
public static class RankCorrelation
{
    /// <summary>Spearman's ρ: 1 for the same order, −1 for the opposite one; null where either measure has a single value.</summary>
    /// <param name="a">One measure.</param>
    /// <param name="b">The other, of the same things in the same order.</param>
    /// <exception cref="ArgumentException">They differ in length.</exception>
    /// <exception cref="ArrakisException">One of them holds NaN.</exception>
    public static double? Spearman(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        if (a.Length != b.Length)
            throw new ArgumentException($"{a.Length} and {b.Length} values cannot be paired", nameof(b));
        if (TensorPrimitives.IsNaNAny(a) || TensorPrimitives.IsNaNAny(b))
            throw new ArrakisException("a measure holds NaN, which has no rank: leave the pair out, or find out where it comes from");
        double[] x = Ranks(a), y = Ranks(b);
        double mean = (a.Length + 1) / 2.0, xy = 0, xx = 0, yy = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double dx = x[i] - mean, dy = y[i] - mean;
            (xy, xx, yy) = (xy + dx * dy, xx + dx * dx, yy + dy * dy);
        }

        return xx > 0 && yy > 0 ? xy / Math.Sqrt(xx * yy) : null;
    }

    private static double[] Ranks(ReadOnlySpan<double> values)
    {
        double[] sorted = values.ToArray(), ranks = new double[values.Length];
        int[] order = [.. Enumerable.Range(0, ranks.Length)];
        Array.Sort(sorted, order);
        for (int start = 0, end; start < order.Length; start = end)
        {
            for (end = start + 1; end < order.Length && sorted[end] == sorted[start];)
                end++;
            for (int i = start; i < end; i++)
                ranks[order[i]] = (start + 1 + end) / 2.0;
        }

        return ranks;
    }
}
