using System.Globalization;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The weights of one block; matrices are row-major [out, in] as they lie in a checkpoint.</summary>
/// <param name="Norm1">γ₁ [D], before attention.</param>
/// <param name="Q">[H·K, D].</param>
/// <param name="K">[G·K, D].</param>
/// <param name="V">[G·K, D].</param>
/// <param name="O">[D, H·K].</param>
/// <param name="Norm2">γ₂ [D], before the MLP.</param>
/// <param name="Gate">[F, D].</param>
/// <param name="Up">[F, D].</param>
/// <param name="Down">[D, F].</param>
public sealed record ReferenceLayer(double[] Norm1, Matrix Q, Matrix K, Matrix V, Matrix O, double[] Norm2, Matrix Gate, Matrix Up, Matrix Down);

/// <summary>All weights of a Llama in double precision, under the names of Hugging Face checkpoints.</summary>
public sealed partial class ReferenceWeights
{
    /// <summary>Takes every tensor from <paramref name="tensor"/>, which is asked by Hugging Face name and answers row-major [out, in].</summary>
    /// <param name="config">The shape; a tied model is never asked for <c>lm_head.weight</c>.</param>
    /// <param name="tensor">Where the numbers come from.</param>
    /// <param name="rotaryDivisors">[K/2], by which the rotary frequencies are divided (GGUF's <c>rope_freqs.weight</c>), or null.</param>
    public ReferenceWeights(LlamaConfig config, Func<string, double[]> tensor, double[]? rotaryDivisors = null)
    {
        int d = config.HiddenSize, f = config.IntermediateSize;
        int hk = config.NumAttentionHeads * config.HeadDim, gk = config.NumKeyValueHeads * config.HeadDim;
        Config = config;
        RotaryDivisors = rotaryDivisors;
        Embedding = new Matrix(config.VocabSize, d, tensor("model.embed_tokens.weight"));
        Unembedding = config.TieWordEmbeddings ? Embedding : new Matrix(config.VocabSize, d, tensor("lm_head.weight"));
        FinalNorm = Vector("model.norm.weight");
        Layers = [.. Enumerable.Range(0, config.NumHiddenLayers).Select(l => $"model.layers.{l}").Select(p => new ReferenceLayer(
            Vector($"{p}.input_layernorm.weight"),
            new Matrix(hk, d, tensor($"{p}.self_attn.q_proj.weight")),
            new Matrix(gk, d, tensor($"{p}.self_attn.k_proj.weight")),
            new Matrix(gk, d, tensor($"{p}.self_attn.v_proj.weight")),
            new Matrix(d, hk, tensor($"{p}.self_attn.o_proj.weight")),
            Vector($"{p}.post_attention_layernorm.weight"),
            new Matrix(f, d, tensor($"{p}.mlp.gate_proj.weight")),
            new Matrix(f, d, tensor($"{p}.mlp.up_proj.weight")),
            new Matrix(d, f, tensor($"{p}.mlp.down_proj.weight"))))];

        double[] Vector(string name) => new Matrix(1, d, tensor(name)).Data;
    }

    public LlamaConfig Config { get; }

    /// <summary>[K/2] or null.</summary>
    public double[]? RotaryDivisors { get; }

    /// <summary>W_E [V, D].</summary>
    public Matrix Embedding { get; }

    /// <summary>W_Uᵀ [V, D]; the embedding itself in a tied model.</summary>
    public Matrix Unembedding { get; }

    /// <summary>γ_final [D].</summary>
    public double[] FinalNorm { get; }

    public IReadOnlyList<ReferenceLayer> Layers { get; }

    /// <summary>A model folder: <c>config.json</c> and safetensors, in one file or in shards.</summary>
    public static ReferenceWeights Load(string folder)
    {
        Dictionary<string, TestTensor> tensors = TestSafetensors.Read(folder);
        return new ReferenceWeights(TestConfig.Read(Path.Combine(folder, "config.json")), name => tensors[name].Values);
    }

    /// <summary>The tensor of a Hugging Face name: what the constructor's delegate gave.</summary>
    public double[] Tensor(string name)
    {
        string[] parts = name.Split('.');
        ReferenceLayer Layer() => Layers[int.Parse(parts[2], CultureInfo.InvariantCulture)];
        return parts[^2] switch
        {
            "embed_tokens" => Embedding.Data,
            "lm_head" => Unembedding.Data,
            "norm" => FinalNorm,
            "input_layernorm" => Layer().Norm1,
            "post_attention_layernorm" => Layer().Norm2,
            "q_proj" => Layer().Q.Data,
            "k_proj" => Layer().K.Data,
            "v_proj" => Layer().V.Data,
            "o_proj" => Layer().O.Data,
            "gate_proj" => Layer().Gate.Data,
            "up_proj" => Layer().Up.Data,
            "down_proj" => Layer().Down.Data,
            _ => throw new ArgumentException(name),
        };
    }

    /// <summary>Every matrix entry moved up or down at random by <paramref name="relative"/> of itself: what a rounding of that size does to a run.</summary>
    public ReferenceWeights Perturbed(double relative, int seed)
    {
        var random = new Random(seed);
        return new ReferenceWeights(Config, name => [.. Tensor(name).Select(v => v * (1 + (random.Next(2) == 0 ? relative : -relative)))], RotaryDivisors);
    }

    /// <summary>The kv head that query head <paramref name="head"/> reads: g(h) = h / (H / G).</summary>
    public int KvHead(int head) => head / (Config.NumAttentionHeads / Config.NumKeyValueHeads);

    /// <summary>W_Q[h], D×K: row vectors, q = x W_Q.</summary>
    public Matrix WQ(int layer, int head) => HeadOf(Layers[layer].Q, head);

    /// <summary>W_K[g(h)], D×K, by query head.</summary>
    public Matrix WK(int layer, int head) => HeadOf(Layers[layer].K, KvHead(head));

    /// <summary>W_V[g(h)], D×K, by query head.</summary>
    public Matrix WV(int layer, int head) => HeadOf(Layers[layer].V, KvHead(head));

    /// <summary>W_O[h], K×D: what the head writes is z W_O.</summary>
    public Matrix WO(int layer, int head) =>
        Matrix.Build(Config.HeadDim, Config.HiddenSize, (k, d) => Layers[layer].O[d, head * Config.HeadDim + k]);

    private Matrix HeadOf(Matrix all, int head) =>
        Matrix.Build(Config.HiddenSize, Config.HeadDim, (d, k) => all[head * Config.HeadDim + k, d]);

    /// <summary>Normal random weights of variance 1 / inputs, norms' weights about 1, the same for the same seed.</summary>
    public static ReferenceWeights Random(LlamaConfig config, int seed, double[]? rotaryDivisors = null)
    {
        var random = new Random(seed);
        int d = config.HiddenSize, k = config.HeadDim;
        return new ReferenceWeights(config, Tensor, rotaryDivisors);

        double[] Tensor(string name) => name.Split('.')[^2] switch
        {
            "embed_tokens" => Normal(config.VocabSize * d, 1),
            "lm_head" => Normal(config.VocabSize * d, d),
            "norm" or "input_layernorm" or "post_attention_layernorm" => [.. Normal(d, 16).Select(v => 1 + v)],
            "q_proj" => Normal(config.NumAttentionHeads * k * d, d),
            "k_proj" or "v_proj" => Normal(config.NumKeyValueHeads * k * d, d),
            "o_proj" => Normal(d * config.NumAttentionHeads * k, config.NumAttentionHeads * k),
            "gate_proj" or "up_proj" => Normal(config.IntermediateSize * d, d),
            "down_proj" => Normal(d * config.IntermediateSize, config.IntermediateSize),
            _ => throw new ArgumentException(name),
        };

        // Box and Muller; 1 − NextDouble() is never 0.
        double[] Normal(int count, int inputs) => [.. Enumerable.Range(0, count).Select(_ =>
            Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()) / inputs) * Math.Cos(2 * Math.PI * random.NextDouble()))];
    }
}
