using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class GgufModelTests
{
    [Fact]
    public void The_configuration_is_read()
    {
        LlamaConfig config = ModelFiles.Small with { HeadDim = 32, RopeTheta = 500, RmsNormEps = 1e-6f };
        LlamaConfig read = Open(ModelFiles.Gguf(config, ElementType.F32)
            .UInt32("tokenizer.ggml.bos_token_id", 1).UInt32("tokenizer.ggml.eos_token_id", 2).UInt32("tokenizer.ggml.eot_token_id", 3));
        Assert.Equal(config with { RotaryLayout = RotaryLayout.Pairs, BosTokenId = 1, EosTokenIds = read.EosTokenIds }, read);
        Assert.Equal([2, 3], read.EosTokenIds);
    }

    [Fact]
    public void What_may_be_absent_has_defaults()
    {
        LlamaConfig config = ModelFiles.Small with { NumKeyValueHeads = 4 };
        LlamaConfig read = Open(Minimal().LlamaTensorsOf(config, ElementType.F32, ModelFiles.Numbers));
        Assert.Equal((4, 16, 10, 10000.0), (read.NumKeyValueHeads, read.HeadDim, read.VocabSize, read.RopeTheta));
        Assert.Null(read.BosTokenId);
        Assert.Empty(read.EosTokenIds);
    }

    [Fact]
    public void Values_by_layer_are_read_where_they_are_equal()
    {
        GgufBuilder Build(params int[] heads) => new GgufBuilder().Text("general.architecture", "llama").UInt32("llama.embedding_length", 64)
            .UInt32("llama.feed_forward_length", 96).UInt32("llama.block_count", 2).UInt32("llama.attention.head_count", 4).UInt32("llama.context_length", 12)
            .Float32("llama.attention.layer_norm_rms_epsilon", 1e-5f).Integers("llama.attention.head_count_kv", heads)
            .LlamaTensorsOf(ModelFiles.Small, ElementType.F32, ModelFiles.Numbers);
        Assert.Equal(2, Open(Build(2, 2)).NumKeyValueHeads);
        Refuses(Build(2, 4), "metadata llama.attention.head_count_kv holds both 2 and 4");
        Refuses(Build(), "metadata llama.attention.head_count_kv is an empty array");
    }

    [Fact]
    public void Scaling_follows_llama_cpp()
    {
        Assert.Equal(RopeScaling.None, Open(Small().Text("llama.rope.scaling.type", "none").Float32("llama.rope.scaling.factor", 4)).RopeScaling);
        Assert.Equal(new RopeScaling(RopeScalingKind.Linear, 4), Open(Small().Text("llama.rope.scaling.type", "linear").Float32("llama.rope.scaling.factor", 4)).RopeScaling);
        Assert.Equal(new RopeScaling(RopeScalingKind.Linear, 2), Open(Small().Float32("llama.rope.scale_linear", 2)).RopeScaling);
        Assert.Equal(RopeScaling.None, Open(Small().Float32("llama.rope.scale_linear", 1)).RopeScaling);
        Refuses(Small().Text("llama.rope.scaling.type", "yarn"), "metadata llama.rope.scaling.type is \"yarn\": supported is \"none\" and \"linear\"");
        Refuses(Small().Float32("llama.rope.scaling.factor", float.NaN), "rope_scaling factor is NaN");
    }

    [Fact]
    public void Frequency_divisors_are_read()
    {
        using var folder = new TemporaryFolder();
        float[] divisors = [1, 1, 1, 2, 4, 8, 8, 8];
        using var source = ModelSource.Open(folder.Write("a.gguf", Small().Tensor("rope_freqs.weight", ElementType.F32, [8], divisors).Build()));
        Assert.Equal(divisors, source.RopeFrequencyDivisors!);
        Refuses(Small().Tensor("rope_freqs.weight", ElementType.F32, [4], new float[4]), "tensor rope_freqs.weight has shape [4] where the config says [8]");
        Refuses(Small().Tensor("rope_freqs.weight", ElementType.F16, [8], divisors), "tensor rope_freqs.weight is of type F16: supported is F32");
        divisors[3] = 0;
        Refuses(Small().Tensor("rope_freqs.weight", ElementType.F32, [8], divisors), "tensor rope_freqs.weight holds 0 at 3");
        divisors[3] = float.PositiveInfinity;
        Refuses(Small().Tensor("rope_freqs.weight", ElementType.F32, [8], divisors), "tensor rope_freqs.weight holds Infinity at 3");
    }

    [Fact]
    public void What_is_not_supported_is_refused_by_name()
    {
        Refuses(Small().UInt32("llama.expert_count", 8), "metadata llama.expert_count is 8");
        Refuses(Small().UInt32("llama.rope.dimension_count", 8), "metadata llama.rope.dimension_count is 8: supported is the whole head, 16");
        Refuses(Small().Float32("llama.attention.clamp_kqv", 1), "metadata llama.attention.clamp_kqv is 1");
        Refuses(Small().UInt32("tokenizer.ggml.bos_token_id", 10), "bos_token_id 10 is outside the vocabulary of 10");
        Refuses(Small().Int32("tokenizer.ggml.eos_token_id", -7), "metadata tokenizer.ggml.eos_token_id is -7");
        Refuses(Small().Tensor("blk.0.attn_q.bias", ElementType.F32, [64], new float[64]), "tensor blk.0.attn_q.bias is a bias");
        Refuses(Small().Tensor("blk.0.attn_q_norm.weight", ElementType.F32, [16], new float[16]), "tensor blk.0.attn_q_norm.weight is no part of a plain Llama");
        Refuses(Small().Tensor("blk.00.attn_norm.weight", ElementType.F32, [64], new float[64]), "tensor blk.00.attn_norm.weight is a second");
        Refuses(Minimal().UInt32("llama.attention.key_length", 16).UInt32("llama.attention.value_length", 8), "metadata llama.attention.value_length is 8: supported is the length of the keys, 16");
    }

    [Fact]
    public void Missing_metadata_and_tensors_are_named()
    {
        var empty = new GgufBuilder().Text("general.architecture", "llama").RawTensor("token_embd.weight", 0, [1], new byte[4]);
        Refuses(empty, "metadata llama.embedding_length is missing");
        GgufBuilder wrong = new GgufBuilder().Text("general.architecture", "llama").Text("llama.embedding_length", "x").RawTensor("token_embd.weight", 0, [1], new byte[4]);
        Refuses(wrong, "metadata llama.embedding_length is of type String");
        Refuses(new GgufBuilder().Llama(ModelFiles.Small).LlamaTensorsOf(ModelFiles.Small with { NumHiddenLayers = 1 }, ElementType.F32, ModelFiles.Numbers), "tensor blk.1.attn_norm.weight is missing");
        Refuses(new GgufBuilder().Llama(ModelFiles.Small with { NumHiddenLayers = 1 << 24 }).LlamaTensorsOf(ModelFiles.Small, ElementType.F32, ModelFiles.Numbers), "tensor blk.2.attn_norm.weight is missing");
        Refuses(new GgufBuilder().Llama(ModelFiles.Small with { VocabSize = 11 }).LlamaTensorsOf(ModelFiles.Small, ElementType.F32, ModelFiles.Numbers), "tensor token_embd.weight has shape [10, 64] where the config says [11, 64]");
    }

    [Fact]
    public void Names_go_both_ways()
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(folder.Write("a.gguf", Small().Build()));
        foreach (NeededTensor needed in LlamaTensors.NeededBy(ModelFiles.Small))
        {
            Assert.True(source.TryGet(needed.Name, out StoredTensor? tensor));
            Assert.Equal(GgufModel.ToGguf(needed.Name), tensor.NameInFile);
            Assert.NotEqual(needed.Name, tensor.NameInFile);
        }
    }

    private static GgufBuilder Small() => ModelFiles.Gguf(ModelFiles.Small, ElementType.F32);

    private static GgufBuilder Minimal() => new GgufBuilder().Text("general.architecture", "llama").UInt32("llama.embedding_length", 64)
        .UInt32("llama.feed_forward_length", 96).UInt32("llama.block_count", 2).UInt32("llama.attention.head_count", 4).UInt32("llama.context_length", 12)
        .Float32("llama.attention.layer_norm_rms_epsilon", 1e-5f).RawTensor("blk.0.attn_rot_embd.weight", 0, [1], new byte[4]);

    private static LlamaConfig Open(GgufBuilder builder)
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(folder.Write("a.gguf", builder.Build()));
        return source.Config;
    }

    private static void Refuses(GgufBuilder builder, params string[] parts)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", builder.Build());
        Refusal.Of(path, () => ModelSource.Open(path), parts);
    }
}
