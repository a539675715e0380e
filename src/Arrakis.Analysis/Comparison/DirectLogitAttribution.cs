using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// Direct logit attribution (Elhage et al. 2021): what the embedding, every head and every MLP add to one token's logit at one position by what they write to the
/// stream there, with the scale r of the final norm as it was in the run: ⟨c, γ_final ∘ W_U[:, v]⟩ / r for a write c. Signed; the contributions add up to the logit.
/// What a write does through the layers above it is theirs.
/// </summary>
public sealed class DirectLogitAttribution
{
    private readonly double[][] _heads;
    private readonly double[] _mlps;

    private DirectLogitAttribution(int position, int token, double logit, double embedding, double[][] heads, double[] mlps)
    {
        Position = position;
        Token = token;
        Logit = logit;
        Embedding = embedding;
        _heads = heads;
        _mlps = mlps;
        Sum = embedding + mlps.Sum() + heads.Sum(layer => layer.Sum());
        double largest = Math.Max(Math.Abs(logit), Math.Abs(embedding));
        foreach (double part in heads.SelectMany(layer => layer).Concat(mlps))
            largest = Math.Max(largest, Math.Abs(part));
        Error = largest == 0 ? 0 : Math.Abs(Sum - logit) / largest;
    }

    /// <summary>The position.</summary>
    public int Position { get; }

    /// <summary>The token whose logit is taken apart.</summary>
    public int Token { get; }

    /// <summary>The logit of the run: as recorded, or of the stream after the last layer where <c>logits</c> is not.</summary>
    public double Logit { get; }

    /// <summary>All contributions together.</summary>
    public double Sum { get; }

    /// <summary>
    /// |<see cref="Sum"/> − <see cref="Logit"/>|, relative to the largest of the logit and all contributions: rounding, and nothing else. 0 where all are zero.
    /// </summary>
    public double Error { get; }

    /// <summary>What the token embedding contributes, in logits.</summary>
    public double Embedding { get; }

    /// <summary>What each MLP contributes, in logits. [L]</summary>
    public ReadOnlySpan<double> Mlps => _mlps;

    /// <summary>L.</summary>
    public int Layers => _mlps.Length;

    /// <summary>What each head of a layer contributes, in logits. [H]</summary>
    public ReadOnlySpan<double> Heads(int layer) => _heads[layer];

    /// <summary>Measures one logit.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it, recorded with at least <c>flow</c>.</param>
    /// <param name="position">Which position of the pass.</param>
    /// <param name="token">Which token's logit.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <exception cref="ArrakisException">There is no such position or token, the cache is of another model or lacks a hook point; the message names a recording.</exception>
    public static unsafe DirectLogitAttribution Measure(
        LlamaModel model, ActivationCache cache, int position, int token, AnalysisOptions? options = null)
    {
        Requirements.Cache(model, cache);
        Requirements.Position(cache.Tokens, position, "position");
        LlamaConfig c = model.Config;
        Requirements.Token(c, token);
        Check(c, cache);

        int d = c.HiddenSize, q = c.NumAttentionHeads * c.HeadDim;
        using Compute compute = Compute.Rent(model, options, 1, Residuals.Depth(c), Residuals.Floats(c, 1) + 2 * d + q);
        var residuals = new Residuals(compute, cache, 1);
        float* u = compute.Take(d), row = compute.Take(d), back = compute.Take(q);
        compute.Widen(model.Weights.Unembedding, token, 1, u);
        ReadOnlySpan<float> covector = new(u, d);
        TensorPrimitives.Multiply(covector, model.Weights.FinalNorm, new Span<float>(u, d));
        double r = cache.Flat(HookPoint.LnFinalScale)[position];

        residuals.Stream(0, [position], row);
        double embedding = TensorPrimitives.Dot(covector, new ReadOnlySpan<float>(row, d)) / r;
        double[][] heads = new double[c.NumHiddenLayers][];
        double[] mlps = new double[c.NumHiddenLayers];
        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            compute.ProjectBack(u, 1, model.Weights.Layers[l].Output, back);
            heads[l] = OfHeads(c, cache.Flat(HookPoint.Z, l).Slice(position * q, q), new ReadOnlySpan<float>(back, q), r);
            residuals.MlpOut(l, [position], row);
            mlps[l] = TensorPrimitives.Dot(covector, new ReadOnlySpan<float>(row, d)) / r;
        }

        double logit;
        if (cache.Contains(HookPoint.Logits))
        {
            logit = cache.Flat(HookPoint.Logits)[position * c.VocabSize + token];
        }
        else
        {
            residuals.Stream(c.NumHiddenLayers, [position], row);
            logit = TensorPrimitives.Dot(covector, new ReadOnlySpan<float>(row, d)) / r;
        }

        Requirements.Finite([logit, embedding, .. mlps], "a part of the logit");
        foreach (double[] layer in heads)
            Requirements.Finite(layer, "a part of the logit");
        return new DirectLogitAttribution(position, token, logit, embedding, heads, mlps);
    }

    private static void Check(LlamaConfig c, ActivationCache cache)
    {
        Residuals.RequireStream(c, cache, 0);
        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            Requirements.Recorded(cache, "flow", l, HookPoint.Z);
            Residuals.RequireMlpOut(cache, l);
        }

        Requirements.Recorded(cache, "flow", 0, HookPoint.LnFinalScale);
        if (!cache.Contains(HookPoint.Logits))
            Residuals.RequireStream(c, cache, c.NumHiddenLayers);
    }

    // ⟨z[h] W_O[h], u⟩ = ⟨z[h], u W_O[h]ᵀ⟩: one covector serves all heads of a layer, and no head's write is computed.
    private static double[] OfHeads(LlamaConfig c, ReadOnlySpan<float> z, ReadOnlySpan<float> back, double r)
    {
        int k = c.HeadDim;
        double[] heads = new double[c.NumAttentionHeads];
        for (int h = 0; h < heads.Length; h++)
            heads[h] = TensorPrimitives.Dot(z.Slice(h * k, k), back.Slice(h * k, k)) / r;
        return heads;
    }
}
