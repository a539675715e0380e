namespace Arrakis.Native.Weights;

/// <summary>Reads the configuration out of a GGUF's metadata, for architecture <c>llama</c>. It needs no tensors, so that a vocabulary can describe itself.</summary>
internal static class GgufConfig
{
    /// <summary>ggml's "no token", where an id is written all the same.</summary>
    private const long NoToken = uint.MaxValue;

    /// <summary>Refuses any other architecture.</summary>
    public static void CheckArchitecture(GgufFile file)
    {
        if (file.Architecture is not string architecture)
            throw file.Metadata.Fault("general.architecture", "is missing: supported is \"llama\"");
        if (architecture != "llama")
            throw file.Metadata.Fault("general.architecture", $"is \"{Said.Name(architecture)}\": supported is \"llama\"");
    }

    /// <summary>Reads and checks the configuration.</summary>
    public static LlamaConfig Read(GgufFile file)
    {
        CheckArchitecture(file);
        GgufMetadata metadata = file.Metadata;
        RefuseWhatChangesNumbers(metadata);
        int hidden = Integer(metadata, "llama.embedding_length");
        int heads = Integer(metadata, "llama.attention.head_count");
        int headDim = ReadHeadDim(metadata, hidden, heads);
        var config = new LlamaConfig
        {
            HiddenSize = hidden,
            IntermediateSize = Integer(metadata, "llama.feed_forward_length"),
            NumHiddenLayers = Integer(metadata, "llama.block_count"),
            NumAttentionHeads = heads,
            NumKeyValueHeads = OptionalInteger(metadata, "llama.attention.head_count_kv") ?? heads,
            HeadDim = headDim,
            VocabSize = ReadVocabSize(file),
            MaxPositionEmbeddings = Integer(metadata, "llama.context_length"),
            RmsNormEps = (float)(metadata.OptionalNumber("llama.attention.layer_norm_rms_epsilon")
                ?? throw metadata.Fault("llama.attention.layer_norm_rms_epsilon", "is missing")),
            RopeTheta = metadata.OptionalNumber("llama.rope.freq_base") ?? 10000,
            RopeScaling = ReadScaling(metadata),
            RotaryLayout = RotaryLayout.Pairs,
            TieWordEmbeddings = !file.Tensors.ContainsKey("output.weight"),
            BosTokenId = Token(metadata, "tokenizer.ggml.bos_token_id"),
            EosTokenIds = ReadEndTokens(metadata),
        };
        return config.FindFault() is string fault ? throw Said.Fault(file.Path, fault) : config;
    }

    private static void RefuseWhatChangesNumbers(GgufMetadata metadata)
    {
        if (OptionalInteger(metadata, "llama.expert_count") is int experts and > 0)
            throw metadata.Fault("llama.expert_count", $"is {experts}: supported is a model without experts");
        // Keys that other architectures put to use, with the values at which they do nothing.
        foreach ((string key, double off, double neutral) in new[]
        {
            ("llama.rope.scaling.attn_factor", 1.0, 1.0), ("llama.attention.scale", 0, 0), ("llama.attention.clamp_kqv", 0, 0),
            ("llama.logit_scale", 0, 1), ("llama.residual_scale", 0, 1), ("llama.embedding_scale", 0, 1),
        })
        {
            if (metadata.OptionalNumber(key) is double value && value != off && value != neutral)
                throw metadata.Fault(key, FormattableString.Invariant($"is {value}: supported is a model without it"));
        }
    }

    private static int ReadHeadDim(GgufMetadata metadata, int hidden, int heads)
    {
        const string Key = "llama.attention.key_length", Value = "llama.attention.value_length", Rotary = "llama.rope.dimension_count";
        int? given = OptionalInteger(metadata, Key);
        if (given is null && (heads < 1 || hidden % heads != 0))
            throw metadata.Fault("llama.embedding_length", $"{hidden} is no multiple of llama.attention.head_count {heads}, and {Key} is missing");
        int headDim = given ?? hidden / heads;
        if (OptionalInteger(metadata, Value) is int value && value != headDim)
            throw metadata.Fault(Value, $"is {value}: supported is the length of the keys, {headDim}");
        if (OptionalInteger(metadata, Rotary) is int rotary && rotary != headDim)
            throw metadata.Fault(Rotary, $"is {rotary}: supported is the whole head, {headDim}");
        return headDim;
    }

    private static int ReadVocabSize(GgufFile file)
    {
        if (OptionalInteger(file.Metadata, "llama.vocab_size") is int given)
            return given;
        long size;
        if (file.Tensors.TryGetValue("token_embd.weight", out StoredTensor? embedding))
            size = embedding.Shape[0];
        else
            size = file.Metadata.Find("tokenizer.ggml.tokens")?.Count ?? throw file.Metadata.Fault("llama.vocab_size", "is missing");
        return size <= int.MaxValue ? (int)size : throw Said.Fault(file.Path, $"has a vocabulary of {size}: supported is up to {int.MaxValue}");
    }

    /// <summary>llama.cpp's rules: the type is linear where nothing is said, and a factor of 0 or 1 scales nothing.</summary>
    private static RopeScaling ReadScaling(GgufMetadata metadata)
    {
        const string Key = "llama.rope.scaling.type";
        string type = metadata.OptionalText(Key) ?? "linear";
        if (type is not ("none" or "linear"))
            throw metadata.Fault(Key, $"is \"{Said.Name(type)}\": supported is \"none\" and \"linear\", and llama3's as the tensor rope_freqs.weight");
        double factor = metadata.OptionalNumber("llama.rope.scaling.factor") ?? metadata.OptionalNumber("llama.rope.scale_linear") ?? 0;
        return type == "none" || factor is 0 or 1 ? RopeScaling.None : new RopeScaling(RopeScalingKind.Linear, factor);
    }

    private static int? Token(GgufMetadata metadata, string key)
    {
        if (metadata.OptionalInteger(key) is not long id || id == NoToken || id == -1)
            return null;
        return id is >= 0 and <= int.MaxValue ? (int)id : throw metadata.Fault(key, $"is {id}: supported is a token of the vocabulary");
    }

    private static List<int> ReadEndTokens(GgufMetadata metadata)
    {
        var ids = new List<int>();
        foreach (string key in new[] { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id" })
        {
            if (Token(metadata, key) is int id && !ids.Contains(id))
                ids.Add(id);
        }

        return ids;
    }

    private static int Integer(GgufMetadata metadata, string key) => OptionalInteger(metadata, key) ?? throw metadata.Fault(key, "is missing");

    /// <summary>An integer, or an array with one for each layer if all are equal.</summary>
    private static int? OptionalInteger(GgufMetadata metadata, string key)
    {
        if (metadata.Find(key) is not GgufValue found)
            return null;
        long value = found.Type == GgufType.Array ? TheSameInAll(metadata, key) : metadata.OptionalInteger(key)!.Value;
        return value is >= 0 and <= int.MaxValue ? (int)value : throw metadata.Fault(key, $"is {value}: supported is 0 to {int.MaxValue}");
    }

    private static long TheSameInAll(GgufMetadata metadata, string key)
    {
        long[] values = metadata.OptionalIntegers(key)!;
        if (values.Length == 0)
            throw metadata.Fault(key, "is an empty array: supported is an integer");
        foreach (long value in values)
        {
            if (value != values[0])
                throw metadata.Fault(key, $"holds both {values[0]} and {value}: supported is one value for all layers");
        }

        return values[0];
    }
}
