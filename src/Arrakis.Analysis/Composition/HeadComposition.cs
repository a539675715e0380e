using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// Composition scores (Elhage et al. 2021): whether a later head reads what an earlier one writes, from the weights alone. For M the circuit through which the later
/// head reads, ‖OV₁ M‖_F / (‖OV₁‖_F ‖M‖_F) with OV₁ = Ŵ_V W_O of the earlier head; Ŵ is a weight with the norm's weight folded in, and scales of norms are left out.
/// </summary>
/// <remarks>
/// <para>
/// No D×D matrix is made. With F₁ᵀF₁ = Ŵ_V1ᵀŴ_V1 and F₂ᵀF₂ the Gram matrix of the outer weight of M (turned by the rotation, for Q and K), ‖OV₁ M‖ is
/// ‖F₁ W_O1 Ŵ₂ F₂ᵀ‖, where Ŵ₂ is the weight that reads: per pair of layers one product [H·K, D]·[D, heads·K], per pair of heads one of K×K.
/// </para>
/// <para>
/// Queries meet keys through rotation, so a score of kind Q or K is for one offset δ = query position − key position. For kind V there is none, and δ is not looked at.
/// </para>
/// </remarks>
public static class HeadComposition
{
    /// <summary>Scores every pair of heads of different layers in a range.</summary>
    /// <param name="model">The model.</param>
    /// <param name="kind">Which input of the later head reads.</param>
    /// <param name="firstLayer">The first layer of the range.</param>
    /// <param name="lastLayer">The last layer, itself included; null for the model's last. The same as the first leaves no pairs.</param>
    /// <param name="offset">δ = query position − key position, in tokens; negative where the key comes later, which attention never sees.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="progress">Told the part of the layer pairs that is done, up to 1.</param>
    /// <param name="cancellation">Looked at between pairs of layers.</param>
    /// <returns>All pairs, highest score first; ties by the earlier head, then the later one.</returns>
    /// <exception cref="ArrakisException">There is no such layer, the range runs backwards, or a head's weights are not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static IReadOnlyList<CompositionScore> Measure(
        LlamaModel model, CompositionKind kind, int firstLayer = 0, int? lastLayer = null, int offset = 0, AnalysisOptions? options = null,
        IProgress<double>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        int last = lastLayer ?? model.Config.NumHiddenLayers - 1, heads = model.Config.NumAttentionHeads;
        Requirements.Layers(model.Config, firstLayer, last);
        Circuit read = Circuit.Read(kind, offset);
        int layerPairs = (last - firstLayer + 1) * (last - firstLayer) / 2;
        var scores = new CompositionScore[Requirements.Length((long)layerPairs * heads * heads, "scores")];
        if (layerPairs == 0)
            return scores;

        using var pairs = new LayerPairs(model, read, heads, options);
        var readers = new HeadFactors[last + 1];
        int done = 0;
        for (int from = firstLayer; from < last; from++)
        {
            pairs.Write(new HeadRange(from, 0, heads));
            for (int to = from + 1; to <= last; to++)
            {
                cancellation.ThrowIfCancellationRequested();
                var range = new HeadRange(to, 0, heads);
                pairs.Score(range, readers[to] ??= pairs.Factors(range), scores.AsSpan(done * heads * heads, heads * heads));
                done++;
                progress?.Report(done / (double)layerPairs);
            }
        }

        Array.Sort(scores, Compare);
        return scores;
    }

    /// <summary>Scores one pair of heads.</summary>
    /// <param name="model">The model.</param>
    /// <param name="kind">Which input of the later head reads.</param>
    /// <param name="from">The head that writes.</param>
    /// <param name="to">The head that reads, of a later layer.</param>
    /// <param name="offset">δ = query position − key position, in tokens.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <exception cref="ArrakisException">There is no such head, the first is not below the second, or a head's weights are not finite.</exception>
    public static CompositionScore Measure(
        LlamaModel model, CompositionKind kind, (int Layer, int Head) from, (int Layer, int Head) to, int offset = 0, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Requirements.Below(model.Config, from, to);
        using var pairs = new LayerPairs(model, Circuit.Read(kind, offset), 1, options);
        var scores = new CompositionScore[1];
        var reader = new HeadRange(to.Layer, to.Head, 1);
        pairs.Write(new HeadRange(from.Layer, from.Head, 1));
        pairs.Score(reader, pairs.Factors(reader), scores);
        return scores[0];
    }

    private static int Compare(CompositionScore a, CompositionScore b) =>
        a.Score != b.Score ? b.Score.CompareTo(a.Score)
        : (a.FromLayer, a.FromHead, a.ToLayer, a.ToHead).CompareTo((b.FromLayer, b.FromHead, b.ToLayer, b.ToHead));
}
