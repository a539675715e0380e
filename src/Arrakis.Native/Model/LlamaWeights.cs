using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

/// <summary>The matrices and norm weights of one block. Matrices are [outputs, inputs], as stored.</summary>
internal sealed class LlamaLayer
{
    /// <summary>γ₁ [D]: <c>input_layernorm</c>.</summary>
    public required float[] AttentionNorm { get; init; }

    /// <summary>W_Q [H·K, D].</summary>
    public required WeightMatrix Query { get; init; }

    /// <summary>W_K [G·K, D].</summary>
    public required WeightMatrix Key { get; init; }

    /// <summary>W_V [G·K, D].</summary>
    public required WeightMatrix Value { get; init; }

    /// <summary>W_O [D, H·K].</summary>
    public required WeightMatrix Output { get; init; }

    /// <summary>γ₂ [D]: <c>post_attention_layernorm</c>.</summary>
    public required float[] MlpNorm { get; init; }

    /// <summary>W_gate [F, D].</summary>
    public required WeightMatrix Gate { get; init; }

    /// <summary>W_up [F, D].</summary>
    public required WeightMatrix Up { get; init; }

    /// <summary>W_down [D, F].</summary>
    public required WeightMatrix Down { get; init; }

    /// <summary>All of them, in the order in which a pass reads them.</summary>
    public WeightMatrix[] Matrices => [Query, Key, Value, Output, Gate, Up, Down];
}

/// <summary>All weights of a model, bound to their memory and checked against the configuration. Norm weights are copied as floats; matrices are not copied.</summary>
internal sealed class LlamaWeights
{
    // What the matrices' memory belongs to: a mapped file, or arrays.
    private readonly object _owner;

    private LlamaWeights(WeightMatrix embedding, LlamaLayer[] layers, float[] finalNorm, WeightMatrix unembedding, object owner)
    {
        _owner = owner;
        Embedding = embedding;
        Layers = layers;
        FinalNorm = finalNorm;
        Unembedding = unembedding;
    }

    /// <summary>W_E [V, D].</summary>
    public WeightMatrix Embedding { get; }

    /// <summary>The blocks.</summary>
    public LlamaLayer[] Layers { get; }

    /// <summary>γ_final [D].</summary>
    public float[] FinalNorm { get; }

    /// <summary>W_U [V, D]; the embedding itself where they are tied.</summary>
    public WeightMatrix Unembedding { get; }

    /// <summary>Binds every weight by its Hugging Face name.</summary>
    /// <param name="c">The model's shape.</param>
    /// <param name="matrix">name, rows, columns → a matrix of that shape, or an exception.</param>
    /// <param name="vector">name, length → a norm weight, or an exception.</param>
    /// <param name="owner">What the matrices' memory belongs to; kept as long as the weights are.</param>
    public static LlamaWeights Bind(LlamaConfig c, Func<string, int, int, WeightMatrix> matrix, Func<string, int, float[]> vector, object owner)
    {
        int d = c.HiddenSize, q = c.NumAttentionHeads * c.HeadDim, kv = c.NumKeyValueHeads * c.HeadDim, f = c.IntermediateSize;
        WeightMatrix embedding = matrix(LlamaTensors.Embedding, c.VocabSize, d);
        var layers = new List<LlamaLayer>();
        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            layers.Add(new LlamaLayer
            {
                AttentionNorm = Pinned(LlamaTensors.Layer(l, LlamaTensors.InputNorm), d),
                Query = matrix(LlamaTensors.Layer(l, LlamaTensors.Q), q, d),
                Key = matrix(LlamaTensors.Layer(l, LlamaTensors.K), kv, d),
                Value = matrix(LlamaTensors.Layer(l, LlamaTensors.V), kv, d),
                Output = matrix(LlamaTensors.Layer(l, LlamaTensors.O), d, q),
                MlpNorm = Pinned(LlamaTensors.Layer(l, LlamaTensors.PostAttentionNorm), d),
                Gate = matrix(LlamaTensors.Layer(l, LlamaTensors.Gate), f, d),
                Up = matrix(LlamaTensors.Layer(l, LlamaTensors.Up), f, d),
                Down = matrix(LlamaTensors.Layer(l, LlamaTensors.Down), d, f),
            });
        }

        float[] finalNorm = Pinned(LlamaTensors.FinalNorm, d);
        WeightMatrix unembedding = c.TieWordEmbeddings ? embedding : matrix(LlamaTensors.Unembedding, c.VocabSize, d);
        return new(embedding, [.. layers], finalNorm, unembedding, owner);

        // Kernels hold their addresses across calls.
        float[] Pinned(string name, int length)
        {
            float[] pinned = GC.AllocateUninitializedArray<float>(length, pinned: true);
            vector(name, length).CopyTo(pinned, 0);
            return pinned;
        }
    }
}
