using System.Text.Json;

namespace Arrakis.Native.Tests.Reference;

/// <summary>Reads the keys of <c>config.json</c> that the golden models use, and no others, without the engine's parser.</summary>
public static class TestConfig
{
    public static LlamaConfig Read(string path)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
        JsonElement c = json.RootElement;
        return new LlamaConfig
        {
            HiddenSize = c.GetProperty("hidden_size").GetInt32(),
            IntermediateSize = c.GetProperty("intermediate_size").GetInt32(),
            NumHiddenLayers = c.GetProperty("num_hidden_layers").GetInt32(),
            NumAttentionHeads = c.GetProperty("num_attention_heads").GetInt32(),
            NumKeyValueHeads = c.GetProperty("num_key_value_heads").GetInt32(),
            HeadDim = c.GetProperty("head_dim").GetInt32(),
            VocabSize = c.GetProperty("vocab_size").GetInt32(),
            MaxPositionEmbeddings = c.GetProperty("max_position_embeddings").GetInt32(),
            RmsNormEps = c.GetProperty("rms_norm_eps").GetSingle(),
            RopeTheta = c.GetProperty("rope_theta").GetDouble(),
            RopeScaling = Scaling(c.GetProperty("rope_scaling")),
            TieWordEmbeddings = c.GetProperty("tie_word_embeddings").GetBoolean(),
            BosTokenId = c.GetProperty("bos_token_id").GetInt32(),
            EosTokenIds = [c.GetProperty("eos_token_id").GetInt32()],
        };
    }

    private static RopeScaling Scaling(JsonElement s)
    {
        if (s.ValueKind == JsonValueKind.Null)
            return RopeScaling.None;
        double factor = s.GetProperty("factor").GetDouble();
        return s.GetProperty("rope_type").GetString() switch
        {
            "linear" => new(RopeScalingKind.Linear, factor),
            "llama3" => new(
                RopeScalingKind.Llama3,
                factor,
                s.GetProperty("low_freq_factor").GetDouble(),
                s.GetProperty("high_freq_factor").GetDouble(),
                s.GetProperty("original_max_position_embeddings").GetInt32()),
            string other => throw new NotSupportedException(other),
            null => throw new NotSupportedException("rope_type is null"),
        };
    }
}
