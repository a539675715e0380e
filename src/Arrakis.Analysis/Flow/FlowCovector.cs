using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

/// <summary>The covector g that a flow is measured with (<see cref="FlowTarget"/>).</summary>
internal static unsafe class FlowCovector
{
    /// <summary>Floats of working memory.</summary>
    public static long Floats(LlamaConfig c) => (long)c.NumAttentionHeads * c.HeadDim;

    /// <summary>Refuses a target that the flow does not reach.</summary>
    public static void Check(LlamaConfig c, int tokens, int dst, FlowOptions options)
    {
        int end = options.From + options.Layers;
        if (options.Target.TokenId is { } token)
        {
            Requirements.Token(c, token);
            if (end != c.NumHiddenLayers)
                throw new ArrakisException($"a logit is only reached from the last layer: trace {c.NumHiddenLayers - options.From} layers, or take the residual as the target");
        }

        if (options.Target.Score is not { } score)
            return;
        if (end == c.NumHiddenLayers)
            throw new ArrakisException($"no head reads behind the last layer{WhereOneReads(c.NumHiddenLayers - 1, options.From)}");
        Requirements.Head(c, end, score.Head);
        Requirements.Position(tokens, score.Other, score.IsKey ? "query" : "key");
        if (score.IsKey ? score.Other < dst : score.Other > dst)
            throw new ArrakisException($"{(score.IsKey ? $"query {score.Other} comes before its key" : $"key {score.Other} comes after its query")} at {dst}: a token is only read by those after it");
    }

    private static string WhereOneReads(int last, int from) => from < last
        ? $": for a score let the flow end before layer {last}{(from < last - 1 ? " or a lower one" : "")}"
        : last > 0 ? ": for a score start before a lower one" : ", and this model has no other: take the residual or a token's logit as the target";

    /// <summary>Refuses a cache that lacks what the target is made of, or has it changed.</summary>
    public static void RequireRecorded(ActivationCache cache, FlowOptions options, string specification)
    {
        if (options.Target.TokenId is not null)
        {
            Requirements.Recorded(cache, specification, 0, HookPoint.LnFinalScale);
            Requirements.Unchanged(cache, 0, HookPoint.LnFinalNormalized, HookPoint.Logits);
        }

        if (options.Target.Score is { } score)
            Requirements.Recorded(cache, specification, options.From + options.Layers, HookPoint.Ln1Scale, score.IsKey ? HookPoint.Q : HookPoint.K);
    }

    /// <summary>Whether what stands at the destination is asked for: for a share of it, and as the sum of all sources, where that is not the recorded logit.</summary>
    public static bool NeedsStream(ActivationCache cache, FlowOptions options) =>
        options.Target == FlowTarget.Residual || (options.AllSources && (options.Target.TokenId is null || !cache.Contains(HookPoint.Logits)));

    /// <summary>Writes the covector, and returns what all sources add up to, where they are asked for.</summary>
    public static double Of(Compute compute, ActivationCache cache, int dst, FlowOptions options, Span<float> standing, float* covector)
    {
        LlamaConfig c = compute.Config;
        Span<float> g = Compute.Row(covector, 0, c.HiddenSize);
        bool needsStream = NeedsStream(cache, options);
        if (needsStream)
        {
            fixed (float* to = standing)
                new Residuals(compute, cache, 1).Stream(options.From + options.Layers, [dst], to);
        }

        if (options.Target.TokenId is { } token)
        {
            OfLogit(compute, cache, dst, token, covector);
            if (needsStream)
                return TensorPrimitives.Dot<float>(g, standing);
            return options.AllSources ? cache.Flat(HookPoint.Logits)[dst * c.VocabSize + token] : 0;
        }

        if (options.Target.Score is { } score)
        {
            OfScore(compute, cache, dst, options.From + options.Layers, score, covector);
            return needsStream ? TensorPrimitives.Dot<float>(g, standing) : 0;
        }

        double square = Shares.Dot(standing, standing);
        Requirements.Finite([square], $"the residual stream at position {dst}");
        if (square == 0)
            throw new ArrakisException($"nothing stands at position {dst} before layer {options.From + options.Layers}: there is no share of it; take another destination");
        for (int i = 0; i < g.Length; i++)
            g[i] = (float)(standing[i] / square);
        return 1;
    }

    /// <summary>(γ_final ∘ W_U[:, v]) / r_final: a logit's covector.</summary>
    public static void OfLogit(Compute compute, ActivationCache cache, int position, int token, float* covector)
    {
        Span<float> g = Compute.Row(covector, 0, compute.Config.HiddenSize);
        compute.Widen(compute.Model.Weights.Unembedding, token, 1, covector);
        TensorPrimitives.Multiply(g, compute.Model.Weights.FinalNorm, g);
        TensorPrimitives.Divide(g, cache.Flat(HookPoint.LnFinalScale)[position], g);
    }

    // The score is (R_t q)·(R_s k) = (R_(t−s) q)·k = q·(R_(s−t) k): the other side, turned by how far it is from this one, back through this side's projection.
    private static void OfScore(Compute compute, ActivationCache cache, int dst, int layer, FlowScore score, float* covector)
    {
        LlamaConfig c = compute.Config;
        int k = c.HeadDim, group = c.HeadsPerKeyValueHead;
        int own = score.IsKey ? score.Head / group : score.Head, other = score.IsKey ? score.Head : score.Head / group;
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        (WeightMatrix matrix, HookPoint point) = score.IsKey ? (w.Key, HookPoint.Q) : (w.Query, HookPoint.K);
        int heads = matrix.Rows / k, others = score.IsKey ? c.NumAttentionHeads : c.NumKeyValueHeads;

        double[] side = new double[k], turns = new double[k];
        TensorPrimitives.ConvertChecked(cache.Flat(point, layer).Slice((score.Other * others + other) * k, k), side);
        Turns.Fill(turns, score.Other - dst, compute.Model.Rotary.Frequencies);
        Turns.Apply(side, turns, c.RotaryLayout);

        float* rows = compute.Take((long)heads * k);
        Span<float> row = Compute.Row(rows, 0, heads * k);
        row.Clear();
        for (int i = 0; i < k; i++)
            row[own * k + i] = (float)(side[i] / Math.Sqrt(k));
        compute.ProjectBack(rows, 1, matrix, covector);
        compute.Normed(covector, w.AttentionNorm, cache.Flat(HookPoint.Ln1Scale, layer).Slice(dst, 1), covector, 1);
    }
}
