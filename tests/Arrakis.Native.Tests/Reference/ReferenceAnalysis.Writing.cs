namespace Arrakis.Native.Tests.Reference;

/// <summary>How a threshold turns strengths into a selection.</summary>
public enum ReferenceRule
{
    /// <summary>Strongest first, the shortest prefix that holds threshold × the sum.</summary>
    Share,

    /// <summary>The strongest max(1, ⌊threshold · H⌋).</summary>
    Top,

    /// <summary>All with at least threshold × the strongest.</summary>
    Max,
}

/// <summary>
/// The measures of heads and of flow in double precision, in the most obvious way: dense D×D matrices and explicit loops over heads, queries and keys.
/// Arrays by head and token are [H][T].
/// </summary>
public static partial class ReferenceAnalysis
{
    /// <summary>‖z[t,h] W_O[h]‖₂, [H][T].</summary>
    public static double[][] WriteNorms(ReferenceRun run, int layer) =>
        HeadsByTokens(run, (h, t) => Vec.Norm(run.Row($"blocks.{layer}.attn.hook_result", t, h)));

    /// <summary>⟨c, attn_out⟩ / ‖attn_out‖² with c = z[t,h] W_O[h], [H][T]; sums to 1 over the heads.</summary>
    public static double[][] WriteShares(ReferenceRun run, int layer) => HeadsByTokens(run, (h, t) =>
        Share(run.Row($"blocks.{layer}.attn.hook_result", t, h), run.Row($"blocks.{layer}.hook_attn_out", t)));

    /// <summary>‖Ŵ_V[g(h)] W_O[h]‖_F, from the D×D matrix itself.</summary>
    public static double OvNorm(ReferenceWeights w, int layer, int head) => OV(w, layer, head).FrobeniusNorm();

    /// <summary>The mean of the write norm over the tokens, [H].</summary>
    public static double[] WriteStrengths(ReferenceRun run, int layer) => [.. WriteNorms(run, layer).Select(norms => norms.Average())];

    /// <summary>
    /// The heads that a rule selects, strongest first, ties by lower index. Sums run in that order too, so that a threshold of 1 is met exactly, and not
    /// missed by a rounding; heads of no strength then stay out.
    /// </summary>
    public static int[] Select(double[] strengths, double threshold, ReferenceRule rule = ReferenceRule.Share)
    {
        if (!(threshold > 0 && threshold <= 1))
            throw new ArgumentOutOfRangeException(nameof(threshold), threshold, "must be in (0, 1]");
        int[] order = [.. Enumerable.Range(0, strengths.Length).OrderByDescending(h => strengths[h]).ThenBy(h => h)];
        if (rule == ReferenceRule.Top)
            return order[..Math.Max(1, (int)Math.Floor(threshold * order.Length))];
        if (rule == ReferenceRule.Max)
            return [.. order.Where(h => strengths[h] >= threshold * strengths[order[0]])];

        double all = order.Sum(h => strengths[h]), sum = 0;
        int count = 0;
        while (count < order.Length && sum < threshold * all)
            sum += strengths[order[count++]];
        return order[..count];
    }

    /// <summary>Ŵ_V[g(h)] W_O[h], D×D: what head h moves from a normalised residual into the stream.</summary>
    internal static Matrix OV(ReferenceWeights w, int layer, int head) =>
        w.WV(layer, head).ScaleRows(w.Layers[layer].Norm1) * w.WO(layer, head);

    /// <summary>⟨part, whole⟩ / ‖whole‖²: signed, additive over the parts of a whole.</summary>
    internal static double Share(ReadOnlySpan<double> part, ReadOnlySpan<double> whole) => Vec.Dot(part, whole) / Vec.Dot(whole, whole);

    private static double[][] HeadsByTokens(ReferenceRun run, Func<int, int, double> value) =>
        [.. Enumerable.Range(0, run.Config.NumAttentionHeads).Select(h =>
            Enumerable.Range(0, run.Tokens).Select(t => value(h, t)).ToArray())];
}
