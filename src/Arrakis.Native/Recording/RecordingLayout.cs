using Arrakis.Native.Memory;

namespace Arrakis.Native;

/// <summary>
/// Which recorded tensors share memory: the residual stream after a layer is the stream before the next, and the embedding is the stream before
/// the first, so each is kept once. A plan, a model's shape and token counts then say every size.
/// </summary>
internal sealed class RecordingLayout
{
    private readonly LlamaConfig _config;
    private readonly (HookPoint Point, int Layer)[] _kept;
    private readonly int[] _slots;

    public RecordingLayout(RecordingPlan plan, LlamaConfig config)
    {
        _config = config;
        var kept = new List<(HookPoint, int)>();
        var names = new List<(HookPoint, int)>();
        _slots = new int[HookNames.All.Count * (config.NumHiddenLayers + 1)];
        Array.Fill(_slots, -1);
        foreach ((HookPoint point, int layer) in Order(config))
        {
            if (!plan.Includes(point, layer))
                continue;
            names.Add((point, layer));
            int home = Index(Home(point, layer));
            if (_slots[home] < 0)
            {
                _slots[home] = kept.Count;
                kept.Add((point, layer));
            }
        }

        _kept = [.. kept];
        Names = [.. names];
    }

    /// <summary>Every hook point that the plan keeps, in the order of the forward pass.</summary>
    public IReadOnlyList<(HookPoint Point, int Layer)> Names { get; }

    /// <summary>How many different tensors that is.</summary>
    public int Slots => _kept.Length;

    /// <summary>The tensor in which a hook point's values lie, whether the plan names this hook point or one that shares its memory; −1 if neither.</summary>
    public int Slot(HookPoint point, int layer) => _slots[Index(Home(point, layer))];

    /// <summary>How many numbers a slot holds.</summary>
    public long Count(int slot, int tokens, int keys) => _kept[slot].Point.Count(_config, tokens, keys);

    /// <summary>Floats of all slots in an arena.</summary>
    /// <exception cref="OverflowException">More than a long holds.</exception>
    public long TotalFloats(int tokens, int keys)
    {
        long total = 0;
        for (int slot = 0; slot < _kept.Length; slot++)
            total = checked(total + Arena.Footprint(Count(slot, tokens, keys)));
        return total;
    }

    /// <summary>Bytes of all slots in an arena.</summary>
    /// <exception cref="ArrakisException">More than a long holds.</exception>
    public long TotalBytes(int tokens, int past)
    {
        try
        {
            return checked(sizeof(float) * TotalFloats(tokens, past + tokens));
        }
        catch (OverflowException e)
        {
            throw new ArrakisException($"recording {tokens} tokens after {past} takes more bytes than can be counted: record fewer hook points, layers or tokens", e);
        }
    }

    private static IEnumerable<(HookPoint Point, int Layer)> Order(LlamaConfig config)
    {
        yield return (HookPoint.Embed, 0);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            foreach (HookPoint point in HookNames.All)
            {
                if (point.IsPerLayer())
                    yield return (point, layer);
            }
        }

        yield return (HookPoint.LnFinalScale, 0);
        yield return (HookPoint.LnFinalNormalized, 0);
        yield return (HookPoint.Logits, 0);
    }

    // The stream between layers belongs to the layer that reads it; the last layer's output to a layer past the end.
    private static (HookPoint Point, int Layer) Home(HookPoint point, int layer) => point switch
    {
        HookPoint.Embed => (HookPoint.ResidPre, 0),
        HookPoint.ResidPost => (HookPoint.ResidPre, layer + 1),
        _ => (point, layer),
    };

    private static int Index((HookPoint Point, int Layer) home) => home.Layer * HookNames.All.Count + (int)home.Point;
}
