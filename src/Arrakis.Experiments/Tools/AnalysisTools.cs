using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments;

// The analyses as experiments ask for them: bound to the model, to what was recorded and to how to compute, with everything else left to the call.

/// <summary><c>writes</c>: what the heads of a layer write; of a recorded pass, or by the weights alone where there is none.</summary>
public sealed class WritesTool(LlamaModel model, ActivationCache? cache, AnalysisOptions options)
{
    /// <summary>Norms and shares of every head and token.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <exception cref="ArrakisException">There is no such layer, or the cache lacks a hook point.</exception>
    public HeadWrites Measure(int layer) => cache is null ? HeadWrites.FromWeights(model, layer, options) : HeadWrites.Measure(model, cache, layer, options);
}

/// <summary><c>reads</c>: what the heads of a layer read of a direction; of a recorded pass, or by the weights alone where there is none.</summary>
public sealed class ReadsTool(LlamaModel model, ActivationCache? cache, AnalysisOptions options)
{
    /// <summary>Read weights and shares of every head.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="direction">What they read.</param>
    /// <param name="inputs">Through which inputs.</param>
    /// <exception cref="ArrakisException">There is no such layer or direction, or the cache lacks a hook point.</exception>
    public HeadReads Measure(int layer, ReadDirection direction, HeadInputs inputs = HeadInputs.All) =>
        cache is null ? HeadReads.FromWeights(model, layer, direction, inputs, options) : HeadReads.Measure(model, cache, layer, direction, inputs, options);
}

/// <summary><c>flow</c>: how information flows between positions of a recorded pass.</summary>
public sealed class FlowTool(LlamaModel model, ActivationCache cache, AnalysisOptions options)
{
    /// <inheritdoc cref="FlowTracer.Trace"/>
    public FlowTrace Trace(int src, int dst, FlowOptions? flow = null, CancellationToken cancellation = default) =>
        FlowTracer.Trace(model, cache, src, dst, (flow ?? new FlowOptions()) with { Compute = options }, cancellation);
}

/// <summary><c>composition</c>: whether heads read what others write, by the weights alone.</summary>
public sealed class CompositionTool(LlamaModel model, AnalysisOptions options)
{
    /// <summary>Scores every pair of heads of different layers in a range, highest first.</summary>
    /// <param name="kind">Which input of the later head reads.</param>
    /// <param name="firstLayer">The first layer.</param>
    /// <param name="lastLayer">The last layer, itself included; null for the model's last.</param>
    /// <param name="offset">Query position − key position, in tokens.</param>
    /// <exception cref="ArrakisException">There is no such layer, or the range runs backwards.</exception>
    public IReadOnlyList<CompositionScore> Measure(CompositionKind kind, int firstLayer = 0, int? lastLayer = null, int offset = 0) =>
        HeadComposition.Measure(model, kind, firstLayer, lastLayer, offset, options);
}

/// <summary><c>copying</c>: whether heads raise the token that they look at, by the weights alone.</summary>
public sealed class CopyingTool(LlamaModel model, AnalysisOptions options)
{
    /// <summary>The copying score of every head of a layer. [H]</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <exception cref="ArrakisException">There is no such layer.</exception>
    public double[] Measure(int layer) => HeadCopying.Measure(model, layer, options);

    /// <summary>The copying score of every head. [L][H]</summary>
    public IReadOnlyList<double[]> MeasureAll() => HeadCopying.MeasureAll(model, options);
}

/// <summary><c>detectors</c>: previous-token, duplicate-token and induction heads, on random tokens that repeat.</summary>
public sealed class DetectorsTool(LlamaModel model, AnalysisOptions options)
{
    /// <inheritdoc cref="HeadDetectors.Detect"/>
    public HeadDetectors Detect(int period = 32, int repeats = 2, int seed = 0) => HeadDetectors.Detect(model, period, repeats, seed, options);
}

/// <summary><c>logit_attribution</c>: a logit of a recorded pass by head and MLP.</summary>
public sealed class LogitAttributionTool(LlamaModel model, ActivationCache cache, AnalysisOptions options)
{
    /// <summary>Splits one logit.</summary>
    /// <param name="position">Which position of the pass.</param>
    /// <param name="token">Which token's logit.</param>
    /// <exception cref="ArrakisException">There is no such position or token, or the cache lacks a hook point.</exception>
    public DirectLogitAttribution Measure(int position, int token) => DirectLogitAttribution.Measure(model, cache, position, token, options);
}

/// <summary><c>logit_lens</c>: what the stream of a recorded pass would predict, layer by layer.</summary>
public sealed class LogitLensTool(LlamaModel model, ActivationCache cache, AnalysisOptions options)
{
    /// <summary>Looks at one position.</summary>
    /// <param name="position">Which position of the pass.</param>
    /// <param name="top">How many candidates to list.</param>
    /// <param name="token">The token to follow; null for what the model predicts in the end.</param>
    /// <exception cref="ArrakisException">There is no such position or token, or the cache lacks a hook point.</exception>
    public LogitLens Measure(int position, int top = 5, int? token = null) => LogitLens.Measure(model, cache, position, top, token, options);
}

/// <summary><c>rollout</c>: attention rollout over the layers of a recorded pass.</summary>
public sealed class RolloutTool(LlamaModel model, ActivationCache cache, AnalysisOptions options)
{
    /// <summary>Rolls a range of layers out.</summary>
    /// <param name="firstLayer">The lowest layer.</param>
    /// <param name="lastLayer">The highest layer, included; null for the model's last.</param>
    /// <exception cref="ArrakisException">There are no such layers, or the cache lacks a pattern.</exception>
    public AttentionRollout Measure(int firstLayer = 0, int? lastLayer = null) => AttentionRollout.Measure(model, cache, firstLayer, lastLayer, options);
}

/// <summary><c>routes</c>: information flow routes of a recorded pass.</summary>
public sealed class RoutesTool(LlamaModel model, ActivationCache cache, AnalysisOptions options)
{
    /// <summary>Measures every layer.</summary>
    /// <param name="cancellation">Looked at between layers.</param>
    /// <exception cref="ArrakisException">The cache lacks a hook point.</exception>
    public InformationFlowRoutes Measure(CancellationToken cancellation = default) => InformationFlowRoutes.Measure(model, cache, options, cancellation);
}
