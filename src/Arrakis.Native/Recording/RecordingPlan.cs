namespace Arrakis.Native;

/// <summary>
/// What a forward pass keeps: hook points, and of which layers. Its size in bytes is known before anything runs. Immutable; plans are combined with
/// <see cref="Union"/> and narrowed with <see cref="ForLayers"/>.
/// </summary>
public sealed class RecordingPlan
{
    private static readonly HookPoint[] s_heads =
    [
        HookPoint.ResidPre, HookPoint.Ln1Scale, HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Pattern, HookPoint.Z, HookPoint.Ln2Scale, HookPoint.LnFinalScale,
    ];

    private static readonly uint s_ofNoLayer = HookNames.All.Where(point => !point.IsPerLayer()).Aggregate(0u, (mask, point) => mask | Bit(point));

    private readonly Part[] _parts;

    private RecordingPlan(Part[] parts) => _parts = parts;

    /// <summary>Nothing is kept.</summary>
    public static RecordingPlan None { get; } = new([]);

    /// <summary>
    /// What the analyses of heads need: <c>resid_pre</c>, <c>ln1.scale</c>, <c>ln2.scale</c>, <c>attn.q</c>, <c>attn.k</c>, <c>attn.v</c>,
    /// <c>attn.pattern</c>, <c>attn.z</c>, <c>ln_final.scale</c>.
    /// </summary>
    public static RecordingPlan Heads { get; } = Of(s_heads);

    /// <summary>What traced flow needs: <see cref="Heads"/> and <c>mlp.pre</c>.</summary>
    public static RecordingPlan Flow { get; } = Of([.. s_heads, HookPoint.MlpPre]);

    /// <summary>Every hook point of every layer.</summary>
    public static RecordingPlan All { get; } = Of([.. HookNames.All]);

    /// <summary>The given hook points, of every layer.</summary>
    /// <exception cref="ArgumentOutOfRangeException">One of them is no hook point.</exception>
    public static RecordingPlan Of(params ReadOnlySpan<HookPoint> points)
    {
        uint mask = 0;
        foreach (HookPoint point in points)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)point, (uint)HookNames.All.Count, nameof(points));
            mask |= Bit(point);
        }

        return mask == 0 ? new([]) : new([new Part(mask, 0, int.MaxValue)]);
    }

    /// <summary>
    /// Reads a specification: <c>none</c>, <c>heads</c>, <c>flow</c>, <c>all</c>, or a comma list of hook names without their <c>blocks.{l}.</c> and
    /// <c>hook_</c> parts, such as <c>z,pattern,resid_pre,ln1.scale,attn.result</c>.
    /// </summary>
    /// <exception cref="ArrakisException">A name is no hook point's, or is ambiguous.</exception>
    public static RecordingPlan Parse(string specification)
    {
        switch (specification.Trim())
        {
            case "none": return None;
            case "heads": return Heads;
            case "flow": return Flow;
            case "all": return All;
            default: return Of([.. specification.Split(',', StringSplitOptions.TrimEntries).Select(HookNames.ParseShort)]);
        }
    }

    /// <summary>Whether nothing is kept.</summary>
    public bool IsEmpty => _parts.Length == 0;

    /// <summary>This plan, but of its per-layer hook points only those of layers <paramref name="first"/> … <paramref name="last"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The first is negative, or after the last.</exception>
    public RecordingPlan ForLayers(int first, int last)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(last, first);
        return new([.. _parts.Select(p => p.Within(first, last)).Where(p => p.Points != 0)]);
    }

    /// <summary>All that either plan keeps.</summary>
    public RecordingPlan Union(RecordingPlan other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new([.. _parts, .. other._parts]);
    }

    /// <summary>Whether the hook point is kept, of that layer (ignored where the hook point has none).</summary>
    public bool Includes(HookPoint point, int layer = 0)
    {
        bool perLayer = point.IsPerLayer();
        foreach (Part part in _parts)
        {
            if ((part.Points & Bit(point)) != 0 && (!perLayer || (layer >= part.First && layer <= part.Last)))
                return true;
        }

        return false;
    }

    /// <summary>Bytes that a recording takes, exactly as the run will lay it out.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="tokens">T: tokens of one forward pass.</param>
    /// <param name="past">Tokens of the sequence before them; patterns and scores reach back over them.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number of tokens is negative.</exception>
    /// <exception cref="ArrakisException">It is more than a <see cref="long"/> holds.</exception>
    public long GetBytes(LlamaConfig config, int tokens, int past = 0)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        ArgumentOutOfRangeException.ThrowIfNegative(past);
        return new RecordingLayout(this, config).TotalBytes(tokens, past);
    }

    /// <summary>Refuses a plan that names a layer the model does not have.</summary>
    internal void Check(LlamaConfig config)
    {
        foreach (Part part in _parts)
        {
            if (part.First >= config.NumHiddenLayers || (part.Last != int.MaxValue && part.Last >= config.NumHiddenLayers))
            {
                string layers = part.Last == int.MaxValue ? $"from {part.First} on" : $"{part.First}-{part.Last}";
                throw new ArrakisException($"the recording names layers {layers}: the model has layers 0-{config.NumHiddenLayers - 1}");
            }
        }
    }

    private static uint Bit(HookPoint point) => 1u << (int)point;

    private sealed record Part(uint Points, int First, int Last)
    {
        /// <summary>What of this is of the given layers. Hook points of no layer are of any: where no layer is left, they are.</summary>
        public Part Within(int first, int last)
        {
            (first, last) = (Math.Max(First, first), Math.Min(Last, last));
            return first <= last ? this with { First = first, Last = last } : new Part(Points & s_ofNoLayer, 0, int.MaxValue);
        }
    }
}
