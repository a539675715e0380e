using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>How much of its attention a head spends on three places, on an input that repeats itself; each from 0 to 1.</summary>
/// <param name="Layer">Its layer, from 0.</param>
/// <param name="Head">Its number in the layer, from 0.</param>
/// <param name="PreviousToken">The mean of A[t, t − 1] over all t of the repetition but its first: near 1 for a previous token head.</param>
/// <param name="DuplicateToken">The mean of A[t, t − period] over t from the second time on, the token's last occurrence: near 1 for a duplicate token head.</param>
/// <param name="Induction">The mean of A[t, t − period + 1] over the same t, what came after that occurrence: near 1 for an induction head.</param>
public readonly record struct HeadDetection(int Layer, int Head, double PreviousToken, double DuplicateToken, double Induction);

/// <summary>
/// Previous token, duplicate token and induction heads, found by where they look on repeated random tokens (Elhage et al. 2021, Olsson et al. 2022). Random, so that
/// nothing but the repetition says what comes next.
/// </summary>
public sealed class HeadDetectors
{
    // With a period of 2, what came after the last occurrence is the previous token: the detectors would be one.
    private const int LeastPeriod = 3;

    private readonly HeadDetection[] _heads;
    private readonly int[] _ids;

    private HeadDetectors(int[] ids, int period, int first, HeadDetection[] heads)
    {
        _ids = ids;
        (Period, First) = (period, first);
        _heads = heads;
    }

    /// <summary>After how many tokens the input repeats.</summary>
    public int Period { get; }

    /// <summary>The position at which what repeats begins: 1 where a token that begins a sequence stands before it.</summary>
    public int First { get; }

    /// <summary>The input. [T]</summary>
    public ReadOnlySpan<int> Ids => _ids;

    /// <summary>Every head whose pattern was recorded, by layer and head.</summary>
    public IReadOnlyList<HeadDetection> Heads => _heads;

    /// <summary>What <see cref="HeadDetection.PreviousToken"/> is of a head that looks at every position alike, for orientation: the mean of 1 / (t + 1).</summary>
    public double UniformPreviousToken => Uniform(First + 1);

    /// <summary>What <see cref="HeadDetection.DuplicateToken"/> and <see cref="HeadDetection.Induction"/> are of a head that looks at every position alike.</summary>
    public double UniformRepeat => Uniform(First + Period);

    /// <summary>
    /// Runs a model on random tokens that repeat, and looks. Before them stands the token that begins a sequence, if the model has one: without it the first of them
    /// would be where heads look that have nothing to look at.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="period">Tokens of one repetition, at least 3: all different, and none that begins or ends a sequence, where the vocabulary has that many.</param>
    /// <param name="repeats">How often they stand there, at least 2.</param>
    /// <param name="seed">Which random tokens.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="cancellation">Looked at before every block of the run.</param>
    /// <exception cref="ArrakisException">The period is below 3, the repeats below 2, or the input longer than the model's context.</exception>
    public static HeadDetectors Detect(LlamaModel model, int period = 32, int repeats = 2, int seed = 0, AnalysisOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        CheckPeriod(period);
        if (repeats < 2)
            throw new ArrakisException($"{repeats} repeats: use at least 2");
        int[] begin = model.Config.BosTokenId is { } bos ? [bos] : [];
        if (begin.Length + (long)period * repeats > model.Config.MaxPositionEmbeddings)
        {
            throw new ArrakisException(
                $"{repeats} repeats of {period} tokens{(begin.Length > 0 ? " after one that begins" : "")} are more than the model's context of {model.Config.MaxPositionEmbeddings}: use fewer");
        }

        int[] ids = [.. begin, .. RandomIds(model.Config, period, repeats, seed)];
        options ??= new AnalysisOptions();
        using LlamaSession session = model.CreateSession(
            RecordingPlan.Of(HookPoint.Pattern), new SessionOptions { Threads = options.Threads, Kernels = options.Kernels });
        session.Forward(ids, cancellation);
        return Measure(session.Cache, period, begin.Length);
    }

    /// <summary>Looks at a run of one's own.</summary>
    /// <param name="cache">A run from its beginning over ids that repeat, recorded with at least <c>attn.pattern</c>; layers without it are left out.</param>
    /// <param name="period">After how many tokens they repeat, at least 3.</param>
    /// <param name="first">From which position on they do, such as 1 after a token that begins a sequence.</param>
    /// <exception cref="ArrakisException">The period is below 3, the ids do not repeat with it, there is no such position, or no layer's pattern is recorded.</exception>
    public static HeadDetectors Measure(ActivationCache cache, int period, int first = 0)
    {
        ArgumentNullException.ThrowIfNull(cache);
        CheckPeriod(period);
        if (cache.Tokens == 0)
            throw new ArrakisException("nothing is recorded yet: run a forward pass first");
        Requirements.Whole(cache);
        Requirements.Position(cache.Tokens, first, "position");
        CheckRepetition(cache.Ids, period, first);
        int[] layers = [.. Enumerable.Range(0, cache.Config.NumHiddenLayers).Where(l => cache.Contains(HookPoint.Pattern, l))];
        if (layers.Length == 0)
            Requirements.Recorded(cache, "heads", 0, HookPoint.Pattern);
        int tokens = cache.Tokens;
        var heads = new List<HeadDetection>();
        foreach (int layer in layers)
        {
            ReadOnlySpan<float> pattern = cache.Flat(HookPoint.Pattern, layer);
            for (int h = 0; h < cache.Config.NumAttentionHeads; h++)
            {
                ReadOnlySpan<float> head = pattern.Slice(h * tokens * tokens, tokens * tokens);
                heads.Add(new(layer, h, Mean(head, tokens, first + 1, 1), Mean(head, tokens, first + period, period), Mean(head, tokens, first + period, period - 1)));
            }
        }

        foreach (HeadDetection head in heads)
            Requirements.Finite([head.PreviousToken, head.DuplicateToken, head.Induction], $"the pattern of head {head.Layer}.{head.Head}");
        return new HeadDetectors(cache.Ids.ToArray(), period, first, [.. heads]);
    }

    private static void CheckPeriod(int period)
    {
        if (period < LeastPeriod)
        {
            throw new ArrakisException(
                $"the period is {period}: use at least {LeastPeriod}, or what followed a token's last occurrence is no other place than the token before");
        }
    }

    private static void CheckRepetition(ReadOnlySpan<int> ids, int period, int first)
    {
        if (ids.Length - first <= period)
            throw new ArrakisException($"the input of {ids.Length} tokens is over before a period of {period} repeats: use a longer input or a shorter period");
        int same = first + ids[(first + period)..].CommonPrefixLength(ids[first..]);
        if (same < ids.Length - period)
        {
            throw new ArrakisException(
                $"the ids do not repeat with a period of {period}: position {same} has {ids[same]} and position {same + period} has {ids[same + period]}");
        }
    }

    private static int[] RandomIds(LlamaConfig c, int period, int repeats, int seed)
    {
        int[] ordinary = [.. Enumerable.Range(0, c.VocabSize).Where(id => id != c.BosTokenId && !c.EosTokenIds.Contains(id))];
        int[] pool = ordinary.Length >= period ? ordinary : [.. Enumerable.Range(0, c.VocabSize)];
        new Random(seed).Shuffle(pool);
        int[] ids = new int[period * repeats];
        for (int t = 0; t < ids.Length; t++)
            ids[t] = pool[t % period % pool.Length];
        return ids;
    }

    /// <summary>The mean of A[t, t − back] over t ≥ first.</summary>
    private static double Mean(ReadOnlySpan<float> pattern, int tokens, int first, int back)
    {
        double sum = 0;
        for (int t = first; t < tokens; t++)
            sum += pattern[t * tokens + t - back];
        return sum / (tokens - first);
    }

    private double Uniform(int first)
    {
        double sum = 0;
        for (int t = first; t < _ids.Length; t++)
            sum += 1.0 / (t + 1);
        return sum / (_ids.Length - first);
    }
}
