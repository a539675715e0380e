namespace Arrakis.Native;

/// <summary>Where a callback's values stand.</summary>
/// <param name="Point">The hook point.</param>
/// <param name="Layer">Its layer; 0 where it has none.</param>
/// <param name="Head">The head, or the kv head for keys and values; 0 where the hook point has no heads.</param>
/// <param name="Position">The position in the sequence; the query's for scores and patterns.</param>
public readonly record struct InterventionSite(HookPoint Point, int Layer, int Head, int Position);

/// <summary>
/// Changes one row of a hook point in place: the last axis of its shape at one position and head (for scores and patterns, one query's row over the keys that it
/// may see). Rows of scores and patterns come from the session's worker threads, several at a time; all others from the thread that runs the pass.
/// What it throws ends the pass, and the call that runs it throws the same; of several that throw, one.
/// </summary>
/// <param name="site">Whose row.</param>
/// <param name="values">The row as computed, after the interventions that stand before this one in the plan.</param>
public delegate void InterventionCallback(InterventionSite site, Span<float> values);

/// <summary>
/// One change of what a forward pass computes: at a hook point, of one layer or all, one head or all, one position or all. Immutable; a session runs an
/// <see cref="InterventionPlan"/> of them.
/// </summary>
/// <remarks>
/// Positions are those of the sequence, and what is done at one is the same in <c>Forward</c> and in <c>Append</c>. Not every plan runs over a sequence cut in two, though: a call
/// refuses a position that it does not reach, and another run's values (<see cref="Replace"/>) unless that run's positions are the call's; one that continues a sequence refuses
/// means per position and <see cref="AsReadBy"/>. Where logits are not recorded, only those of a call's last position are computed, and changed.
/// Keys and values are shared by a group of query heads: an intervention there acts on the kv head, unless <see cref="AsReadBy"/> confines it to what one query head sees.
/// A change of <c>attn.hook_result</c> changes <c>hook_attn_out</c> by what it adds, and where every head is named at a position, <c>hook_attn_out</c> is
/// the sum of what they then write; a change of a norm's scale changes what is divided by it.
/// </remarks>
public sealed class Intervention
{
    private Intervention(InterventionKind kind, HookPoint point, int? layer, int? head, int? position, int? key)
    {
        HookNames.Name(point);
        Negative(layer, nameof(layer));
        Negative(head, nameof(head));
        Negative(position, nameof(position));
        Negative(key, nameof(key));
        (Kind, Point, Layer, Head, Position, Key) = (kind, point, point.IsPerLayer() ? layer : 0, head, position, key);
    }

    /// <summary>The hook point.</summary>
    public HookPoint Point { get; }

    /// <summary>The layer; null for all.</summary>
    public int? Layer { get; }

    /// <summary>The head, or kv head for keys and values; null for all.</summary>
    public int? Head { get; }

    /// <summary>The position, of the query for scores and patterns; null for all.</summary>
    public int? Position { get; }

    /// <summary>The key of scores and patterns; null for all.</summary>
    public int? Key { get; }

    /// <summary>The one query head that sees the change of a key or value; null for all that share it.</summary>
    public int? Reader { get; private init; }

    internal InterventionKind Kind { get; }

    /// <summary>The value of a fill, or the factor of a scale or of an added vector.</summary>
    internal float Factor { get; private init; } = 1;

    /// <summary>What is added or set: one row for every site.</summary>
    internal float[]? Vector { get; private init; }

    internal ActivationCache? Cache { get; private init; }

    internal ActivationMeans? Means { get; private init; }

    internal InterventionCallback? Callback { get; private init; }

    /// <summary>Sets to zero.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence (the query for scores and patterns); null for all.</param>
    /// <param name="key">A key of scores and patterns; null for all.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Zero(HookPoint point, int? layer = null, int? head = null, int? position = null, int? key = null) =>
        new(InterventionKind.Fill, point, layer, head, position, key) { Factor = 0 };

    /// <summary>Multiplies by a factor.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="factor">By how much; a finite number.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence (the query for scores and patterns); null for all.</param>
    /// <param name="key">A key of scores and patterns; null for all.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Scale(HookPoint point, float factor, int? layer = null, int? head = null, int? position = null, int? key = null) =>
        new(InterventionKind.Scale, point, layer, head, position, key) { Factor = factor };

    /// <summary>Adds a vector times a factor: steering.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="vector">As long as a row of the hook point (a single number where <paramref name="key"/> is given); copied.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence (the query for scores and patterns); null for all.</param>
    /// <param name="key">A key of scores and patterns; needed there.</param>
    /// <param name="factor">How much of it.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Add(
        HookPoint point, ReadOnlySpan<float> vector, int? layer = null, int? head = null, int? position = null, int? key = null, float factor = 1) =>
        new(InterventionKind.Add, point, layer, head, position, key) { Factor = factor, Vector = vector.ToArray() };

    /// <summary>Replaces by given values.</summary>
    /// <inheritdoc cref="Add"/>
    public static Intervention Set(HookPoint point, ReadOnlySpan<float> vector, int? layer = null, int? head = null, int? position = null, int? key = null) =>
        new(InterventionKind.Replace, point, layer, head, position, key) { Vector = vector.ToArray() };

    /// <summary>Replaces by the values at the same place of another run: activation patching, or freezing where it is the same input's.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="cache">A run of the same model over as many tokens, of another session than the one that is changed. Its values are read when the pass runs.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence (the query for scores and patterns); null for all.</param>
    /// <param name="key">A key of scores and patterns; null for all.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Replace(HookPoint point, ActivationCache cache, int? layer = null, int? head = null, int? position = null, int? key = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        return new(InterventionKind.Replace, point, layer, head, position, key) { Cache = cache };
    }

    /// <summary>Replaces by a mean over a reference set.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="means">Means of this model's runs; read when the pass runs.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence; null for all.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Mean(HookPoint point, ActivationMeans means, int? layer = null, int? head = null, int? position = null)
    {
        ArgumentNullException.ThrowIfNull(means);
        return new(InterventionKind.Replace, point, layer, head, position, null) { Means = means };
    }

    /// <summary>Cuts one edge of attention: the query no longer reads the key.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="head">The query head.</param>
    /// <param name="query">The position that reads.</param>
    /// <param name="key">The position that is read, at or before it.</param>
    /// <param name="renormalize">
    /// Whether the other keys take over the weight, so that the row still sums to 1 (the score becomes −∞); or not (the pattern's entry becomes 0).
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative.</exception>
    public static Intervention CutEdge(int layer, int head, int query, int key, bool renormalize = true) =>
        new(InterventionKind.Fill, renormalize ? HookPoint.AttnScores : HookPoint.Pattern, layer, head, query, key)
        {
            Factor = renormalize ? float.NegativeInfinity : 0,
        };

    /// <summary>Lets a function change every row that is named: of the logits, where they are not recorded, only a call's last, which alone is computed.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="callback">The function; it may be called from several threads at once.</param>
    /// <param name="layer">Its layer; null for all, ignored where the hook point has none.</param>
    /// <param name="head">A head (a kv head for keys and values); null for all.</param>
    /// <param name="position">A position of the sequence (the query for scores and patterns); null for all.</param>
    /// <exception cref="ArgumentOutOfRangeException">One of them is negative, or the point is no hook point.</exception>
    public static Intervention Call(HookPoint point, InterventionCallback callback, int? layer = null, int? head = null, int? position = null)
    {
        ArgumentNullException.ThrowIfNull(callback);
        return new(InterventionKind.Call, point, layer, head, position, null) { Callback = callback };
    }

    /// <summary>
    /// The same change of keys or values as one query head alone sees it: the others of its group go on reading what the kv head holds. What is recorded of the kv
    /// head stays as it is. At every hook point it acts on what the interventions that all heads see have left there, wherever in the plan they stand; where it changes
    /// <c>attn.hook_k</c>, theirs at <c>attn.hook_rot_k</c> act once more, on what it leads to.
    /// </summary>
    /// <param name="queryHead">The query head; the kv head is the one that it reads.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    public Intervention AsReadBy(int queryHead)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(queryHead);
        return new(Kind, Point, Layer, null, Position, Key)
        {
            Reader = queryHead,
            Factor = Factor,
            Vector = Vector,
            Cache = Cache,
            Means = Means,
            Callback = Callback,
        };
    }

    private static void Negative(int? value, string name)
    {
        if (value is { } v)
            ArgumentOutOfRangeException.ThrowIfNegative(v, name);
    }
}

/// <summary>What is done to a row.</summary>
internal enum InterventionKind
{
    /// <summary>Every value becomes the factor.</summary>
    Fill,

    /// <summary>Every value is multiplied by the factor.</summary>
    Scale,

    /// <summary>The source times the factor is added.</summary>
    Add,

    /// <summary>The source takes its place.</summary>
    Replace,

    /// <summary>A function is called with it.</summary>
    Call,
}
