using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

/// <summary>
/// What every head of a layer writes to the residual stream: c[t, h] = z[t, h] W_O[h], its norm, and its signed share of what all heads of the layer write.
/// Norms come from the K×K Gram matrices W_O[h] W_O[h]ᵀ; no head's write is materialised.
/// </summary>
public sealed class HeadWrites
{
    private readonly float[] _norms;
    private readonly float[] _shares;
    private readonly double[] _strengths;
    private readonly double[] _ovNorms;

    private HeadWrites(int layer, int tokens, float[] norms, float[] shares, double[] strengths, double[] ovNorms, double shareError)
    {
        Layer = layer;
        Tokens = tokens;
        _norms = norms;
        _shares = shares;
        _strengths = strengths;
        _ovNorms = ovNorms;
        ShareError = shareError;
    }

    /// <summary>The layer.</summary>
    public int Layer { get; }

    /// <summary>H.</summary>
    public int Heads => _ovNorms.Length;

    /// <summary>T; 0 where there is no input.</summary>
    public int Tokens { get; }

    /// <summary>The mean over tokens of the write norm; the OV norm where there is no input. [H]</summary>
    public ReadOnlySpan<double> Strengths => _strengths;

    /// <summary>‖Ŵ_V[g(h)] W_O[h]‖_F, from the weights alone, with the norm's weight folded into W_V. [H]</summary>
    public ReadOnlySpan<double> OvNorms => _ovNorms;

    /// <summary>
    /// The largest |Σ_h share − 1| over the tokens at which the layer's attention writes anything, relative to the largest share there, or 1: rounding, and nothing else.
    /// </summary>
    public double ShareError { get; }

    /// <summary>‖c[t, h]‖₂ over the tokens. [T]; empty where there is no input.</summary>
    public ReadOnlySpan<float> Norms(int head) => _norms.AsSpan(head * Tokens, Tokens);

    /// <summary>
    /// ⟨c, attn_out[t]⟩ / ‖attn_out[t]‖² over the tokens: signed, and the sum over heads is 1 at every token. 0 for all heads where attn_out is zero.
    /// [T]; empty where there is no input.
    /// </summary>
    public ReadOnlySpan<float> Shares(int head) => _shares.AsSpan(head * Tokens, Tokens);

    /// <summary>The heads that a rule selects, strongest first.</summary>
    /// <exception cref="ArrakisException">The threshold is outside (0, 1].</exception>
    public IReadOnlyList<HeadStrength> Select(double threshold = 0.8, SelectionRule rule = SelectionRule.Share) =>
        HeadSelection.Select(Layer, _strengths, threshold, rule);

    /// <summary>Measures what was written in a run.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it, recorded with at least <c>attn.z</c>.</param>
    /// <param name="layer">Which layer.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <exception cref="ArrakisException">There is no such layer, the cache is of another model, was changed by an intervention between z and attn_out, or lacks z; the message names a recording that has it.</exception>
    public static unsafe HeadWrites Measure(LlamaModel model, ActivationCache cache, int layer, AnalysisOptions? options = null)
    {
        Requirements.Cache(model, cache);
        Requirements.Layer(model.Config, layer);
        Requirements.Recorded(cache, "heads", layer, HookPoint.Z);
        Requirements.Unchanged(cache, layer, HookPoint.Result, HookPoint.AttnOut);
        LlamaConfig c = model.Config;
        int tokens = cache.Tokens, heads = c.NumAttentionHeads, k = c.HeadDim, d = c.HiddenSize;
        float[] norms = new float[heads * tokens], shares = new float[heads * tokens];
        double[] strengths = new double[heads];
        using Compute compute = Compute.Rent(model, options, tokens, Math.Max(d, heads * k), (long)tokens * (d + heads * k));
        fixed (float* z = cache.Flat(HookPoint.Z, layer), forms = norms)
        {
            float[] grams = ModelGrams.Of(model).Get(compute, layer, Projection.Output);
            fixed (float* m = grams)
                compute.QuadraticForms(z, (nint)heads * k, tokens, heads, m, forms);
            // Rounding may take the square of nothing below zero.
            TensorPrimitives.Max(norms, 0f, norms);
            TensorPrimitives.Sqrt(norms, norms);
            double error = Shares(compute, cache, layer, z, shares);
            for (int h = 0; h < heads; h++)
                strengths[h] = Mean(norms.AsSpan(h * tokens, tokens));
            Requirements.Finite(strengths, "a write norm");
            Requirements.Finite(shares, "a write share");
            return new HeadWrites(layer, tokens, norms, shares, strengths, ComputeOvNorms(compute, layer), error);
        }
    }

    /// <summary>Measures from the weights alone: strengths are OV norms.</summary>
    /// <exception cref="ArrakisException">There is no such layer.</exception>
    public static HeadWrites FromWeights(LlamaModel model, int layer, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Requirements.Layer(model.Config, layer);
        using Compute compute = Compute.Rent(model, options, 1, 1, 0);
        double[] norms = ComputeOvNorms(compute, layer);
        return new HeadWrites(layer, 0, [], [], norms, norms, 0);
    }

    private static double[] ComputeOvNorms(Compute compute, int layer)
    {
        LlamaConfig c = compute.Config;
        ModelGrams grams = ModelGrams.Of(compute.Model);
        float[] value = grams.Get(compute, layer, Projection.Value), output = grams.Get(compute, layer, Projection.Output);
        int size = c.HeadDim * c.HeadDim;
        double[] norms = new double[c.NumAttentionHeads];
        for (int h = 0; h < norms.Length; h++)
            norms[h] = Math.Sqrt(ModelGrams.SquaredNorm(value.AsSpan(h / c.HeadsPerKeyValueHead * size, size), output.AsSpan(h * size, size)));
        Requirements.Finite(norms, "an OV norm");
        return norms;
    }

    // ⟨z[t,h] W_O[h], a⟩ = ⟨z[t,h], a W_O[h]ᵀ⟩: one product back through W_O serves all heads.
    private static unsafe double Shares(Compute compute, ActivationCache cache, int layer, float* z, float[] shares)
    {
        LlamaConfig c = compute.Config;
        int tokens = cache.Tokens, heads = c.NumAttentionHeads, k = c.HeadDim, d = c.HiddenSize;
        WeightMatrix output = compute.Model.Weights.Layers[layer].Output;
        float* written = compute.Take((long)tokens * d), back = compute.Take((long)tokens * heads * k);
        if (cache.Contains(HookPoint.AttnOut, layer))
            cache.Flat(HookPoint.AttnOut, layer).CopyTo(new Span<float>(written, tokens * d));
        else
            compute.Project(z, tokens, output, written);
        compute.ProjectBack(written, tokens, output, back);

        double error = 0;
        for (int t = 0; t < tokens; t++)
        {
            ReadOnlySpan<float> row = Compute.Row(written, t, d);
            double whole = Numerics.Shares.Dot(row, row), sum = 0, largest = 1;
            if (whole == 0)
                continue;
            for (int h = 0; h < heads; h++)
            {
                double share = Numerics.Shares.Dot(Compute.Row(z, t * heads + h, k), Compute.Row(back, t * heads + h, k)) / whole;
                shares[h * tokens + t] = (float)share;
                sum += share;
                largest = Math.Max(largest, Math.Abs(share));
            }

            error = Math.Max(error, Math.Abs(sum - 1) / largest);
        }

        return error;
    }

    private static double Mean(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
            sum += value;
        return sum / values.Length;
    }
}
