using Arrakis.Native;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// Rows of the residual stream at any place of a run, and of what its MLPs wrote: taken from the cache where they are recorded, else recomputed from what
/// <c>flow</c> records, at chosen positions only.
/// </summary>
/// <remarks>One at a time; its memory is that of the <see cref="Compute"/> it was made with.</remarks>
internal sealed unsafe class Residuals
{
    private readonly Compute _compute;
    private readonly ActivationCache _cache;
    private readonly int _rows;
    private readonly float* _z;
    private readonly float* _mid;
    private readonly float* _row;
    private readonly FrozenMlp _mlp;

    /// <param name="compute">Rented for products of that many rows and of <see cref="Depth"/> terms.</param>
    /// <param name="cache">A run of its model.</param>
    /// <param name="rows">The most positions that will be asked for at once.</param>
    public Residuals(Compute compute, ActivationCache cache, int rows)
    {
        LlamaConfig c = compute.Config;
        (_compute, _cache, _rows) = (compute, cache, rows);
        _z = compute.Take((long)rows * c.NumAttentionHeads * c.HeadDim);
        _mid = compute.Take((long)rows * c.HiddenSize);
        _row = compute.Take((long)rows * c.HiddenSize);
        _mlp = new FrozenMlp(compute, cache, rows);
    }

    /// <summary>About how many floats one takes.</summary>
    public static long Floats(LlamaConfig c, int rows) => (long)rows * (c.NumAttentionHeads * c.HeadDim + 2 * c.HiddenSize) + FrozenMlp.Floats(c, rows);

    /// <summary>The most terms of a sum in its products.</summary>
    public static int Depth(LlamaConfig c) => Math.Max(c.HiddenSize, Math.Max(c.NumAttentionHeads * c.HeadDim, c.IntermediateSize));

    /// <summary>Refuses a cache, or a run so changed, from which <see cref="Stream"/> cannot be had.</summary>
    public static void RequireStream(LlamaConfig c, ActivationCache cache, int boundary)
    {
        if (Find(c, cache, boundary) is not null)
            return;
        if (boundary < c.NumHiddenLayers)
            Requirements.Recorded(cache, "flow", boundary, HookPoint.ResidPre);
        RequireMid(cache, boundary - 1);
        RequireMlpOut(cache, boundary - 1);
        Requirements.Unchanged(cache, boundary - 1, HookPoint.ResidPost);
    }

    /// <summary>Refuses a cache, or a run so changed, from which <see cref="Mid"/> cannot be had.</summary>
    public static void RequireMid(ActivationCache cache, int layer)
    {
        if (cache.Contains(HookPoint.ResidMid, layer))
            return;
        Requirements.Recorded(cache, "flow", layer, HookPoint.ResidPre);
        Requirements.Unchanged(cache, layer, HookPoint.ResidMid);
        if (cache.Contains(HookPoint.AttnOut, layer))
            return;
        Requirements.Recorded(cache, "flow", layer, HookPoint.Z);
        Requirements.Unchanged(cache, layer, HookPoint.Result, HookPoint.AttnOut);
    }

    /// <summary>Refuses a cache, or a run so changed, from which <see cref="MlpOut(int, ReadOnlySpan{int}, float*)"/> cannot be had.</summary>
    public static void RequireMlpOut(ActivationCache cache, int layer)
    {
        if (cache.Contains(HookPoint.MlpOut, layer))
            return;
        RequireMid(cache, layer);
        Requirements.Recorded(cache, "flow", layer, HookPoint.Ln2Scale, HookPoint.MlpPre);
        Requirements.Unchanged(cache, layer, HookPoint.Ln2Normalized, HookPoint.MlpPreLinear, HookPoint.MlpPost, HookPoint.MlpOut);
    }

    /// <summary>The stream between layers: resid_pre of layer <paramref name="boundary"/>, or resid_post of the last where it is L.</summary>
    /// <param name="boundary">0 … L.</param>
    /// <param name="positions">Which positions, in any order.</param>
    /// <param name="to">[positions, D].</param>
    public void Stream(int boundary, ReadOnlySpan<int> positions, float* to)
    {
        if (Find(_compute.Config, _cache, boundary) is var (point, layer))
        {
            Gather(point, layer, positions, to);
            return;
        }

        Mid(boundary - 1, positions, to);
        MlpOut(boundary - 1, positions, to, _row);
        _compute.Add(_row, to, positions.Length);
    }

    /// <summary>resid_mid of a layer: the stream between its attention and its MLP.</summary>
    /// <param name="layer">Which layer.</param>
    /// <param name="positions">Which positions, in any order.</param>
    /// <param name="to">[positions, D].</param>
    public void Mid(int layer, ReadOnlySpan<int> positions, float* to)
    {
        if (_cache.Contains(HookPoint.ResidMid, layer))
        {
            Gather(HookPoint.ResidMid, layer, positions, to);
            return;
        }

        Gather(HookPoint.ResidPre, layer, positions, to);
        if (_cache.Contains(HookPoint.AttnOut, layer))
        {
            Gather(HookPoint.AttnOut, layer, positions, _row);
        }
        else
        {
            Gather(HookPoint.Z, layer, positions, _z);
            _compute.Project(_z, positions.Length, _compute.Model.Weights.Layers[layer].Output, _row);
        }

        _compute.Add(_row, to, positions.Length);
    }

    /// <summary>mlp_out of a layer: (SiLU(mlp.pre) ∘ ((resid_mid ∘ γ₂ / r₂) W_up)) W_down, with the gate and the scale of the run.</summary>
    /// <param name="layer">Which layer.</param>
    /// <param name="positions">Which positions, in any order.</param>
    /// <param name="to">[positions, D].</param>
    public void MlpOut(int layer, ReadOnlySpan<int> positions, float* to)
    {
        if (!_cache.Contains(HookPoint.MlpOut, layer))
            Mid(layer, positions, _mid);
        MlpOut(layer, positions, _mid, to);
    }

    /// <summary>The same with resid_mid [positions, D] at hand; it is not read where mlp_out is recorded.</summary>
    public void MlpOut(int layer, ReadOnlySpan<int> positions, float* mid, float* to)
    {
        if (_cache.Contains(HookPoint.MlpOut, layer))
        {
            Gather(HookPoint.MlpOut, layer, positions, to);
            return;
        }

        _mlp.Forward(layer, positions, mid, to);
    }

    // The stream after a layer is the stream before the next, and the embedding that before the first: any of the names will do.
    private static (HookPoint Point, int Layer)? Find(LlamaConfig c, ActivationCache cache, int boundary)
    {
        if (boundary < c.NumHiddenLayers && cache.Contains(HookPoint.ResidPre, boundary))
            return (HookPoint.ResidPre, boundary);
        if (boundary > 0 && cache.Contains(HookPoint.ResidPost, boundary - 1))
            return (HookPoint.ResidPost, boundary - 1);
        return boundary == 0 && cache.Contains(HookPoint.Embed) ? (HookPoint.Embed, 0) : null;
    }

    private void Gather(HookPoint point, int layer, ReadOnlySpan<int> positions, float* to)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(positions.Length, _rows);
        ReadOnlySpan<float> values = _cache.Flat(point, layer);
        int columns = values.Length / _cache.Tokens;
        for (int i = 0; i < positions.Length; i++)
            values.Slice(positions[i] * columns, columns).CopyTo(Compute.Row(to, i, columns));
    }
}
