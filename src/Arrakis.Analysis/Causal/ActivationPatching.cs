using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>What is patched.</summary>
public sealed record PatchingOptions
{
    /// <summary>The hook point.</summary>
    public HookPoint Point { get; init; } = HookPoint.Z;

    /// <summary>Whether every head is patched by itself (kv head, for keys and values), or all of them together. Points without heads have but one way.</summary>
    public bool ByHead { get; init; } = true;

    /// <summary>Whether every position is patched by itself, or all of them together.</summary>
    public bool ByPosition { get; init; } = true;

    /// <summary>The layers, first and last; null for all.</summary>
    public (int First, int Last)? Layers { get; init; }

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Compute { get; init; } = new();
}

/// <summary>What patching one place does.</summary>
/// <param name="Layer">The layer; null where the hook point has none.</param>
/// <param name="Head">The head, or kv head; null for all together.</param>
/// <param name="Position">The position; null for all together.</param>
/// <param name="Value">The metric of the corrupted run with this place from the clean one.</param>
/// <param name="Recovered">How much of the way from the corrupted to the clean run's metric that is: 0 for none, 1 for all; null where both have the same.</param>
public readonly record struct PatchedSite(int? Layer, int? Head, int? Position, double Value, double? Recovered);

/// <summary>
/// Activation patching (causal tracing; Meng et al. 2022, Heimersheim and Nanda 2024): a corrupted run, in which one place after the other is given what stood there
/// in a clean run. A place that recovers the clean run's metric carried what matters to it.
/// </summary>
public sealed class ActivationPatching
{
    private ActivationPatching(CausalMetric metric, HookPoint point, double clean, double corrupted, PatchedSite[] sites) =>
        (Metric, Point, Clean, Corrupted, Sites) = (metric, point, clean, corrupted, sites);

    /// <summary>What was measured.</summary>
    public CausalMetric Metric { get; }

    /// <summary>What was patched.</summary>
    public HookPoint Point { get; }

    /// <summary>The metric of the clean run.</summary>
    public double Clean { get; }

    /// <summary>The metric of the corrupted run.</summary>
    public double Corrupted { get; }

    /// <summary>Every place, by layer, head and position.</summary>
    public IReadOnlyList<PatchedSite> Sites { get; }

    /// <summary>Patches a corrupted run from a clean one.</summary>
    /// <param name="model">The model.</param>
    /// <param name="clean">The input whose activations are taken.</param>
    /// <param name="corrupted">The input whose run is patched; as long.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="options">Which places; null for every head's output at every position.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The inputs differ in length, or they, the metric or the layers do not fit the model.</exception>
    public static ActivationPatching Measure(
        LlamaModel model, ReadOnlySpan<int> clean, ReadOnlySpan<int> corrupted, CausalMetric metric, PatchingOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(metric);
        options ??= new PatchingOptions();
        Lengths(clean, corrupted);
        LlamaConfig c = model.Config;
        (int first, int last) = options.Layers ?? (0, c.NumHiddenLayers - 1);
        Requirements.Layers(c, first, last);
        metric.Check(c, clean.Length);
        RecordingPlan plan = RecordingPlan.Of(options.Point, HookPoint.Logits);
        using LlamaSession session = model.CreateSession(plan, CausalSweep.SessionOptions(options.Compute));
        session.Forward(clean, cancellation);
        double cleanValue = metric.MeasureRun(clean, session.Cache.Flat(HookPoint.Logits));
        using var sweep = new CausalSweep(model, corrupted, metric, null, options.Compute, cancellation);
        var places = Places(options, c, first, last, clean.Length).ToArray();
        double[] values = sweep.Run(
            [.. places.Select(p => InterventionPlan.Of(Intervention.Replace(options.Point, session.Cache, p.Layer, p.Head, p.Position)))], cancellation);
        double way = cleanValue - sweep.Baseline, corruptedValue = sweep.Baseline;
        PatchedSite[] sites = [.. places.Select((p, i) => new PatchedSite(p.Layer, p.Head, p.Position, values[i], way == 0 ? null : (values[i] - corruptedValue) / way))];
        return new ActivationPatching(metric, options.Point, cleanValue, corruptedValue, sites);
    }

    /// <summary>Refuses two inputs whose positions are not the same.</summary>
    internal static void Lengths(ReadOnlySpan<int> clean, ReadOnlySpan<int> corrupted)
    {
        if (clean.Length != corrupted.Length)
            throw new ArrakisException($"the clean input has {clean.Length} tokens and the corrupted one {corrupted.Length}: use inputs of equal length, position by position");
    }

    private static IEnumerable<(int? Layer, int? Head, int? Position)> Places(PatchingOptions options, LlamaConfig c, int first, int last, int tokens)
    {
        int heads = options.Point.Heads(c);
        int?[] alone = options.ByHead && heads > 0 ? [.. Enumerable.Range(0, heads).Select(h => (int?)h)] : [null];
        int?[] positions = options.ByPosition ? [.. Enumerable.Range(0, tokens).Select(t => (int?)t)] : [null];
        int?[] layers = options.Point.IsPerLayer() ? [.. Enumerable.Range(first, last - first + 1).Select(l => (int?)l)] : [null];
        return from l in layers from h in alone from t in positions select (l, h, t);
    }
}
