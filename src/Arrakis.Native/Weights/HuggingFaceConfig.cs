namespace Arrakis.Native.Weights;

/// <summary>
/// Reads a <c>config.json</c> as Hugging Face writes it. Keys that are absent get the defaults of its <c>LlamaConfig</c>, except the shapes, which no default
/// could guess. Whatever would change the numbers and is not implemented is refused by name.
/// </summary>
internal static class HuggingFaceConfig
{
    /// <summary>Reads and checks a configuration.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read, is not JSON, or asks for what is not supported.</exception>
    public static LlamaConfig Read(string path) => JsonFields.Read(path, ReadFields);

    private static LlamaConfig ReadFields(JsonFields json)
    {
        RefuseOtherModels(json);
        int hidden = json.Integer("hidden_size");
        int heads = json.Integer("num_attention_heads");
        JsonFields? parameters = json.OptionalObject("rope_parameters");
        JsonFields? scaling = json.OptionalObject("rope_scaling");
        int vocabulary = json.Integer("vocab_size");
        var config = new LlamaConfig
        {
            HiddenSize = hidden,
            IntermediateSize = json.Integer("intermediate_size"),
            NumHiddenLayers = json.Integer("num_hidden_layers"),
            NumAttentionHeads = heads,
            NumKeyValueHeads = json.OptionalInteger("num_key_value_heads") ?? heads,
            HeadDim = json.OptionalInteger("head_dim") ?? DivideHidden(json, hidden, heads),
            VocabSize = vocabulary,
            MaxPositionEmbeddings = json.OptionalInteger("max_position_embeddings") ?? 2048,
            RmsNormEps = (float)(json.OptionalNumber("rms_norm_eps") ?? 1e-6),
            // Hugging Face's order: what stands beside the scaling wins over the top level.
            RopeTheta = parameters?.OptionalNumber("rope_theta") ?? scaling?.OptionalNumber("rope_theta") ?? json.OptionalNumber("rope_theta") ?? 10000,
            RopeScaling = ReadScaling(scaling, required: true) ?? ReadScaling(parameters, required: false) ?? RopeScaling.None,
            RotaryLayout = RotaryLayout.Halves,
            TieWordEmbeddings = json.Flag("tie_word_embeddings", false),
            BosTokenId = json.HasKey("bos_token_id") ? json.OptionalInteger("bos_token_id") : DefaultToken(1, vocabulary),
            EosTokenIds = json.HasKey("eos_token_id") ? json.Integers("eos_token_id") : DefaultToken(2, vocabulary) is int eos ? [eos] : [],
        };
        return config.FindFault() is string fault ? throw Said.Fault(json.Path, fault) : config;
    }

    private static void RefuseOtherModels(JsonFields json)
    {
        if (json.OptionalText("model_type") != "llama")
            throw json.Unsupported("model_type", "\"llama\"");
        if ((json.OptionalText("hidden_act") ?? "silu") != "silu")
            throw json.Unsupported("hidden_act", "\"silu\"");
        foreach (string key in new[] { "attention_bias", "mlp_bias" })
        {
            if (json.Flag(key, false))
                throw json.Unsupported(key, "false");
        }

        if ((json.OptionalNumber("partial_rotary_factor") ?? 1) != 1)
            throw json.Unsupported("partial_rotary_factor", "1");
    }

    private static int DivideHidden(JsonFields json, int hidden, int heads)
    {
        if (heads < 1 || hidden % heads != 0)
            throw json.Fault("hidden_size", $"{hidden} is no multiple of num_attention_heads {heads}, and head_dim is missing");
        return hidden / heads;
    }

    /// <summary>The token ids that Hugging Face assumes where the key is absent, if the vocabulary has them.</summary>
    private static int? DefaultToken(int id, int vocabulary) => id < vocabulary ? id : null;

    private static RopeScaling? ReadScaling(JsonFields? json, bool required)
    {
        if (json is null)
            return null;
        const string Supported = "\"default\", \"linear\" or \"llama3\"";
        string key = json.Has("rope_type") ? "rope_type" : json.Has("type") ? "type" : "rope_type";
        if ((json.OptionalNumber("partial_rotary_factor") ?? 1) != 1)
            throw json.Unsupported("partial_rotary_factor", "1");
        string? type = json.OptionalText(key);
        if (type is null && required)
            throw json.Unsupported(key, Supported);
        return type switch
        {
            null or "default" => RopeScaling.None,
            "linear" => new RopeScaling(RopeScalingKind.Linear, json.Number("factor")),
            "llama3" => new RopeScaling(
                RopeScalingKind.Llama3,
                json.Number("factor"),
                json.Number("low_freq_factor"),
                json.Number("high_freq_factor"),
                json.Integer("original_max_position_embeddings")),
            _ => throw json.Unsupported(key, Supported),
        };
    }
}
