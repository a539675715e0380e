using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>How a threshold turns the strengths of a layer's heads into a selection.</summary>
public enum SelectionRule
{
    /// <summary>Strongest first, the shortest prefix whose strengths add up to at least threshold × the sum over all heads of the layer.</summary>
    Share,

    /// <summary>The strongest max(1, ⌊threshold · H⌋) heads.</summary>
    Top,

    /// <summary>Every head whose strength is at least threshold × the strongest.</summary>
    Max,
}

/// <summary>A head and how strongly it writes or reads.</summary>
/// <param name="Layer">Its layer, from 0.</param>
/// <param name="Head">Its number in the layer, from 0.</param>
/// <param name="Strength">A norm, in the units of the measure; comparable within a layer.</param>
public readonly record struct HeadStrength(int Layer, int Head, double Strength);

/// <summary>Selecting heads by strength.</summary>
public static class HeadSelection
{
    /// <summary>
    /// The heads that a rule selects, strongest first, ties by the lower index. Sums run in that order too, so that a threshold of 1 is met exactly; a head of no
    /// strength adds nothing and is not selected by <see cref="SelectionRule.Share"/>.
    /// </summary>
    /// <param name="strengths">One of each head, none negative.</param>
    /// <param name="threshold">In (0, 1].</param>
    /// <param name="rule">The rule.</param>
    /// <exception cref="ArrakisException">The threshold is outside (0, 1], or a strength is negative or not a number.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such rule.</exception>
    public static int[] Select(ReadOnlySpan<double> strengths, double threshold = 0.8, SelectionRule rule = SelectionRule.Share)
    {
        if (!(threshold > 0 && threshold <= 1))
            throw new ArrakisException(string.Create(CultureInfo.InvariantCulture, $"the threshold is {threshold}: use a number above 0, up to 1"));
        int[] order = Order(strengths);
        if (order.Length > 0 && strengths[order[^1]] < 0)
            throw new ArrakisException(string.Create(CultureInfo.InvariantCulture, $"the strength of head {order[^1]} is {strengths[order[^1]]}: use norms, which are 0 or more"));
        switch (rule)
        {
            case SelectionRule.Top:
                return order[..Math.Min(order.Length, Math.Max(1, (int)Math.Floor(threshold * order.Length)))];
            case SelectionRule.Max:
                return [.. order.TakeWhile(AtLeast(strengths, threshold))];
            case SelectionRule.Share:
                double all = 0, sum = 0;
                foreach (int head in order)
                    all += strengths[head];
                int count = 0;
                while (count < order.Length && sum < threshold * all)
                    sum += strengths[order[count++]];
                return order[..count];
            default:
                throw new ArgumentOutOfRangeException(nameof(rule), rule, null);
        }
    }

    /// <summary>All heads, strongest first, ties by the lower index.</summary>
    /// <exception cref="ArrakisException">A strength is not a number.</exception>
    public static int[] Order(ReadOnlySpan<double> strengths)
    {
        for (int head = 0; head < strengths.Length; head++)
            Requirements.Finite(strengths.Slice(head, 1), $"the strength of head {head}");

        double[] values = strengths.ToArray();
        int[] order = [.. Enumerable.Range(0, values.Length)];
        Array.Sort(order, (a, b) => values[a] != values[b] ? values[b].CompareTo(values[a]) : a.CompareTo(b));
        return order;
    }

    internal static HeadStrength[] Select(int layer, ReadOnlySpan<double> strengths, double threshold, SelectionRule rule)
    {
        int[] heads = Select(strengths, threshold, rule);
        var selected = new HeadStrength[heads.Length];
        for (int i = 0; i < heads.Length; i++)
            selected[i] = new HeadStrength(layer, heads[i], strengths[heads[i]]);
        return selected;
    }

    private static Func<int, bool> AtLeast(ReadOnlySpan<double> strengths, double threshold)
    {
        double[] values = strengths.ToArray();
        double least = threshold * (values.Length == 0 ? 0 : values.Max());
        return head => values[head] >= least;
    }
}
