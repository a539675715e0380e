using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// The three questions about a model's heads under the names they were first asked with: which heads write, which read a dimension, and how information flows from one
/// token to another. Everything more than that is asked of <see cref="HeadWrites"/>, <see cref="HeadReads"/> and <see cref="FlowTracer"/>.
/// </summary>
/// <remarks>Holds no memory of its own. Safe to use from several threads while the session that the cache belongs to runs no pass.</remarks>
public sealed class ReadWriteHeads
{
    private readonly LlamaModel _model;
    private readonly ActivationCache? _cache;
    private readonly AnalysisOptions _options;

    /// <summary>With an input, or from the weights alone.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it, recorded with <c>flow</c>; null for what the weights alone say.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    public ReadWriteHeads(LlamaModel model, ActivationCache? cache = null, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        _model = model;
        _cache = cache;
        _options = options ?? new AnalysisOptions();
    }

    /// <summary>The heads of a layer that put the most into the residual stream: by the mean norm of what they wrote, or by OV norm where there is no input.</summary>
    /// <param name="layerIdx">The layer, from 0.</param>
    /// <param name="threshold">In (0, 1]: how much of the layer's writing they make up, or as the rule has it.</param>
    /// <param name="rule">How the threshold selects.</param>
    /// <returns>Strongest first.</returns>
    /// <exception cref="ArrakisException">There is no such layer, the threshold is outside (0, 1], or the cache lacks a hook point.</exception>
    public IReadOnlyList<HeadStrength> IdentifyWriteHeads(int layerIdx, double threshold = 0.8, SelectionRule rule = SelectionRule.Share) =>
        (_cache is null ? HeadWrites.FromWeights(_model, layerIdx, _options) : HeadWrites.Measure(_model, _cache, layerIdx, _options)).Select(threshold, rule);

    /// <summary>The heads of a layer that read a dimension of the residual stream the most, by the norm of its read weights over q, k and v.</summary>
    /// <param name="layerIdx">The layer, from 0.</param>
    /// <param name="dimIdx">The dimension, from 0.</param>
    /// <param name="threshold">In (0, 1]: how much of the layer's reading they make up, or as the rule has it.</param>
    /// <param name="rule">How the threshold selects.</param>
    /// <returns>Strongest first.</returns>
    /// <exception cref="ArrakisException">There is no such layer or dimension, or the threshold is outside (0, 1].</exception>
    public IReadOnlyList<HeadStrength> IdentifyReadHeads(int layerIdx, int dimIdx, double threshold = 0.8, SelectionRule rule = SelectionRule.Share) =>
        IdentifyReadHeads(layerIdx, ReadDirection.Dimension(dimIdx), threshold, rule);

    /// <summary>The heads of a layer that read a direction of the residual stream the most.</summary>
    /// <param name="layerIdx">The layer, from 0.</param>
    /// <param name="direction">A dimension, another head's write, a token's embedding or unembedding, any vector.</param>
    /// <param name="threshold">In (0, 1]: how much of the layer's reading they make up, or as the rule has it.</param>
    /// <param name="rule">How the threshold selects.</param>
    /// <returns>Strongest first.</returns>
    /// <exception cref="ArrakisException">There is no such layer or direction, or the threshold is outside (0, 1].</exception>
    public IReadOnlyList<HeadStrength> IdentifyReadHeads(
        int layerIdx, ReadDirection direction, double threshold = 0.8, SelectionRule rule = SelectionRule.Share) =>
        HeadReads.FromWeights(_model, layerIdx, direction, HeadInputs.All, _options).Select(threshold, rule);

    /// <summary>
    /// The flow from the first occurrence of one token to the first occurrence of another, through the first <paramref name="nLayers"/> layers, as a share of what stands
    /// there; with the flows of all sources, so that its conservation is known.
    /// </summary>
    /// <param name="inputIds">The input. Where it is what the cache recorded, that run is traced; else a run is made.</param>
    /// <param name="srcToken">The id of the token it starts from.</param>
    /// <param name="dstToken">The id of the token at which it is measured.</param>
    /// <param name="nLayers">How many layers it passes.</param>
    /// <param name="cancellation">Looked at before every layer.</param>
    /// <exception cref="ArrakisException">A token is not in the input, the source comes after the destination, or there are not so many layers.</exception>
    public FlowTrace TraceInformationFlow(
        ReadOnlySpan<int> inputIds, int srcToken, int dstToken, int nLayers = 2, CancellationToken cancellation = default)
    {
        int src = FirstOccurrence(inputIds, srcToken, "source"), dst = FirstOccurrence(inputIds, dstToken, "destination");
        if (src > dst)
        {
            throw new ArrakisException(
                $"token {srcToken} first occurs at position {src}, after token {dstToken} at {dst}: information only flows forward; swap them, or trace positions with FlowTracer");
        }

        var options = new FlowOptions { Layers = nLayers, AllSources = true, Compute = _options };
        if (_cache is not null && _cache.Past == 0 && _cache.Ids.SequenceEqual(inputIds))
            return FlowTracer.Trace(_model, _cache, src, dst, options, cancellation);
        using LlamaSession session = _model.CreateSession(RecordingPlan.Flow, new SessionOptions { Threads = _options.Threads, Kernels = _options.Kernels });
        session.Forward(inputIds, cancellation);
        return FlowTracer.Trace(_model, session.Cache, src, dst, options, cancellation);
    }

    private static int FirstOccurrence(ReadOnlySpan<int> ids, int token, string name)
    {
        int position = ids.IndexOf(token);
        return position >= 0 ? position : throw new ArrakisException($"the {name} token {token} is not in the input: name one that is, or trace positions with FlowTracer");
    }
}
