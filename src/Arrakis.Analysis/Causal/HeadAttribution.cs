using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>One head: what the frozen network says that the metric loses without it, and what was measured. What it loses is z less what takes its place.</summary>
/// <param name="Layer">Its layer.</param>
/// <param name="Head">Its number.</param>
/// <param name="Direct">What goes with its write at the metric's position by itself: direct logit attribution, where nothing takes its place.</param>
/// <param name="Frozen">What goes with its writes at all positions, directly and through the layers above, with patterns, norm scales and gates as they were.</param>
/// <param name="Measured">What the metric loses when the head is taken away and everything above it answers.</param>
public readonly record struct AttributedHead(int Layer, int Head, double Direct, double Frozen, double Measured);

/// <summary>
/// The attribution of every head by the frozen network beside its measured effect, in the metric's own units: "what moved" beside "what mattered". Both are of the same
/// change, a head's output for what takes its place: zero, its mean, or samples (of which both are the mean). Where they part, a head worked through what the frozen
/// network keeps still (a pattern, a scale, a gate), or others made up for its loss.
/// </summary>
public sealed class HeadAttribution
{
    private HeadAttribution(CausalMetric metric, AblationKind kind, double baseline, AttributedHead[] heads)
    {
        (Metric, Kind, Baseline, Heads) = (metric, kind, baseline, heads);
        double[] measured = [.. heads.Select(h => h.Measured)];
        DirectCorrelation = RankCorrelation.Spearman([.. heads.Select(h => h.Direct)], measured);
        FrozenCorrelation = RankCorrelation.Spearman([.. heads.Select(h => h.Frozen)], measured);
    }

    /// <summary>What was measured.</summary>
    public CausalMetric Metric { get; }

    /// <summary>What took the heads' place.</summary>
    public AblationKind Kind { get; }

    /// <summary>The metric with every head in place.</summary>
    public double Baseline { get; }

    /// <summary>Every head, by layer and number.</summary>
    public IReadOnlyList<AttributedHead> Heads { get; }

    /// <summary>Spearman's ρ of <see cref="AttributedHead.Direct"/> and <see cref="AttributedHead.Measured"/>; null where either is the same for all.</summary>
    public double? DirectCorrelation { get; }

    /// <summary>Spearman's ρ of <see cref="AttributedHead.Frozen"/> and <see cref="AttributedHead.Measured"/>; null where either is the same for all.</summary>
    public double? FrozenCorrelation { get; }

    /// <summary>Attributes a logit, or a difference of two, and measures it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ids">The input.</param>
    /// <param name="metric">A logit or a difference of logits: the frozen network is linear in nothing else.</param>
    /// <param name="options">How heads are taken away; null for zero.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The metric is another, or what <see cref="HeadAblation.Measure"/> refuses.</exception>
    public static HeadAttribution Measure(
        LlamaModel model, ReadOnlySpan<int> ids, CausalMetric metric, AblationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(metric);
        options ??= new AblationOptions();
        if (!metric.IsLinear)
            throw new ArrakisException($"{metric.Name} is not linear in the logits, which the frozen network is attributed to: use a logit, or the difference of two");
        HeadAblation.Check(ids, options);
        using var sweep = new CausalSweep(model, ids, metric, RecordingPlan.Flow, null, options.Compute, cancellation);
        HeadAblation ablation = HeadAblation.Run(sweep, options, cancellation, out ActivationMeans? instead);
        (double[][] direct, double[][] frozen) = Attribute(model, sweep.Cache, metric, instead, options.Compute, cancellation);
        AttributedHead[] heads = [.. from l in Enumerable.Range(0, ablation.Layers)
                                     from h in Enumerable.Range(0, model.Config.NumAttentionHeads)
                                     select new AttributedHead(l, h, direct[l][h], frozen[l][h], -ablation.Effect(l, h))];
        return new HeadAttribution(metric, options.Kind, ablation.Baseline, heads);
    }

    /// <summary>
    /// Σ_t ⟨z[t, h] − z′[t, h], G_z[t, h]⟩ with G_z the adjoint of the metric, carried down through the frozen network once for all heads; and the same at the metric's
    /// position with the adjoint as it is behind the last layer.
    /// </summary>
    private static unsafe (double[][] Direct, double[][] Frozen) Attribute(
        LlamaModel model, ActivationCache cache, CausalMetric metric, ActivationMeans? instead, AnalysisOptions options, CancellationToken cancellation)
    {
        LlamaConfig c = model.Config;
        int position = metric.Needed(cache.Tokens).First;
        Window rows = new(0, position), last = new(position, position);
        int n = rows.Length, d = c.HiddenSize, q = c.NumAttentionHeads * c.HeadDim;
        using Compute compute = Compute.Rent(model, options, cache.Tokens, Residuals.Depth(c), FrozenNetwork.Floats(c, n) + (long)n * 2 * (d + q) + d);
        var network = new FrozenNetwork(compute, cache, throughMlp: true, n);
        float* post = compute.TakeZeroed((long)n * d), mid = compute.Take((long)n * d), covectors = compute.Take((long)n * q), change = compute.Take((long)n * q);
        float* final = compute.Take(d);
        Covector(compute, cache, metric, position, final, mid);
        new Span<float>(final, d).CopyTo(Compute.Row(post, position, d));
        double[][] direct = new double[c.NumHiddenLayers][], frozen = new double[c.NumHiddenLayers][];
        for (int layer = c.NumHiddenLayers - 1; layer >= 0; layer--)
        {
            cancellation.ThrowIfCancellationRequested();
            var lost = new Span<float>(change, n * q);
            Lost(cache.Flat(HookPoint.Z, layer)[..lost.Length], instead, layer, lost);
            network.HeadCovectors(layer, last, final, covectors);
            direct[layer] = OfHeads(c, lost[^q..], new ReadOnlySpan<float>(covectors, q));
            network.MlpBack(layer, rows, post, mid);
            network.HeadCovectors(layer, rows, mid, covectors);
            frozen[layer] = OfHeads(c, lost, new ReadOnlySpan<float>(covectors, n * q));
            network.AttentionBack(layer, rows, mid, covectors, rows, post);
            Requirements.Finite([.. direct[layer], .. frozen[layer]], "what is attributed to a head");
        }

        return (direct, frozen);
    }

    /// <summary>z − z′ [n, H·K].</summary>
    private static void Lost(ReadOnlySpan<float> z, ActivationMeans? instead, int layer, Span<float> lost)
    {
        z.CopyTo(lost);
        if (instead is null)
            return;
        // A row for all positions, or one for each.
        ReadOnlySpan<float> means = instead.Flat(HookPoint.Z, layer);
        for (int at = 0; at < lost.Length; at += means.Length)
        {
            Span<float> some = lost.Slice(at, Math.Min(means.Length, lost.Length - at));
            TensorPrimitives.Subtract(some, means[..some.Length], some);
        }
    }

    /// <summary>g = γ_final ∘ (W_U[:, v] − W_U[:, w]) / r_final.</summary>
    private static unsafe void Covector(Compute compute, ActivationCache cache, CausalMetric metric, int position, float* g, float* other)
    {
        FlowCovector.OfLogit(compute, cache, position, metric.Tokens[0], g);
        if (metric.Tokens.Length < 2)
            return;
        int d = compute.Config.HiddenSize;
        FlowCovector.OfLogit(compute, cache, position, metric.Tokens[1], other);
        TensorPrimitives.Subtract(Compute.Row(g, 0, d), Compute.Row(other, 0, d), Compute.Row(g, 0, d));
    }

    private static double[] OfHeads(LlamaConfig c, ReadOnlySpan<float> z, ReadOnlySpan<float> covectors)
    {
        int k = c.HeadDim;
        double[] heads = new double[c.NumAttentionHeads];
        for (int at = 0; at < z.Length; at += k)
            heads[at / k % heads.Length] += TensorPrimitives.Dot(z.Slice(at, k), covectors.Slice(at, k));
        return heads;
    }
}
