using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// Traces how information flows from one position to another: the decomposition into paths of Elhage et al. 2021, with patterns, norm scales and
/// SiLU(gate) frozen at the run. Two sweeps over the layers give every edge; their cost is that of about two forward passes without queries, keys and attention scores.
/// </summary>
public static unsafe class FlowTracer
{
    // Every beginning of a path that a search keeps has a stream of its own in memory.
    internal const int MostPaths = 1 << 16;

    /// <summary>Traces the flow from the residual stream at <paramref name="src"/> to <paramref name="dst"/>.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">
    /// A run of it from its beginning, recorded with <c>flow</c>; <c>heads</c> is enough for <see cref="MlpTreatment.Source"/> without all sources, where the flow ends
    /// before the last layer or in a token.
    /// </param>
    /// <param name="src">The position it starts from.</param>
    /// <param name="dst">The position at which it is measured; not before <paramref name="src"/>.</param>
    /// <param name="options">What to trace; null for the defaults: two layers from the bottom, through frozen MLPs, as a share of the residual.</param>
    /// <param name="cancellation">Looked at before every layer.</param>
    /// <exception cref="ArrakisException">
    /// A position, layer or token that there is not; src after dst; a token's logit before the last layer, or a score after it; nothing stands at the destination; the cache is of another
    /// model, continues a sequence, was changed by an intervention at what is not frozen, or lacks a hook point (the message names a recording that has it); or the run holds values
    /// that are not finite.
    /// </exception>
    public static FlowTrace Trace(
        LlamaModel model, ActivationCache cache, int src, int dst, FlowOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new FlowOptions();
        Check(model, cache, src, dst, options);
        LlamaConfig c = model.Config;
        bool throughMlp = options.Mlp == MlpTreatment.Frozen;
        int tokens = cache.Tokens, layers = options.Layers, rows = options.AllSources ? dst + 1 : dst - src + 1;
        int breadth = FlowPathSearch.Breadth(c, options, dst - src + 1);
        int depth = Math.Max(Math.Max(c.HiddenSize, c.IntermediateSize), c.NumAttentionHeads * c.HeadDim);
        long floats = FrozenNetwork.Floats(c, dst + 1) + FlowSweeps.Floats(c, layers, rows) + (options.AllSources ? FlowSweeps.Floats(c, layers, dst + 1) : 0)
            + FlowPathSearch.Floats(c, breadth) + Residuals.Floats(c, options.AllSources ? dst + 2 : 1) + FlowRoles.Floats(c, rows) + FlowCovector.Floats(c) + (FlowEdges.BlockQueries + 4L) * tokens + 16L * c.HiddenSize;
        using Compute compute = Compute.Rent(model, options.Compute, Math.Max(tokens, breadth), depth, floats);
        var network = new FrozenNetwork(compute, cache, throughMlp, dst + 1);

        float* target = compute.Take(c.HiddenSize);
        Span<float> standing = Compute.Row(compute.Take(c.HiddenSize), 0, c.HiddenSize);
        double expected = FlowCovector.Of(compute, cache, dst, options, standing, target);

        var sweeps = new FlowSweeps(compute, cache, network, options.From, layers, src, src, dst);
        Start(cache, options, src, Compute.Row(sweeps.Pre(0), 0, c.HiddenSize));
        Compute.Row(target, 0, c.HiddenSize).CopyTo(Compute.Row(sweeps.Covector(layers), 0, c.HiddenSize));
        sweeps.Forward(cancellation);
        sweeps.Backward(cancellation);

        double total = sweeps.Total;
        Requirements.Finite([total], "the flow");
        var edges = new FlowEdges(compute.Take((long)FlowEdges.BlockQueries * tokens), options.Edges);
        FlowLayer[] cuts = Cuts(sweeps, edges, cancellation);
        FlowHead[] heads = FlowRoles.Of(compute, cache, sweeps, cuts, edges, cancellation);
        (FlowPath[] paths, bool exhaustive) = Paths(compute, cache, sweeps, throughMlp, breadth, options.Paths, cancellation);
        FlowSources? sources = options.AllSources ? FlowSources.Of(compute, cache, network, options, dst, target, expected, cancellation) : null;
        double error = Math.Max(CutError(cuts, total), sources?.Conservation.Error ?? 0);
        Requirements.Finite([error], "a part of the flow");
        return new FlowTrace
        {
            Source = src,
            Destination = dst,
            From = options.From,
            Layers = layers,
            Mlp = options.Mlp,
            Target = options.Target,
            Total = total,
            PerLayer = cuts,
            Edges = edges.Sorted(),
            Paths = paths,
            PathsExhaustive = exhaustive,
            Coverage = total != 0 ? paths.Sum(path => path.Flow) / total : paths.Length == 0 ? 1 : 0,
            Heads = heads,
            Sources = sources?.Flows,
            MlpSources = sources?.Mlps,
            Conservation = sources?.Conservation,
            ConservationError = error,
        };
    }

    private static void Check(LlamaModel model, ActivationCache cache, int src, int dst, FlowOptions options)
    {
        Requirements.Cache(model, cache);
        Requirements.Whole(cache);
        LlamaConfig c = model.Config;
        Requirements.Layer(c, options.From);
        if (options.Layers < 1 || options.Layers > c.NumHiddenLayers - options.From)
            throw new ArrakisException($"{options.Layers} layers from layer {options.From} are not in the model: use 1 to {c.NumHiddenLayers - options.From}");
        Requirements.Position(cache.Tokens, src, "source");
        Requirements.Position(cache.Tokens, dst, "destination");
        if (src > dst)
            throw new ArrakisException($"source {src} comes after destination {dst}: a token is only read by those after it; swap them");
        if (options.Paths is < 0 or > MostPaths)
            throw new ArrakisException($"{options.Paths} paths cannot be listed: use 0 to {MostPaths}");
        if (options.Edges < 0)
            throw new ArrakisException($"{options.Edges} edges cannot be listed: use 0 or more");
        if (options.PathBreadth is < 1 or > MostPaths)
            throw new ArrakisException($"a search cannot keep {options.PathBreadth} beginnings of paths: use 1 to {MostPaths}");
        if (!options.SourceVector.IsEmpty && options.SourceVector.Length != c.HiddenSize)
            throw new ArrakisException($"the source vector has {options.SourceVector.Length} numbers: this model's residual stream has {c.HiddenSize}");
        if (!options.SourceVector.IsEmpty && !TensorPrimitives.IsFiniteAll(options.SourceVector.Span))
            throw new ArrakisException("the source vector holds what is not a finite number: a flow needs finite numbers to start from");
        FlowCovector.Check(c, cache.Tokens, dst, options);

        // What an MLP writes, or passes on, is in none of what 'heads' records.
        bool needsStream = FlowCovector.NeedsStream(cache, options), mlps = options.Mlp == MlpTreatment.Frozen || options.AllSources;
        string specification = mlps || (needsStream && options.From + options.Layers == c.NumHiddenLayers) ? "flow" : "heads";
        FlowCovector.RequireRecorded(cache, options, specification);
        for (int layer = options.From; layer < options.From + options.Layers; layer++)
        {
            Requirements.Recorded(
                cache, specification, layer, HookPoint.ResidPre, HookPoint.Ln1Scale, HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Pattern, HookPoint.Z);
            Requirements.Unchanged(
                cache, layer, HookPoint.Ln1Normalized, HookPoint.V, HookPoint.Z, HookPoint.Result, HookPoint.AttnOut, HookPoint.ResidMid, HookPoint.ResidPost);
            if (layer + 1 < c.NumHiddenLayers)
                Requirements.Unchanged(cache, layer + 1, HookPoint.ResidPre);
            if (options.Mlp == MlpTreatment.Frozen)
            {
                Requirements.Recorded(cache, specification, layer, HookPoint.Ln2Scale, HookPoint.MlpPre);
                Requirements.Unchanged(cache, layer, HookPoint.Ln2Normalized, HookPoint.MlpPreLinear, HookPoint.MlpPost, HookPoint.MlpOut);
            }

            if (options.Mlp == MlpTreatment.Source && options.AllSources)
                Residuals.RequireMlpOut(cache, layer);
        }

        if (needsStream)
            Residuals.RequireStream(c, cache, options.From + options.Layers);
    }

    private static void Start(ActivationCache cache, FlowOptions options, int src, Span<float> share)
    {
        if (options.SourceVector.IsEmpty)
            cache.Flat(HookPoint.ResidPre, options.From).Slice(src * share.Length, share.Length).CopyTo(share);
        else
            options.SourceVector.Span.CopyTo(share);
    }

    private static FlowLayer[] Cuts(FlowSweeps sweeps, FlowEdges edges, CancellationToken cancellation)
    {
        var cuts = new FlowLayer[sweeps.Layers];
        for (int i = 0; i < cuts.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            cuts[i] = sweeps.Cut(i, edges);
        }

        return cuts;
    }

    private static (FlowPath[] Paths, bool Exhaustive) Paths(
        Compute compute, ActivationCache cache, FlowSweeps sweeps, bool throughMlp, int breadth, int count, CancellationToken cancellation)
    {
        if (count == 0)
            return ([], false);
        var search = new FlowPathSearch(compute, cache, sweeps, throughMlp, breadth);
        FlowPath[] paths = search.Find(count, cancellation);
        return (paths, search.Exhaustive);
    }

    /// <summary>Both cuts of every layer against the total, relative to the largest part.</summary>
    private static double CutError(FlowLayer[] cuts, double total)
    {
        double error = 0, largest = Math.Abs(total);
        foreach (FlowLayer cut in cuts)
        {
            error = Math.Max(error, Math.Max(Math.Abs(cut.Sum - total), Math.Abs(cut.Mlp + cut.Bypass - total)));
            largest = Math.Max(largest, Math.Max(Math.Abs(cut.Residual), cut.Heads.Max(Math.Abs)));
            largest = Math.Max(largest, Math.Max(Math.Abs(cut.Mlp), Math.Abs(cut.Bypass)));
        }

        return largest == 0 ? 0 : error / largest;
    }
}
