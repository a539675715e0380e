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

    /// <summary>The norm's output times its weight, [chunk, D]: what the projections read.</summary>
    public float* Normed { get; private set; }

    /// <summary>Activations packed for a product.</summary>
    public float* Packed { get; private set; }

    /// <summary>The last position's logits [V], where no logits are recorded.</summary>
    public float* LastLogits { get; private set; }

    /// <summary>Every worker's own memory.</summary>
    public WorkerScratch Workers { get; private set; }

    /// <summary>The recording's layout.</summary>
    public RecordingLayout Layout => layout;

    /// <summary>Lays out a pass of <paramref name="tokens"/> over <paramref name="keys"/>, at most <paramref name="chunk"/> tokens at a time.</summary>
    public void Prepare(int tokens, int keys, int chunk, long packed, int workers, long perWorker)
    {
        _tokens = tokens;
        _keys = keys;
        int d = config.HiddenSize, q = config.NumAttentionHeads * config.HeadDim, kv = config.NumKeyValueHeads * config.HeadDim;
        ReadOnlySpan<long> sizes = stackalloc long[]
        {
            (long)chunk * d, (long)chunk * d, (long)chunk * d, (long)chunk * d, chunk, (long)chunk * q, (long)chunk * q, (long)chunk * kv, (long)chunk * kv,
            (long)chunk * config.IntermediateSize, (long)chunk * config.IntermediateSize, config.VocabSize, packed, workers * perWorker,
        };
        long total = layout.TotalFloats(tokens, keys);
        foreach (long size in sizes)
            total += Arena.Footprint(size);
        arena.Reset(total);
        for (int slot = 0; slot < _recorded.Length; slot++)
            _recorded[slot] = (nint)arena.Take(layout.Count(slot, tokens, keys));

        // Values that are never needed at once share memory; so do a value and what is computed from it in place.
        Share(sizes[0], HookPoint.ResidPre, HookPoint.ResidPost, HookPoint.Embed);
        Share(sizes[1], HookPoint.ResidMid);
        Share(sizes[2], HookPoint.AttnOut, HookPoint.MlpOut);
        Normed = Share(sizes[3], HookPoint.Ln1Normalized, HookPoint.Ln2Normalized, HookPoint.LnFinalNormalized);
        Share(sizes[4], HookPoint.Ln1Scale, HookPoint.Ln2Scale, HookPoint.LnFinalScale);
        Share(sizes[5], HookPoint.Q, HookPoint.RotQ);
        Share(sizes[6], HookPoint.Z);
        Share(sizes[7], HookPoint.K);
        Share(sizes[8], HookPoint.V);
        Share(sizes[9], HookPoint.MlpPre);
        Share(sizes[10], HookPoint.MlpPreLinear, HookPoint.MlpPost);
        LastLogits = Share(sizes[11]);
        Packed = Share(sizes[12]);
        Workers = new WorkerScratch(Share(sizes[13]), (nint)perWorker);
    }

    // No params: not even a build for debugging allocates here.
    private float* Share(long size, HookPoint? a = null, HookPoint? b = null, HookPoint? c = null)
    {
        float* run = arena.Take(size);
        if (a is { } first)
            _scratch[(int)first] = (nint)run;
        if (b is { } second)
            _scratch[(int)second] = (nint)run;
        if (c is { } third)
            _scratch[(int)third] = (nint)run;
        return run;
    }

    /// <summary>Where the value of a hook point goes, from token <paramref name="first"/> of the call on.</summary>
    public float* At(HookPoint point, int layer, int first)
    {
        float* recorded = Recorded(point, layer);
        return recorded == null ? (float*)_scratch[(int)point] : recorded + first * point.Count(config, 1, 1);
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
