using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>Where one head looks.</summary>
/// <param name="Layer">Its layer.</param>
/// <param name="Head">The head.</param>
/// <param name="Rows">A[t, s] for s ≤ t, the rows of all queries one after another. [T (T + 1) / 2]</param>
public sealed record AttentionPattern(int Layer, int Head, IReadOnlyList<float> Rows)
{
    // 64 tokens of 32 layers of 32 heads are 2.1 million; at two bytes each, twice that many leave a page of at most 12 MB.
    private const long MostNumbers = 4_300_000;

    internal static (AttentionPattern[] Patterns, double Error) Of(
        ActivationCache cache, LlamaConfig config, FlowReport[] flows, HeadWrites[] writes, List<string> leftOut)
    {
        int tokens = cache.Tokens, layers = config.NumHiddenLayers, heads = config.NumAttentionHeads, all = layers * heads;
        long each = (long)tokens * (tokens + 1) / 2;
        int room = (int)Math.Min(all, MostNumbers / each);
        if (room < all)
            leftOut.Add($"The attention patterns of {all - room} of {all} heads: of {tokens} tokens there is room for {room}. Those that carry the most are shown.");

        IEnumerable<(int Layer, int Head)> kept = Enumerable.Range(0, all).Select(i => (Layer: i / heads, Head: i % heads))
            .OrderByDescending(head => flows.Sum(flow => Math.Abs(flow.Trace.PerLayer[head.Layer].Heads[head.Head])))
            .ThenByDescending(head => writes[head.Layer].Strengths[head.Head])
            .Take(room).Order();
        AttentionPattern[] patterns = [.. kept.Select(head => new AttentionPattern(head.Layer, head.Head, Triangle(cache, head.Layer, head.Head)))];
        return (patterns, Enumerable.Range(0, layers).Max(layer => Error(cache, layer)));
    }

    private static float[] Triangle(ActivationCache cache, int layer, int head)
    {
        int tokens = cache.Tokens, at = 0;
        ReadOnlySpan<float> pattern = cache.Flat(HookPoint.Pattern, layer).Slice(head * tokens * tokens, tokens * tokens);
        float[] rows = new float[tokens * (tokens + 1) / 2];
        for (int t = 0; t < tokens; t++)
        {
            pattern.Slice(t * tokens, t + 1).CopyTo(rows.AsSpan(at));
            at += t + 1;
        }

        return rows;
    }

    private static double Error(ActivationCache cache, int layer)
    {
        ReadOnlySpan<float> pattern = cache.Flat(HookPoint.Pattern, layer);
        double error = 0;
        for (int row = 0; row < pattern.Length; row += cache.Tokens)
        {
            double sum = 0;
            foreach (float weight in pattern.Slice(row, cache.Tokens))
                sum += weight;
            error = Math.Max(error, Math.Abs(sum - 1));
        }

        return error;
    }
}
