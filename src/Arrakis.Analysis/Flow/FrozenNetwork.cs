using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;

namespace Arrakis.Analysis;

/// <summary>
/// The network with the patterns, norm scales and SiLU(gate) of a run (Elhage et al. 2021): linear in the residual stream, so that a stream is carried up and a
/// covector down with the same weights.
/// Rows stand for a window of positions; elsewhere a stream or a covector is zero.
/// </summary>
internal sealed unsafe class FrozenNetwork
{
    private readonly Compute _compute;
    private readonly ActivationCache _cache;
    private readonly FrozenMlp? _mlp;
    private readonly float* _heads;
    private readonly float* _rows;

    /// <param name="compute">With room for <see cref="Floats"/>.</param>
    /// <param name="cache">The run.</param>
    /// <param name="throughMlp">False where the MLP passes nothing on.</param>
    /// <param name="rows">The most positions of a window.</param>
    public FrozenNetwork(Compute compute, ActivationCache cache, bool throughMlp, int rows)
    {
        _compute = compute;
        _cache = cache;
        _mlp = throughMlp ? new FrozenMlp(compute, cache, rows) : null;
        LlamaConfig c = compute.Config;
        _heads = compute.Take((long)rows * c.NumAttentionHeads * c.HeadDim);
        _rows = compute.Take((long)rows * c.HiddenSize);
    }

    private int D => _compute.Config.HiddenSize;

    /// <summary>Floats of working memory.</summary>
    public static long Floats(LlamaConfig c, int rows) => (long)rows * (c.NumAttentionHeads * c.HeadDim + c.HiddenSize) + FrozenMlp.Floats(c, rows);

    /// <summary>V(s) = (y[s] ∘ γ₁ / r₁[s]) W_V: what the heads of a layer find at their keys. [keys, G·K]</summary>
    public void Values(int layer, Window keys, float* y, float* v)
    {
        LlamaLayer w = _compute.Model.Weights.Layers[layer];
        _compute.Normed(y, w.AttentionNorm, Scale(HookPoint.Ln1Scale, layer, keys), _rows, keys.Length);
        _compute.Project(_rows, keys.Length, w.Value, v);
    }

    /// <summary>mid[t] = y[t] + Σ_h Σ_s A[h, t, s] V(s) W_O[h].</summary>
    public void Attention(int layer, Window keys, float* y, float* v, Window queries, float* mid)
    {
        fixed (float* pattern = _cache.Flat(HookPoint.Pattern, layer))
            _compute.Mix(pattern, _cache.Tokens, queries, keys, v, _heads);
        _compute.Project(_heads, queries.Length, _compute.Model.Weights.Layers[layer].Output, mid);
        AddShared(y, keys, mid, queries);
    }

    /// <summary>post[t] = mid[t] + (SiLU(gate[t]) ∘ ((mid[t] ∘ γ₂ / r₂[t]) W_up)) W_down.</summary>
    public void Mlp(int layer, Window rows, float* mid, float* post)
    {
        _mlp?.Forward(layer, rows.Positions, mid, post);
        PassBy(mid, post, rows.Length);
    }

    /// <summary>The adjoint of <see cref="Mlp"/>.</summary>
    public void MlpBack(int layer, Window rows, float* post, float* mid)
    {
        _mlp?.Back(layer, rows.Positions, post, mid);
        PassBy(post, mid, rows.Length);
    }

    /// <summary>G_z[t, h] = g[t] W_O[h]ᵀ: the covector as the heads' outputs see it. [queries, H·K]</summary>
    public void HeadCovectors(int layer, Window queries, float* mid, float* gz) =>
        _compute.ProjectBack(mid, queries.Length, _compute.Model.Weights.Layers[layer].Output, gz);

    /// <summary>The adjoint of <see cref="Attention"/> and <see cref="Values"/> together.</summary>
    public void AttentionBack(int layer, Window queries, float* mid, float* gz, Window keys, float* pre)
    {
        LlamaLayer w = _compute.Model.Weights.Layers[layer];
        fixed (float* pattern = _cache.Flat(HookPoint.Pattern, layer))
            _compute.MixBack(pattern, _cache.Tokens, queries, keys, gz, _heads);
        _compute.ProjectBack(_heads, keys.Length, w.Value, pre);
        _compute.Normed(pre, w.AttentionNorm, Scale(HookPoint.Ln1Scale, layer, keys), pre, keys.Length);
        AddShared(mid, queries, pre, keys);
    }

    /// <summary>The scales of a window.</summary>
    public ReadOnlySpan<float> Scale(HookPoint point, int layer, Window rows) => _cache.Flat(point, layer).Slice(rows.First, rows.Length);

    private void AddShared(float* from, Window fromRows, float* to, Window toRows)
    {
        for (int t = Math.Max(fromRows.First, toRows.First); t <= Math.Min(fromRows.Last, toRows.Last); t++)
        {
            Span<float> row = Compute.Row(to, t - toRows.First, D);
            TensorPrimitives.Add(row, Compute.Row(from, t - fromRows.First, D), row);
        }
    }

    // Beside what goes through an MLP, where anything does.
    private void PassBy(float* from, float* to, int rows)
    {
        if (_mlp is null)
            new ReadOnlySpan<float>(from, rows * D).CopyTo(new Span<float>(to, rows * D));
        else
            _compute.Add(from, to, rows);
    }
}
