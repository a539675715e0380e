namespace Arrakis.Native.Tests.Reference;

/// <summary>The three inputs through which a head reads.</summary>
public enum ReferenceVia
{
    Q,
    K,
    V,
}

/// <summary>Semantics, section 3: what heads take from a direction, or from any part, of the residual stream.</summary>
public static partial class ReferenceAnalysis
{
    private static readonly ReferenceVia[] s_all = [ReferenceVia.Q, ReferenceVia.K, ReferenceVia.V];

    /// <summary>‖(γ∘u) W[h]‖₂ for the unit direction <paramref name="u"/> [D], before the norm.</summary>
    public static double ReadWeight(ReferenceWeights w, int layer, int head, ReferenceVia via, double[] u) =>
        Vec.Norm(Vec.Times(u, w.Layers[layer].Norm1) * Input(w, layer, head, via));

    /// <summary>√(q² + k² + v²) over the chosen inputs, [H].</summary>
    public static double[] ReadStrengths(ReferenceWeights w, int layer, double[] u, params ReferenceVia[] via) =>
        [.. Enumerable.Range(0, w.Config.NumAttentionHeads).Select(h =>
            Math.Sqrt((via.Length == 0 ? s_all : via).Sum(input => Math.Pow(ReadWeight(w, layer, h, input, u), 2))))];

    /// <summary>(x_t·u) u, [T][D]: the component of a layer's residual along the unit direction <paramref name="u"/>.</summary>
    public static double[][] Along(ReferenceRun run, int layer, double[] u) =>
        [.. Enumerable.Range(0, run.Tokens).Select(t => Vec.Scaled(u, Vec.Dot(run.Residual(layer, t), u)))];

    /// <summary>The signed share of q, k or v that comes from the direction, [H][T]: ((x_t·u) u ∘ γ / r_t) W[h] against the whole.</summary>
    public static double[][] ReadShares(ReferenceRun run, int layer, ReferenceVia via, double[] u) =>
        ReadSharesOf(run, layer, via, Along(run, layer, u));

    /// <summary>The same for any part [T][D] of the layer's residual, such as what a traced source has put there.</summary>
    public static double[][] ReadSharesOf(ReferenceRun run, int layer, ReferenceVia via, double[][] part) => HeadsByTokens(run, (h, t) =>
        Share(Through(run, layer, h, via, t, part[t]), Whole(run, layer, h, via, t)));

    /// <summary>The signed share of z[t,h] that comes from the direction across all keys, [H][T].</summary>
    public static double[][] PatternWeightedReadShares(ReferenceRun run, int layer, double[] u) =>
        PatternWeightedReadSharesOf(run, layer, Along(run, layer, u));

    /// <summary>Σ_s A[h,t,s] p_V(s) against z[t,h], for any part [T][D] of the layer's residual.</summary>
    public static double[][] PatternWeightedReadSharesOf(ReferenceRun run, int layer, double[][] part) => HeadsByTokens(run, (h, t) =>
    {
        double[] z = new double[run.Config.HeadDim];
        for (int s = 0; s <= t; s++)
            Vec.AddTo(z, Through(run, layer, h, ReferenceVia.V, s, part[s]), run.Pattern(layer, h, t, s));
        return Share(z, run.Row($"blocks.{layer}.attn.hook_z", t, h));
    });

    /// <summary>(part ∘ γ₁ / r₁[t]) W[h], [K]: a part of the residual at t, seen through the frozen norm and one of the head's inputs.</summary>
    internal static double[] Through(ReferenceRun run, int layer, int head, ReferenceVia via, int token, ReadOnlySpan<double> part)
    {
        double r = run.Row($"blocks.{layer}.ln1.hook_scale", token)[0];
        double[] normed = Vec.Scaled(Vec.Times(part, run.Weights.Layers[layer].Norm1), 1 / r);
        return normed * Input(run.Weights, layer, head, via);
    }

    private static ReadOnlySpan<double> Whole(ReferenceRun run, int layer, int head, ReferenceVia via, int token) => via switch
    {
        ReferenceVia.Q => run.Row($"blocks.{layer}.attn.hook_q", token, head),
        ReferenceVia.K => run.Row($"blocks.{layer}.attn.hook_k", token, run.Weights.KvHead(head)),
        _ => run.Row($"blocks.{layer}.attn.hook_v", token, run.Weights.KvHead(head)),
    };

    private static Matrix Input(ReferenceWeights w, int layer, int head, ReferenceVia via) => via switch
    {
        ReferenceVia.Q => w.WQ(layer, head),
        ReferenceVia.K => w.WK(layer, head),
        _ => w.WV(layer, head),
    };
}
