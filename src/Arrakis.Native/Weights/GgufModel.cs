namespace Arrakis.Native.Weights;

/// <summary>Makes a model out of a GGUF of architecture <c>llama</c>: its configuration, and its tensors under Hugging Face's names.</summary>
internal static class GgufModel
{
    private const string RopeFrequencies = "rope_freqs.weight";

    /// <summary>GGUF's name for a layer's tensor, and Hugging Face's.</summary>
    private static readonly (string Gguf, string HuggingFace)[] Parts =
    [
        ("attn_norm", LlamaTensors.InputNorm), ("attn_q", LlamaTensors.Q), ("attn_k", LlamaTensors.K), ("attn_v", LlamaTensors.V),
        ("attn_output", LlamaTensors.O), ("ffn_norm", LlamaTensors.PostAttentionNorm), ("ffn_gate", LlamaTensors.Gate),
        ("ffn_up", LlamaTensors.Up), ("ffn_down", LlamaTensors.Down),
    ];

    /// <summary>Reads the configuration and names the tensors.</summary>
    public static OpenedModel Open(GgufFile file)
    {
        GgufConfig.CheckArchitecture(file);
        if (file.Tensors.Count == 0)
            throw Said.Fault(file.Path, "holds no tensors: it is a vocabulary without a model");
        LlamaConfig config = GgufConfig.Read(file);
        var tensors = new Dictionary<string, StoredTensor>();
        foreach (StoredTensor tensor in file.Tensors.Values)
        {
            string name = ToHuggingFace(tensor);
            // Two spellings of a layer's number would come to one name.
            if (!tensors.TryAdd(name, tensor with { Name = name }))
                throw tensor.Fault($"is a second {name}");
        }

        return new OpenedModel("gguf", file.Path, config, tensors)
        {
            NameInFile = ToGguf,
            RopeFrequencyDivisors = ReadDivisors(file, config),
        };
    }

    /// <summary>GGUF's name for a tensor of Hugging Face's name.</summary>
    public static string ToGguf(string name)
    {
        switch (name)
        {
            case LlamaTensors.Embedding: return "token_embd.weight";
            case LlamaTensors.FinalNorm: return "output_norm.weight";
            case LlamaTensors.Unembedding: return "output.weight";
        }

        string[] words = name.Split('.');
        foreach ((string gguf, string part) in Parts)
        {
            if (words.Length > 2 && name == $"model.layers.{words[2]}.{part}.weight")
                return $"blk.{words[2]}.{gguf}.weight";
        }

        return name;
    }

    /// <summary>
    /// Hugging Face's name. A tensor that no plain Llama has would be left out of the computation unseen: it is refused, as llama.cpp does.
    /// </summary>
    private static string ToHuggingFace(StoredTensor tensor)
    {
        switch (tensor.Name)
        {
            case "token_embd.weight": return LlamaTensors.Embedding;
            case "output_norm.weight": return LlamaTensors.FinalNorm;
            case "output.weight": return LlamaTensors.Unembedding;
            case RopeFrequencies: return RopeFrequencies;
        }

        string[] words = tensor.Name.Split('.');
        if (words is ["blk", string layer, string part, "weight"] && int.TryParse(layer, System.Globalization.NumberStyles.None, null, out int number))
        {
            foreach ((string gguf, string huggingFace) in Parts)
            {
                if (part == gguf)
                    return LlamaTensors.Layer(number, huggingFace);
            }

            // Tables that can be computed, in files of the first converters; nobody reads them.
            if (part == "attn_rot_embd")
                return tensor.Name;
        }

        throw tensor.Fault(tensor.Name.EndsWith(".bias", StringComparison.Ordinal)
            ? "is a bias: supported is a Llama without biases"
            : "is no part of a plain Llama");
    }

    private static float[]? ReadDivisors(GgufFile file, LlamaConfig config)
    {
        if (!file.Tensors.TryGetValue(RopeFrequencies, out StoredTensor? tensor))
            return null;
        if (tensor.Type != ElementType.F32)
            throw tensor.Fault($"is of type {tensor.TypeName}: supported is F32");
        float[] divisors = tensor.Vector(config.HeadDim / 2);
        for (int i = 0; i < divisors.Length; i++)
        {
            if (!float.IsFinite(divisors[i]) || divisors[i] <= 0)
                throw tensor.Fault(FormattableString.Invariant($"holds {divisors[i]} at {i}: supported is a positive number"));
        }

        return divisors;
    }
}
