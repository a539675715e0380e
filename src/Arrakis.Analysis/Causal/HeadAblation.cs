using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>What takes the place of a head's output.</summary>
public enum AblationKind
{
    /// <summary>
    /// Nothing: z is zero, which is as if its rows of W_O were. What the head writes whatever the input goes with it, and so does the size of the stream that norms divide
    /// by: a head that does nothing else may have the largest effect. The other kinds take away only what depends on the input.
    /// </summary>
    Zero,

    /// <summary>Its mean over reference inputs and their positions.</summary>
    Mean,

    /// <summary>Its output on other inputs, position by position; the measure is the mean over them.</summary>
    Resample,
}

/// <summary>How heads are ablated.</summary>
public sealed record AblationOptions
{
    /// <summary>What takes their place.</summary>
    public AblationKind Kind { get; init; }

    /// <summary>Reference inputs: for <see cref="AblationKind.Mean"/> of any length (none: the input itself), for <see cref="AblationKind.Resample"/> as long as the input.</summary>
    public IReadOnlyList<int[]> References { get; init; } = [];

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Compute { get; init; } = new();
}

/// <summary>What becomes of a metric when each head by itself is taken away, at all positions.</summary>
public sealed class HeadAblation
{
    private readonly double[][] _values;

    private HeadAblation(CausalMetric metric, AblationKind kind, double baseline, double[][] values) =>
        (Metric, Kind, Baseline, _values) = (metric, kind, baseline, values);

    /// <summary>What was measured.</summary>
    public CausalMetric Metric { get; }

    /// <summary>What took the heads' place.</summary>
    public AblationKind Kind { get; }

    /// <summary>The metric with every head in place.</summary>
    public double Baseline { get; }

    /// <summary>L.</summary>
    public int Layers => _values.Length;

    /// <summary>The metric without each head of a layer. [H]</summary>
    public ReadOnlySpan<double> Values(int layer) => _values[layer];

    /// <summary>What taking a head away does to the metric: its value without the head less the baseline.</summary>
    public double Effect(int layer, int head) => _values[layer][head] - Baseline;

    /// <summary>Every head, the largest effect first, whatever its sign; of equal ones the lower.</summary>
    public IReadOnlyList<(int Layer, int Head)> Strongest() =>
        [.. from l in Enumerable.Range(0, Layers) from h in Enumerable.Range(0, _values[l].Length) orderby Math.Abs(Effect(l, h)) descending, l, h select (l, h)];

    /// <summary>Ablates every head of every layer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ids">The input.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="options">How; null for zero.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The input or the metric do not fit the model, or a reference does not fit the input.</exception>
    public static HeadAblation Measure(LlamaModel model, ReadOnlySpan<int> ids, CausalMetric metric, AblationOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new AblationOptions();
        Check(ids, options);
        using var sweep = new CausalSweep(model, ids, metric, null, options.Compute, cancellation);
        return Run(sweep, options, cancellation, out _);
    }

    /// <summary>The same over a run that there is already, and what stood in the heads' place, on the mean over samples: z of every layer, for all positions or for each; null for zero.</summary>
    internal static HeadAblation Run(CausalSweep sweep, AblationOptions options, CancellationToken cancellation, out ActivationMeans? instead)
    {
        LlamaConfig c = sweep.Model.Config;
        double[] values;
        (values, instead) = options.Kind switch
        {
            AblationKind.Zero => (sweep.Run(Variants(c, (l, h) => Intervention.Zero(HookPoint.Z, l, h)), cancellation), null),
            AblationKind.Mean => Mean(sweep, options, cancellation),
            AblationKind.Resample => Resample(sweep, options, cancellation),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Kind, null),
        };
        return new HeadAblation(sweep.Metric, options.Kind, sweep.Baseline, [.. values.Chunk(c.NumAttentionHeads)]);
    }

    internal static InterventionPlan[] Variants(LlamaConfig c, Func<int, int, Intervention> of) =>
        [.. from l in Enumerable.Range(0, c.NumHiddenLayers) from h in Enumerable.Range(0, c.NumAttentionHeads) select InterventionPlan.Of(of(l, h))];

    internal static void Check(ReadOnlySpan<int> ids, AblationOptions options)
    {
        if (options.Kind != AblationKind.Resample)
            return;
        if (options.References.Count == 0)
            throw new ArrakisException("resampling needs other inputs to take a head's output from: give at least one reference of the input's length");
        foreach (int[] reference in options.References)
        {
            if (reference.Length != ids.Length)
                throw new ArrakisException($"a reference of {reference.Length} tokens cannot be resampled into an input of {ids.Length}: use references of equal length, or the mean");
        }
    }

    private static (double[] Values, ActivationMeans? Instead) Mean(CausalSweep sweep, AblationOptions options, CancellationToken cancellation)
    {
        var means = new ActivationMeans(perPosition: false, HookPoint.Z);
        if (options.References.Count == 0)
        {
            means.Add(sweep.Cache);
        }
        else
        {
            using LlamaSession session = sweep.Model.CreateSession(RecordingPlan.Of(HookPoint.Z), CausalSweep.SessionOptions(options.Compute));
            foreach (int[] reference in options.References)
            {
                session.Forward(reference, cancellation);
                means.Add(session.Cache);
            }
        }

        return (sweep.Run(Variants(sweep.Model.Config, (l, h) => Intervention.Mean(HookPoint.Z, means, l, h)), cancellation), means);
    }

    private static (double[] Values, ActivationMeans? Instead) Resample(CausalSweep sweep, AblationOptions options, CancellationToken cancellation)
    {
        LlamaConfig c = sweep.Model.Config;
        var means = new ActivationMeans(perPosition: true, HookPoint.Z);
        double[] sums = new double[c.NumHiddenLayers * c.NumAttentionHeads];
        using LlamaSession session = sweep.Model.CreateSession(RecordingPlan.Of(HookPoint.Z), CausalSweep.SessionOptions(options.Compute));
        foreach (int[] reference in options.References)
        {
            session.Forward(reference, cancellation);
            means.Add(session.Cache);
            double[] values = sweep.Run(Variants(c, (l, h) => Intervention.Replace(HookPoint.Z, session.Cache, l, h)), cancellation);
            for (int i = 0; i < sums.Length; i++)
                sums[i] += values[i] / options.References.Count;
        }

        return (sums, means);
    }
}
