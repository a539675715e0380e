using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;

namespace Arrakis.Analysis;

/// <summary>What every head on a route writes and reads, at the destination and where its strongest edge ends.</summary>
internal static unsafe class FlowRoles
{
    private const double Threshold = 0.8;

    /// <summary>Every head of every layer on the route, the lowest layer first.</summary>
    public static FlowHead[] Of(Compute compute, ActivationCache cache, FlowSweeps sweeps, FlowLayer[] cuts, FlowEdges edges, CancellationToken cancellation)
    {
        LlamaConfig c = compute.Config;
        int rows = cuts.Select((_, i) => sweeps.Keys(i).Length).Max();
        float* normed = compute.Take((long)rows * c.HiddenSize), keys = compute.Take((long)rows * c.NumKeyValueHeads * c.HeadDim);
        var heads = new List<FlowHead>();
        for (int i = 0; i < cuts.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            heads.AddRange(Of(compute, cache, sweeps, i, cuts[i], edges, normed, keys));
        }

        return [.. heads];
    }

    /// <summary>Floats of working memory.</summary>
    public static long Floats(LlamaConfig c, int rows) => (long)rows * (c.HiddenSize + c.NumKeyValueHeads * c.HeadDim);

    private static FlowHead[] Of(
        Compute compute, ActivationCache cache, FlowSweeps sweeps, int i, FlowLayer cut, FlowEdges edges, float* normed, float* keys)
    {
        LlamaConfig c = compute.Config;
        int layer = sweeps.From + i, heads = c.NumAttentionHeads, destination = sweeps.Queries(sweeps.Layers - 1).Last;
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        compute.Normed(sweeps.Pre(i), w.AttentionNorm, cache.Flat(HookPoint.Ln1Scale, layer).Slice(sweeps.Keys(i).First, sweeps.Keys(i).Length), normed, sweeps.Keys(i).Length);
        compute.Project(normed, sweeps.Keys(i).Length, w.Key, keys);

        var found = new FlowHead[heads];
        double[] written = new double[heads], read = new double[heads];
        for (int h = 0; h < heads; h++)
        {
            int query = edges.Strongest(layer, h)?.Query ?? destination;
            written[h] = WriteNorm(compute, cache, layer, h, query);
            double q = QueryShare(compute, cache, sweeps, i, h, query, normed);
            (double k, double v) = KeyAndValueShares(compute, cache, sweeps, i, h, query, keys);
            read[h] = Math.Sqrt(q * q + k * k + v * v);
            double atDestination = query == destination ? written[h] : WriteNorm(compute, cache, layer, h, destination);
            found[h] = new FlowHead(layer, h, cut.Heads[h], atDestination, query, written[h], q, k, v, HeadRoles.None);
        }

        Name(found, written, HeadRoles.Writer);
        Name(found, read, HeadRoles.Reader);
        return found;
    }

    // A head that carries nothing is not on the route, whatever else it writes or reads.
    private static void Name(FlowHead[] heads, double[] strengths, HeadRoles role)
    {
        foreach (int h in HeadSelection.Select(strengths, Threshold))
        {
            if (heads[h].Flow != 0)
                heads[h] = heads[h] with { Role = heads[h].Role | role };
        }
    }

    private static double WriteNorm(Compute compute, ActivationCache cache, int layer, int head, int query)
    {
        int heads = compute.Config.NumAttentionHeads, k = compute.Config.HeadDim;
        float[] grams = ModelGrams.Of(compute.Model).Get(compute, layer, Projection.Output);
        float square;
        fixed (float* gram = grams, z = cache.Flat(HookPoint.Z, layer))
            compute.QuadraticForms(z + ((nint)query * heads + head) * k, k, 1, 1, gram + (nint)head * k * k, &square);
        return Math.Sqrt(Math.Max(0, square));
    }

    private static double QueryShare(Compute compute, ActivationCache cache, FlowSweeps sweeps, int i, int head, int query, float* normed)
    {
        LlamaConfig c = compute.Config;
        Window at = sweeps.Keys(i);
        if (query < at.First || query > at.Last)
            return 0;
        int k = c.HeadDim;
        float* part = stackalloc float[k];
        compute.Apply(compute.Model.Weights.Layers[sweeps.From + i].Query, head * k, k, normed + (nint)(query - at.First) * c.HiddenSize, part);
        return Shares.Of(new(part, k), cache.Flat(HookPoint.Q, sweeps.From + i).Slice((query * c.NumAttentionHeads + head) * k, k));
    }

    private static (double Key, double Value) KeyAndValueShares(Compute compute, ActivationCache cache, FlowSweeps sweeps, int i, int head, int query, float* keys)
    {
        LlamaConfig c = compute.Config;
        int k = c.HeadDim, layer = sweeps.From + i, heads = c.NumKeyValueHeads, g = head / c.HeadsPerKeyValueHead;
        Window at = sweeps.Keys(i);
        ReadOnlySpan<float> pattern = cache.Flat(HookPoint.Pattern, layer).Slice((head * cache.Tokens + query) * cache.Tokens, query + 1);
        ReadOnlySpan<float> whole = cache.Flat(HookPoint.K, layer);
        Span<float> mixed = stackalloc float[k];
        mixed.Clear();
        double key = 0;
        for (int s = at.First; s <= Math.Min(query, at.Last); s++)
        {
            int row = (s - at.First) * heads + g;
            key += pattern[s] * Shares.Of(Compute.Row(keys, row, k), whole.Slice((s * heads + g) * k, k));
            TensorPrimitives.MultiplyAdd(Compute.Row(sweeps.Values(i), row, k), pattern[s], mixed, mixed);
        }

        return (key, Shares.Of(mixed, cache.Flat(HookPoint.Z, layer).Slice((query * c.NumAttentionHeads + head) * k, k)));
    }
}
