namespace Arrakis.Native;

/// <summary>
/// Means of activations over a reference set of runs, gathered one run at a time: for every layer and head one row, over all positions of all runs, or one row
/// for every position. Sums are kept in double precision.
/// </summary>
/// <remarks>Not for several threads at once.</remarks>
public sealed class ActivationMeans
{
    private readonly HookPoint[] _points;
    private readonly bool _perPosition;
    private readonly Dictionary<(HookPoint Point, int Layer), double[]> _sums = [];
    private readonly Dictionary<(HookPoint Point, int Layer), float[]> _means = [];
    private CacheOrigin? _origin;

    /// <summary>Means of the given hook points, of every layer that the runs recorded.</summary>
    /// <param name="perPosition">
    /// Whether every position has a mean of its own; the runs, and the one that is changed, must then be equally long. Scores and patterns have only such means.
    /// </param>
    /// <param name="points">The hook points.</param>
    public ActivationMeans(bool perPosition, params ReadOnlySpan<HookPoint> points)
    {
        if (points.IsEmpty)
            throw new ArgumentException("means of no hook points are of no use", nameof(points));
        foreach (HookPoint point in points)
        {
            if (!perPosition && point is HookPoint.AttnScores or HookPoint.Pattern)
                throw new ArrakisException($"{point.ShortName()} has a row of another length at every position: take means per position");
            // −∞ stands above its diagonal and has no mean; where it is finite the patterns say the same.
            if (point == HookPoint.AttnScores)
                throw new ArrakisException($"{point.ShortName()} has no mean: take that of {HookPoint.Pattern.ShortName()}");
        }

        (_perPosition, _points) = (perPosition, points.ToArray());
    }

    /// <summary>Runs so far.</summary>
    public int Runs { get; private set; }

    /// <summary>Rows that each mean is over: the runs, or all their positions.</summary>
    public long Rows { get; private set; }

    /// <summary>T of every run, where positions are kept apart.</summary>
    internal int Tokens { get; private set; }

    internal bool PerPosition => _perPosition;

    /// <summary>Whose runs these are; null before the first.</summary>
    internal CacheOrigin? Origin => _origin;

    /// <summary>Adds a run.</summary>
    /// <param name="cache">A run that began its sequence, of the same model as those before it (and of the same length, where positions are kept apart).</param>
    /// <exception cref="ArrakisException">A hook point is not recorded, or the run is of another shape or length; nothing is added.</exception>
    public void Add(ActivationCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        if (cache.Tokens == 0)
            throw new ArrakisException("nothing is recorded yet: run a forward pass first");
        if (cache.Past > 0)
            throw new ArrakisException($"the cache continues a sequence after {cache.Past} tokens: run the whole sequence with Forward");
        if (_perPosition && Runs > 0 && cache.Tokens != Tokens)
            throw new ArrakisException($"a run of {cache.Tokens} tokens cannot be averaged position by position with runs of {Tokens}: use equally long inputs");
        if (_origin is { } origin && FindOther(cache.Origin, origin) is { } difference)
            throw new ArrakisException($"the cache is not of the model of the runs before it: {difference}");
        (HookPoint Point, int Layer)[] kept = Kept(cache);
        foreach ((HookPoint point, int layer) in kept)
            Add(point, layer, cache);
        _origin ??= cache.Origin;
        (Tokens, Runs, Rows) = (cache.Tokens, Runs + 1, Rows + (_perPosition ? 1 : cache.Tokens));
        _means.Clear();
    }

    /// <summary>The means of a hook point: [heads, width] ([width] without heads), or with a first axis of positions.</summary>
    /// <exception cref="ArrakisException">The runs did not record it.</exception>
    public ReadOnlySpan<float> Flat(HookPoint point, int layer = 0) => Values(point, layer);

    internal float[] Values(HookPoint point, int layer)
    {
        (HookPoint, int) key = (point, point.IsPerLayer() ? layer : 0);
        if (_means.TryGetValue(key, out float[]? mean))
            return mean;
        if (!_sums.TryGetValue(key, out double[]? sum))
            throw new ArrakisException($"there is no mean of {point.Name(layer)}: name '{point.ShortName()}' among the means and record it in their runs");
        return _means[key] = Array.ConvertAll(sum, s => (float)(s / Rows));
    }

    // Of the shape, what is averaged: a file that was loaded by itself does not tell the rest.
    private string? FindOther(CacheOrigin run, CacheOrigin before)
    {
        foreach (HookPoint point in _points)
        {
            if (point.Shape(run.Config, 1, 1) != point.Shape(before.Config, 1, 1))
                return $"{point.ShortName()} has another shape";
        }

        return run.FindOther(before);
    }

    private (HookPoint Point, int Layer)[] Kept(ActivationCache cache)
    {
        var kept = new List<(HookPoint, int)>();
        foreach (HookPoint point in _points)
        {
            int layers = point.IsPerLayer() ? cache.Config.NumHiddenLayers : 1, before = kept.Count;
            for (int layer = 0; layer < layers; layer++)
            {
                bool has = cache.Contains(point, layer) || (point == HookPoint.Result && cache.ResultSource is not null && cache.Contains(HookPoint.Z, layer));
                if (has)
                    kept.Add((point, layer));
                // Otherwise the means of this layer would be over fewer runs.
                else if (_sums.ContainsKey((point, layer)))
                    throw new ArrakisException($"{point.Name(layer)} is not recorded, as it was in the runs before: record '{point.ShortName()}'");
                if (has && Runs > 0 && !_sums.ContainsKey((point, layer)))
                    throw new ArrakisException($"{point.Name(layer)} was not recorded in the runs before: record '{point.ShortName()}' in all");
            }

            if (kept.Count == before)
                throw new ArrakisException($"{point.Name()} is not recorded: record '{point.ShortName()}'");
        }

        return [.. kept];
    }

    private void Add(HookPoint point, int layer, ActivationCache cache)
    {
        ReadOnlySpan<float> values = cache.Flat(point, layer);
        int length = _perPosition ? values.Length : values.Length / cache.Tokens;
        if (!_sums.TryGetValue((point, layer), out double[]? sums))
            sums = _sums[(point, layer)] = new double[length];
        for (int start = 0; start < values.Length; start += length)
        {
            for (int i = 0; i < length; i++)
                sums[i] += values[start + i];
        }
    }
}
