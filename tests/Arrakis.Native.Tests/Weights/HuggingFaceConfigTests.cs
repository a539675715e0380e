using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class HuggingFaceConfigTests
{
    private const string Shapes = "\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"vocab_size\":10";

    [Fact]
    public void A_file_too_long_to_be_a_configuration_is_not_read()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("config.json", "{");
        using (var file = new FileStream(path, FileMode.Open))
            file.SetLength(100_000_001);
        Refusal.Of(path, () => HuggingFaceConfig.Read(path), "is 100000001 bytes long, and at most 100000000 are read as JSON");
    }

    [Fact]
    public void Absent_keys_get_hugging_face_s_defaults()
    {
        LlamaConfig config = Read($"{{{Shapes}}}");
        Assert.Equal(4, config.NumKeyValueHeads);
        Assert.Equal(16, config.HeadDim);
        Assert.Equal(1e-6f, config.RmsNormEps);
        Assert.Equal(10000, config.RopeTheta);
        Assert.Equal(2048, config.MaxPositionEmbeddings);
        Assert.False(config.TieWordEmbeddings);
        Assert.Equal(RopeScaling.None, config.RopeScaling);
        Assert.Equal(1, config.BosTokenId);
        Assert.Equal([2], config.EosTokenIds);
    }

    [Fact]
    public void Nulls_are_absent()
    {
        LlamaConfig config = Read($"\uFEFF{{{Shapes},\"num_key_value_heads\":null,\"head_dim\":null,\"rope_scaling\":null,\"bos_token_id\":null,\"eos_token_id\":null,\"pretraining_tp\":4}}");
        Assert.Equal((4, 16), (config.NumKeyValueHeads, config.HeadDim));
        Assert.Null(config.BosTokenId);
        Assert.Empty(config.EosTokenIds);
    }

    [Theory]
    [InlineData("\"rope_theta\":500", 500)]
    [InlineData("\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":600}", 600)]
    [InlineData("\"rope_parameters\":{\"rope_theta\":600},\"rope_theta\":500", 600)]
    [InlineData("\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_theta\":500", 500)]
    public void Theta_is_read_in_both_its_places(string keys, double theta) => Assert.Equal(theta, Read($"{{{Shapes},{keys}}}").RopeTheta);

    [Fact]
    public void Scaling_is_read_in_both_its_places()
    {
        var linear = new RopeScaling(RopeScalingKind.Linear, 4);
        var llama3 = new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 64);
        const string Llama3 = "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64";
        Assert.Equal(linear, Read($"{{{Shapes},\"rope_scaling\":{{\"type\":\"linear\",\"factor\":4}}}}").RopeScaling);
        Assert.Equal(linear, Read($"{{{Shapes},\"rope_parameters\":{{\"rope_type\":\"linear\",\"factor\":4.0}}}}").RopeScaling);
        Assert.Equal(llama3, Read($"{{{Shapes},\"rope_scaling\":{{\"rope_type\":\"llama3\",{Llama3}}}}}").RopeScaling);
        Assert.Equal(llama3, Read($"{{{Shapes},\"rope_parameters\":{{\"rope_type\":\"llama3\",\"rope_theta\":5.0,{Llama3}}}}}").RopeScaling);
        Assert.Equal(RopeScaling.None, Read($"{{{Shapes},\"rope_scaling\":{{\"rope_type\":\"default\"}}}}").RopeScaling);
    }

    [Fact]
    public void Tokens_may_be_a_list()
    {
        LlamaConfig config = Read($"{{{Shapes},\"eos_token_id\":[3,4],\"bos_token_id\":5}}");
        Assert.Equal([3, 4], config.EosTokenIds);
        Assert.Equal(5, config.BosTokenId);
    }

    [Theory]
    [InlineData("model_type", "\"mistral\"", "model_type is \"mistral\": supported is \"llama\"")]
    [InlineData("model_type", null, "model_type is missing: supported is \"llama\"")]
    [InlineData("model_type", "7", "model_type is 7: supported is a string")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act is \"gelu\": supported is \"silu\"")]
    [InlineData("attention_bias", "true", "attention_bias is true: supported is false")]
    [InlineData("mlp_bias", "true", "mlp_bias is true: supported is false")]
    [InlineData("mlp_bias", "\"no\"", "mlp_bias is \"no\": supported is true or false")]
    [InlineData("hidden_size", null, "hidden_size is missing")]
    [InlineData("intermediate_size", null, "intermediate_size is missing")]
    [InlineData("num_hidden_layers", null, "num_hidden_layers is missing")]
    [InlineData("num_attention_heads", null, "num_attention_heads is missing")]
    [InlineData("vocab_size", null, "vocab_size is missing")]
    [InlineData("hidden_size", "64.5", "hidden_size is 64.5: supported is an integer")]
    [InlineData("hidden_size", "\"64\"", "hidden_size is \"64\": supported is an integer")]
    [InlineData("hidden_size", "99999999999", "hidden_size is 99999999999: supported is an integer")]
    [InlineData("hidden_size", "0", "hidden_size is 0")]
    [InlineData("num_hidden_layers", "-1", "num_hidden_layers is -1")]
    [InlineData("num_attention_heads", "0", "num_attention_heads 0")]
    [InlineData("num_attention_heads", "-1", "num_attention_heads -1")]
    [InlineData("num_attention_heads", "7", "hidden_size 64 is no multiple of num_attention_heads 7")]
    [InlineData("num_key_value_heads", "3", "num_attention_heads 4 is not a multiple of num_key_value_heads 3")]
    [InlineData("head_dim", "15", "head_dim 15 is odd")]
    [InlineData("vocab_size", "-5", "vocab_size is -5")]
    [InlineData("rms_norm_eps", "NaN", "rms_norm_eps is NaN: not valid JSON on line 1")]
    [InlineData("rms_norm_eps", "Infinity", "rms_norm_eps is Infinity: not valid JSON")]
    [InlineData("rope_theta", "-Infinity", "rope_theta is -Infinity: not valid JSON")]
    [InlineData("rms_norm_eps", "1e999", "rms_norm_eps is 1e999: supported is a finite number")]
    [InlineData("rms_norm_eps", "-1", "rms_norm_eps is -1")]
    [InlineData("rms_norm_eps", "1e-99", "rms_norm_eps is 0")]
    [InlineData("rms_norm_eps", "\"small\"", "rms_norm_eps is \"small\": supported is a finite number")]
    [InlineData("rope_theta", "0", "rope_theta is 0")]
    [InlineData("rope_theta", "[1]", "rope_theta is [1]: supported is a finite number")]
    [InlineData("tie_word_embeddings", "1", "tie_word_embeddings is 1: supported is true or false")]
    [InlineData("rope_scaling", "7", "rope_scaling is 7: supported is an object")]
    [InlineData("rope_scaling", "{\"factor\":2}", "rope_scaling.rope_type is missing: supported is \"default\", \"linear\" or \"llama3\"")]
    [InlineData("rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":2}", "rope_scaling.rope_type is \"yarn\": supported is \"default\", \"linear\" or \"llama3\"")]
    [InlineData("rope_scaling", "{\"type\":\"dynamic\",\"factor\":2}", "rope_scaling.type is \"dynamic\"")]
    [InlineData("rope_parameters", "{\"rope_type\":\"longrope\"}", "rope_parameters.rope_type is \"longrope\"")]
    [InlineData("rope_parameters", "{\"rope_theta\":\"big\"}", "rope_parameters.rope_theta is \"big\"")]
    [InlineData("rope_scaling", "{\"type\":\"linear\"}", "rope_scaling.factor is missing")]
    [InlineData("rope_scaling", "{\"type\":\"linear\",\"factor\":0}", "rope_scaling factor is 0")]
    [InlineData("rope_scaling", "{\"type\":\"llama3\",\"factor\":8}", "rope_scaling.low_freq_factor is missing")]
    [InlineData("rope_scaling", "{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,\"original_max_position_embeddings\":64}", "low_freq_factor < high_freq_factor")]
    [InlineData("partial_rotary_factor", "0.5", "partial_rotary_factor is 0.5: supported is 1")]
    [InlineData("bos_token_id", "10", "bos_token_id 10 is outside the vocabulary of 10")]
    [InlineData("bos_token_id", "[1]", "bos_token_id is [1]: supported is an integer")]
    [InlineData("eos_token_id", "[2,-1]", "eos_token_id -1 is outside the vocabulary of 10")]
    [InlineData("eos_token_id", "[2,\"x\"]", "eos_token_id is \"x\": supported is an integer")]
    public void What_is_not_supported_is_refused_by_name(string key, string? value, string part)
    {
        JsonObject json = ModelFiles.ConfigJson(ModelFiles.Small);
        json.Remove("head_dim");
        json.Remove(key);
        string text = json.ToJsonString();
        if (value is not null)
            text = $"{text[..^1]},\"{key}\":{value}}}";
        using var folder = new TemporaryFolder();
        string path = folder.Write("config.json", text);
        Refusal.Of(path, () => HuggingFaceConfig.Read(path), part);
    }

    [Theory]
    [InlineData("[]", "holds a JSON array")]
    [InlineData("null", "holds a JSON null")]
    [InlineData("not json", "is not valid JSON at not json on line 1")]
    [InlineData("{\"a\":1,\n\"b\":", "b is its end: not valid JSON on line 2")]
    [InlineData("{\"hidden_size\":1,\"hidden_size\":2}", "hidden_size stands twice")]
    [InlineData("{\"model_type\":\"\\ud800\"}", "holds text that is not Unicode")]
    [InlineData("{\"model_type\":\"\u001b[31m\\u202e\"}", "not valid JSON")]
    [InlineData("{\"model_type\":\"\\u001b\u202e\"}", "model_type is \"\\u001b\\u202e\"")]
    public void What_is_no_configuration_is_refused(string text, string part)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("config.json", text);
        Refusal.Of(path, () => HuggingFaceConfig.Read(path), part);
    }

    [Fact]
    public void Nesting_without_end_is_refused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("config.json", "{\"a\":" + new string('[', 1_000_000));
        Refusal.Of(path, () => HuggingFaceConfig.Read(path), "not valid JSON");
    }

    private static LlamaConfig Read(string json)
    {
        using var folder = new TemporaryFolder();
        return HuggingFaceConfig.Read(folder.Write("config.json", json));
    }
}
