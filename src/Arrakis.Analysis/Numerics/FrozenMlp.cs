using Arrakis.Native;
using Arrakis.Native.Model;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// A layer's MLP with its norm scale and SiLU(gate) frozen at the values of a run, which makes it linear: what it writes for rows that stand at given positions, and what
/// becomes of a covector that goes back through it. Given the run's own resid_mid, it is the run's own mlp_out.
/// </summary>
internal sealed unsafe class FrozenMlp
{
    private readonly Compute _compute;
    private readonly ActivationCache _cache;
    private readonly float* _wide;
    private readonly float[] _scales;

    /// <param name="compute">With room for <see cref="Floats"/>.</param>
    /// <param name="cache">The run, recorded with <c>mlp.pre</c> and <c>ln2.scale</c> of the layers that are asked for.</param>
    /// <param name="rows">The most rows at once.</param>
    public FrozenMlp(Compute compute, ActivationCache cache, int rows)
    {
        (_compute, _cache, _scales) = (compute, cache, new float[rows]);
        _wide = compute.Take((long)rows * compute.Config.IntermediateSize);
    }

    /// <summary>Floats of working memory.</summary>
    public static long Floats(LlamaConfig c, int rows) => (long)rows * c.IntermediateSize;

    /// <summary>to[i] = (SiLU(gate[t]) ∘ ((mid[i] ∘ γ₂ / r₂[t]) W_up)) W_down with t the position of row i.</summary>
    /// <param name="layer">Which layer.</param>
    /// <param name="positions">Where the rows stand, in any order.</param>
    /// <param name="mid">[positions, D].</param>
    /// <param name="to">[positions, D], another run than <paramref name="mid"/>.</param>
    public void Forward(int layer, ReadOnlySpan<int> positions, float* mid, float* to)
    {
        LlamaLayer w = _compute.Model.Weights.Layers[layer];
        _compute.Normed(mid, w.MlpNorm, Scales(layer, positions), to, positions.Length);
        _compute.Project(to, positions.Length, w.Up, _wide);
        Gate(layer, positions);
        _compute.Project(_wide, positions.Length, w.Down, to);
    }

    /// <summary>The adjoint: to[i] = ((SiLU(gate[t]) ∘ (g[i] W_downᵀ)) W_upᵀ) ∘ γ₂ / r₂[t].</summary>
    /// <param name="layer">Which layer.</param>
    /// <param name="positions">Where the rows stand, in any order.</param>
    /// <param name="g">[positions, D].</param>
    /// <param name="to">[positions, D], another run than <paramref name="g"/>.</param>
    public void Back(int layer, ReadOnlySpan<int> positions, float* g, float* to)
    {
        LlamaLayer w = _compute.Model.Weights.Layers[layer];
        _compute.ProjectBack(g, positions.Length, w.Down, _wide);
        Gate(layer, positions);
        _compute.ProjectBack(_wide, positions.Length, w.Up, to);
        _compute.Normed(to, w.MlpNorm, Scales(layer, positions), to, positions.Length);
    }

    private void Gate(int layer, ReadOnlySpan<int> positions)
    {
        int f = _compute.Config.IntermediateSize;
        fixed (float* gate = _cache.Flat(HookPoint.MlpPre, layer))
        {
            for (int i = 0; i < positions.Length; i++)
                _compute.SiluMultiply(gate + (nint)positions[i] * f, _wide + (nint)i * f, _wide + (nint)i * f, f);
        }
    }

    private ReadOnlySpan<float> Scales(int layer, ReadOnlySpan<int> positions)
    {
        ReadOnlySpan<float> all = _cache.Flat(HookPoint.Ln2Scale, layer);
        for (int i = 0; i < positions.Length; i++)
            _scales[i] = all[positions[i]];
        return _scales.AsSpan(0, positions.Length);
    }
}
