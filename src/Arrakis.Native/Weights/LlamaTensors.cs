namespace Arrakis.Native.Weights;

/// <summary>A tensor that a model needs: a matrix, or a vector where <paramref name="Columns"/> is 0.</summary>
internal readonly record struct NeededTensor(string Name, int Rows, int Columns)
{
    /// <summary>Whether it is a norm's weight.</summary>
    public bool IsVector => Columns == 0;
}

/// <summary>Hugging Face's names of a Llama's tensors, and their shapes.</summary>
internal static class LlamaTensors
{
    /// <summary>The token embedding [V, D].</summary>
    public const string Embedding = "model.embed_tokens.weight";

    /// <summary>The weight of the last norm [D].</summary>
    public const string FinalNorm = "model.norm.weight";

    /// <summary>The unembedding [V, D]; a tied model has none.</summary>
    public const string Unembedding = "lm_head.weight";

    /// <summary>The norm before attention [D].</summary>
    public const string InputNorm = "input_layernorm";

    /// <summary>The norm before the MLP [D].</summary>
    public const string PostAttentionNorm = "post_attention_layernorm";

    /// <summary>Queries [H·K, D].</summary>
    public const string Q = "self_attn.q_proj";

    /// <summary>Keys [G·K, D].</summary>
    public const string K = "self_attn.k_proj";

    /// <summary>Values [G·K, D].</summary>
    public const string V = "self_attn.v_proj";

    /// <summary>The attention's output [D, H·K].</summary>
    public const string O = "self_attn.o_proj";

    /// <summary>The MLP's gate [F, D].</summary>
    public const string Gate = "mlp.gate_proj";

    /// <summary>The MLP's up projection [F, D].</summary>
    public const string Up = "mlp.up_proj";

    /// <summary>The MLP's down projection [D, F].</summary>
    public const string Down = "mlp.down_proj";

    /// <summary>The full name of a layer's tensor.</summary>
    public static string Layer(int layer, string part) => $"model.layers.{layer}.{part}.weight";

    /// <summary>Every tensor that a model of this shape needs, one after the other: nothing is sized by the number of layers.</summary>
    public static IEnumerable<NeededTensor> NeededBy(LlamaConfig config)
    {
        int d = config.HiddenSize, f = config.IntermediateSize;
        int queries = config.NumAttentionHeads * config.HeadDim, keys = config.NumKeyValueHeads * config.HeadDim;
        yield return new(Embedding, config.VocabSize, d);
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            yield return new(Layer(layer, InputNorm), d, 0);
            yield return new(Layer(layer, Q), queries, d);
            yield return new(Layer(layer, K), keys, d);
            yield return new(Layer(layer, V), keys, d);
            yield return new(Layer(layer, O), d, queries);
            yield return new(Layer(layer, PostAttentionNorm), d, 0);
            yield return new(Layer(layer, Gate), f, d);
            yield return new(Layer(layer, Up), f, d);
            yield return new(Layer(layer, Down), d, f);
        }

        yield return new(FinalNorm, d, 0);
        if (!config.TieWordEmbeddings)
            yield return new(Unembedding, config.VocabSize, d);
    }
}
