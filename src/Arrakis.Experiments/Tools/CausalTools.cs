using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments;

// The causal measures as experiments ask for them: on the input of the pass that was recorded last, which is run again with what they change.

/// <summary><c>ablation</c>: what becomes of a metric when each head is taken away.</summary>
public sealed class AblationTool(LlamaModel model, int[] input, AnalysisOptions options)
{
    /// <summary>Ablates every head of every layer.</summary>
    /// <param name="metric">What is measured.</param>
    /// <param name="ablation">What takes a head's place; null for zero. Threads and kernels are the model's.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The metric does not fit the model, or a reference does not fit the input.</exception>
    public HeadAblation Measure(CausalMetric metric, AblationOptions? ablation = null, CancellationToken cancellation = default) =>
        HeadAblation.Measure(model, input, metric, (ablation ?? new AblationOptions()) with { Compute = options }, cancellation);
}

/// <summary><c>head_attribution</c>: what the frozen network attributes to each head, beside what the metric loses without it.</summary>
public sealed class HeadAttributionTool(LlamaModel model, int[] input, AnalysisOptions options)
{
    /// <summary>Attributes a logit, or a difference of two, and measures it.</summary>
    /// <param name="metric">A logit or a difference of logits.</param>
    /// <param name="ablation">What takes a head's place; null for zero. Threads and kernels are the model's.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The metric is another or does not fit the model, or a reference does not fit the input.</exception>
    public HeadAttribution Measure(CausalMetric metric, AblationOptions? ablation = null, CancellationToken cancellation = default) =>
        HeadAttribution.Measure(model, input, metric, (ablation ?? new AblationOptions()) with { Compute = options }, cancellation);
}

/// <summary><c>activation_patching</c>: what the recorded input's run recovers when one place after the other is given what stood there in a clean run.</summary>
public sealed class ActivationPatchingTool(LlamaModel model, int[] input, AnalysisOptions options)
{
    /// <summary>Patches the recorded input's run.</summary>
    /// <param name="clean">The input whose activations are taken; as long.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="patching">Which places; null for every head's output at every position. Threads and kernels are the model's.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The inputs differ in length, or they, the metric or the layers do not fit the model.</exception>
    public ActivationPatching Measure(ReadOnlySpan<int> clean, CausalMetric metric, PatchingOptions? patching = null, CancellationToken cancellation = default) =>
        ActivationPatching.Measure(model, clean, input, metric, (patching ?? new PatchingOptions()) with { Compute = options }, cancellation);
}

/// <summary><c>path_patching</c>: what the recorded input's run does when heads' outputs are another run's, as one receiver at a time sees them.</summary>
public sealed class PathPatchingTool(LlamaModel model, int[] input, AnalysisOptions options)
{
    /// <summary>Patches paths.</summary>
    /// <param name="other">The input whose run the senders' outputs are taken from; as long.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="senders">Heads.</param>
    /// <param name="receivers">Where their outputs are let through; null for everywhere above them.</param>
    /// <param name="paths">How; null for the defaults. Threads and kernels are the model's.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArrakisException">The inputs differ in length, or they, the metric, or a head do not fit the model.</exception>
    public PathPatching Measure(
        ReadOnlySpan<int> other, CausalMetric metric, IReadOnlyList<(int Layer, int Head)> senders, IReadOnlyList<PathReceiver>? receivers = null,
        PathOptions? paths = null, CancellationToken cancellation = default) =>
        PathPatching.Measure(model, input, other, metric, senders, receivers, (paths ?? new PathOptions()) with { Compute = options }, cancellation);
}
