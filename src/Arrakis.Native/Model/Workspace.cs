using Arrakis.Native.Memory;

namespace Arrakis.Native.Model;

/// <summary>
/// Where every value of a forward pass is written: into the recording where the plan keeps it, else into scratch memory that the next layer overwrites.
/// The forward pass asks <see cref="At"/> and need not know which.
/// </summary>
internal sealed unsafe class Workspace(LlamaConfig config, RecordingLayout layout, Arena arena)
{
    private readonly nint[] _recorded = new nint[layout.Slots];
    private readonly nint[] _scratch = new nint[HookNames.All.Count];
    private int _tokens;
    private int _keys;
    private long _measured;
    private bool _measuring;

    /// <summary>The norm's output times its weight, [chunk, D]: what the projections read.</summary>
    public float* Normed { get; private set; }

    /// <summary>Activations packed for a product.</summary>
    public float* Packed { get; private set; }

    /// <summary>SiLU(gate) ∘ up, packed.</summary>
    public float* PackedHidden { get; private set; }

    /// <summary>The last position's logits [V], where no logits are recorded.</summary>
    public float* LastLogits { get; private set; }

    /// <summary>What interventions need of their own.</summary>
    public float* Interventions { get; private set; }

    /// <summary>Every worker's own memory.</summary>
    public WorkerScratch Workers { get; private set; }

    /// <summary>The recording's layout.</summary>
    public RecordingLayout Layout => layout;

    /// <summary>Lays out a pass of <paramref name="tokens"/> over <paramref name="keys"/>, at most <paramref name="chunk"/> tokens at a time.</summary>
    public void Prepare(int tokens, int keys, int chunk, long packed, long packedHidden, int workers, long perWorker, long interventions)
    {
        _tokens = tokens;
        _keys = keys;
        // Laid out twice: first to learn the size, then in memory of that size.
        _measured = layout.TotalFloats(tokens, keys);
        _measuring = true;
        Lay(chunk, packed, packedHidden, workers, perWorker, interventions);
        _measuring = false;
        arena.Reset(_measured);
        for (int slot = 0; slot < _recorded.Length; slot++)
            _recorded[slot] = (nint)arena.Take(layout.Count(slot, tokens, keys));
        Lay(chunk, packed, packedHidden, workers, perWorker, interventions);
    }

    // Values that are never needed at once share memory; so do a value and what is computed from it in place.
    private void Lay(int chunk, long packed, long packedHidden, int workers, long perWorker, long interventions)
    {
        long d = (long)chunk * config.HiddenSize, f = (long)chunk * config.IntermediateSize;
        long q = (long)chunk * config.NumAttentionHeads * config.HeadDim, kv = (long)chunk * config.NumKeyValueHeads * config.HeadDim;
        Share(d, HookPoint.ResidPre, HookPoint.ResidPost, HookPoint.Embed);
        Share(d, HookPoint.ResidMid);
        Share(d, HookPoint.AttnOut, HookPoint.MlpOut);
        Normed = Share(d, HookPoint.Ln1Normalized, HookPoint.Ln2Normalized, HookPoint.LnFinalNormalized);
        Share(chunk, HookPoint.Ln1Scale, HookPoint.Ln2Scale, HookPoint.LnFinalScale);
        Share(q, HookPoint.Q, HookPoint.RotQ);
        Share(q, HookPoint.Z);
        Share(kv, HookPoint.K);
        Share(kv, HookPoint.V);
        Share(f, HookPoint.MlpPre);
        Share(f, HookPoint.MlpPreLinear, HookPoint.MlpPost);
        LastLogits = Share(config.VocabSize);
        Packed = Share(packed);
        PackedHidden = Share(packedHidden);
        Interventions = Share(interventions);
        Workers = new WorkerScratch(Share(workers * perWorker), (nint)perWorker);
    }

    // No params: not even a build for debugging allocates here.
    private float* Share(long size, HookPoint? a = null, HookPoint? b = null, HookPoint? c = null)
    {
        if (_measuring)
        {
            _measured += Arena.Footprint(size);
            return null;
        }

        float* run = arena.Take(size);
        if (a is { } first)
            _scratch[(int)first] = (nint)run;
        if (b is { } second)
            _scratch[(int)second] = (nint)run;
        if (c is { } third)
            _scratch[(int)third] = (nint)run;
        return run;
    }

    /// <summary>Where the value of a hook point goes, from token <paramref name="first"/> of the call on, which is token <paramref name="inChunk"/> of its chunk.</summary>
    public float* At(HookPoint point, int layer, int first, int inChunk)
    {
        float* recorded = Recorded(point, layer);
        long each = point.Count(config, 1, 1);
        return recorded == null ? (float*)_scratch[(int)point] + inChunk * each : recorded + first * each;
    }

    /// <summary>The recording of a hook point, from its beginning, or null where it is not recorded.</summary>
    public float* Recorded(HookPoint point, int layer)
    {
        int slot = layout.Slot(point, layer);
        return slot < 0 ? null : (float*)_recorded[slot];
    }

    /// <summary>A recorded tensor as memory.</summary>
    public ReadOnlyMemory<float> Memory(int slot) => arena.AsMemory((float*)_recorded[slot], layout.Count(slot, _tokens, _keys));

    /// <summary>The last position's logits as memory, where no logits are recorded.</summary>
    public ReadOnlyMemory<float> LastLogitsMemory => arena.AsMemory(LastLogits, config.VocabSize);
}
