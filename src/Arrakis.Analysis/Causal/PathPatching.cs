using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>What of a receiver a path ends in.</summary>
public enum ReceiverInput
{
    /// <summary>The head's queries.</summary>
    Q,

    /// <summary>The keys as this head reads them; the other heads of its group read what they read before.</summary>
    K,

    /// <summary>The values as this head reads them; the other heads of its group read what they read before.</summary>
    V,

    /// <summary>The logits.</summary>
    Logits,
}

/// <summary>Where a path ends.</summary>
/// <param name="Input">What of it.</param>
/// <param name="Layer">The head's layer; 0 for the logits.</param>
/// <param name="Head">The query head; 0 for the logits.</param>
public readonly record struct PathReceiver(ReceiverInput Input, int Layer, int Head)
{
    /// <summary>The logits.</summary>
    public static PathReceiver Logits { get; } = new(ReceiverInput.Logits, 0, 0);
}

/// <summary>What one path does.</summary>
/// <param name="Sender">The head whose output is another run's.</param>
/// <param name="Receiver">Where that is let through.</param>
/// <param name="Value">The metric then.</param>
/// <param name="Effect">That less the baseline.</param>
public readonly record struct PathEffect((int Layer, int Head) Sender, PathReceiver Receiver, double Value, double Effect);

/// <summary>How paths are patched.</summary>
public sealed record PathOptions
{
    /// <summary>Whether MLPs between sender and receiver keep their outputs too, so that only the residual stream carries; else they answer to what reaches them.</summary>
    public bool HoldMlps { get; init; }

    /// <summary>
    /// Whether patterns, norm scales and gates are frozen at the run, before and behind the receiver. The network is then linear, and the effects of all paths of a
    /// sender, into the values of every head above it and into the logits, add up to the sender's whole effect; not with <see cref="HoldMlps"/>, which leaves
    /// out what goes through an MLP.
    /// </summary>
    public bool Frozen { get; init; }

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Compute { get; init; } = new();
}

/// <summary>
/// Path patching (Wang et al. 2023, Goldowsky-Dill et al. 2023): the sender's output is taken from another run, all other heads keep theirs, and only what the
/// receiver then finds in the stream is let through to it; behind the receiver everything answers.
/// </summary>
public sealed class PathPatching
{
    private readonly Dictionary<(int Layer, int Head), double> _whole;

    private PathPatching(CausalMetric metric, double baseline, PathEffect[] paths, Dictionary<(int, int), double> whole) =>
        (Metric, Baseline, Paths, _whole) = (metric, baseline, paths, whole);

    /// <summary>What was measured.</summary>
    public CausalMetric Metric { get; }

    /// <summary>The metric of the input's own run.</summary>
    public double Baseline { get; }

    /// <summary>Every sender with every receiver above it.</summary>
    public IReadOnlyList<PathEffect> Paths { get; }

    /// <summary>What a sender's replaced output does over all paths at once: the metric then, less the baseline.</summary>
    public double WholeEffect((int Layer, int Head) sender) => _whole[sender];

    /// <summary>Every place where a head's output can be read: q, k and v of the heads above it, and the logits.</summary>
    public static IReadOnlyList<PathReceiver> Receivers(LlamaConfig config, int senderLayer)
    {
        ArgumentNullException.ThrowIfNull(config);
        return [
            .. from l in Enumerable.Range(0, config.NumHiddenLayers).Skip(senderLayer + 1)
               from h in Enumerable.Range(0, config.NumAttentionHeads)
               from input in new[] { ReceiverInput.Q, ReceiverInput.K, ReceiverInput.V }
               select new PathReceiver(input, l, h),
            PathReceiver.Logits,
        ];
    }

    /// <summary>Patches paths.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ids">The input.</param>
    /// <param name="other">The input whose run the senders' outputs are taken from; as long.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="senders">Heads.</param>
    /// <param name="receivers">Where their outputs are let through; those that are not above a sender are left out. Null for all.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The inputs differ in length, or they, the metric, or a head do not fit the model.</exception>
    public static PathPatching Measure(
        LlamaModel model, ReadOnlySpan<int> ids, ReadOnlySpan<int> other, CausalMetric metric, IReadOnlyList<(int Layer, int Head)> senders,
        IReadOnlyList<PathReceiver>? receivers = null, PathOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(metric);
        ArgumentNullException.ThrowIfNull(senders);
        options ??= new PathOptions();
        LlamaConfig c = model.Config;
        ActivationPatching.Lengths(ids, other);
        metric.Check(c, ids.Length);
        foreach ((int layer, int head) in senders.Concat((receivers ?? []).Where(r => r.Input != ReceiverInput.Logits).Select(r => (r.Layer, r.Head))))
            Requirements.Head(c, layer, head);

        SessionOptions session = CausalSweep.SessionOptions(options.Compute);
        using LlamaSession source = model.CreateSession(RecordingPlan.Of(HookPoint.Z), session);
        source.Forward(other, cancellation);
        using LlamaSession? frozen = options.Frozen ? model.CreateSession(RecordingPlan.Flow, session) : null;
        frozen?.Forward(ids, cancellation);
        InterventionPlan background = frozen is null ? InterventionPlan.None : InterventionPlan.Freeze(frozen.Cache);
        using var sweep = new CausalSweep(
            model, ids, metric, options.HoldMlps ? RecordingPlan.Of(HookPoint.MlpOut) : RecordingPlan.None, background, options.Compute, cancellation);
        using LlamaSession reaching = model.CreateSession(RecordingPlan.Of(HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Logits), session);
        var paths = new List<PathEffect>();
        var whole = new Dictionary<(int, int), double>();
        foreach ((int Layer, int Head) sender in senders.Distinct())
        {
            Intervention sent = Intervention.Replace(HookPoint.Z, source.Cache, sender.Layer, sender.Head);
            reaching.Interventions = background.Then(Held(c, sweep.Cache, sender.Layer, options.HoldMlps)).Then(sent);
            reaching.Forward(ids, cancellation);
            PathReceiver[] above = [.. (receivers ?? Receivers(c, sender.Layer)).Where(r => r.Input == ReceiverInput.Logits || r.Layer > sender.Layer)];
            double[] values = sweep.Run(
                [InterventionPlan.Of(sent), .. above.Select(r => r.Input == ReceiverInput.Logits ? InterventionPlan.None : InterventionPlan.Of(Received(reaching.Cache, r)))],
                cancellation);
            whole[sender] = values[0] - sweep.Baseline;
            for (int i = 0; i < above.Length; i++)
            {
                double value = above[i].Input == ReceiverInput.Logits ? metric.MeasureRun(ids, reaching.Cache.Flat(HookPoint.Logits)) : values[i + 1];
                paths.Add(new PathEffect(sender, above[i], value, value - sweep.Baseline));
            }
        }

        return new PathPatching(metric, sweep.Baseline, [.. paths], whole);
    }

    /// <summary>What keeps its output while the sender's travels: the heads above it, and the MLPs where they are held.</summary>
    private static InterventionPlan Held(LlamaConfig c, ActivationCache run, int senderLayer, bool mlps) => InterventionPlan.Of([
        .. Enumerable.Range(0, c.NumHiddenLayers).Where(l => l > senderLayer).Select(l => Intervention.Replace(HookPoint.Z, run, l)),
        .. Enumerable.Range(0, c.NumHiddenLayers).Where(l => mlps && l >= senderLayer).Select(l => Intervention.Replace(HookPoint.MlpOut, run, l)),
    ]);

    /// <summary>What reaches a receiver, let through to it alone.</summary>
    private static Intervention Received(ActivationCache reaching, PathReceiver receiver) => receiver.Input switch
    {
        ReceiverInput.Q => Intervention.Replace(HookPoint.Q, reaching, receiver.Layer, receiver.Head),
        ReceiverInput.K => Intervention.Replace(HookPoint.K, reaching, receiver.Layer).AsReadBy(receiver.Head),
        ReceiverInput.V => Intervention.Replace(HookPoint.V, reaching, receiver.Layer).AsReadBy(receiver.Head),
        _ => throw new ArgumentOutOfRangeException(nameof(receiver), receiver.Input, null),
    };
}
