using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public unsafe class ModelSourceTests
{
    [Theory]
    [InlineData("gqa-f32", ElementType.F32, 3, 97)]
    [InlineData("mha-tied-f16", ElementType.F16, 2, 64)]
    [InlineData("mqa-llama3-bf16-sharded", ElementType.BF16, 4, 70)]
    public void Golden_folders_open_and_bind(string name, ElementType type, int layers, int vocabulary)
    {
        using var source = ModelSource.Open(Path.Combine(AppContext.BaseDirectory, "Golden", name));
        Assert.Equal("safetensors", source.Format);
        Assert.Equal(layers, source.Config.NumHiddenLayers);
        Assert.Equal(RotaryLayout.Halves, source.Config.RotaryLayout);
        WeightMatrix embedding = source.Matrix(LlamaTensors.Embedding, vocabulary, source.Config.HiddenSize);
        Assert.Equal(type, embedding.Type);
        Assert.Equal(source.Config.HiddenSize, source.Vector(LlamaTensors.FinalNorm, source.Config.HiddenSize).Length);
        long numbers = 0;
        foreach (StoredTensor tensor in source.Weights)
            numbers += StoredTensor.CountElements(tensor.Shape)!.Value;
        Assert.Equal(source.Config.ParameterCount, numbers);
    }

    [Fact]
    public void Llama3_scaling_is_read()
    {
        using var source = ModelSource.Open(Path.Combine(AppContext.BaseDirectory, "Golden", "mqa-llama3-bf16-sharded"));
        Assert.Equal(new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 64), source.Config.RopeScaling);
        Assert.Equal(500000, source.Config.RopeTheta);
    }

    [Theory]
    [InlineData(WeightMemory.Mapped)]
    [InlineData(WeightMemory.Copied)]
    public void A_file_is_opened_once(WeightMemory memory)
    {
        using var folder = new TemporaryFolder();
        foreach (string path in new[] { ModelFiles.WriteFolder(folder, ModelFiles.Small), folder.File("model.safetensors") })
        {
            using var source = ModelSource.Open(path, memory);
            Assert.Equal(1, source.Files);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_format_gives_the_same_numbers(bool tied)
    {
        LlamaConfig config = ModelFiles.Small with { TieWordEmbeddings = tied };
        using var folder = new TemporaryFolder();
        string[] paths =
        [
            ModelFiles.WriteFolder(folder, config),
            folder.File("model.safetensors"),
            folder.Write("a.gguf", ModelFiles.Gguf(config, ElementType.F32).Build()),
            folder.Write("a.bin", ModelFiles.Llama2c(config)),
            folder.Write("gguf-without-extension", ModelFiles.Gguf(config, ElementType.F32).Build()),
            folder.Write("llama2c-without-extension", ModelFiles.Llama2c(config)),
        ];
        foreach (string path in paths)
        {
            using var source = ModelSource.Open(path);
            Assert.Equal(path.Contains("safetensors", StringComparison.Ordinal) || path == folder.Path ? RotaryLayout.Halves : RotaryLayout.Pairs, source.Config.RotaryLayout);
            Assert.Equal(tied, source.Config.TieWordEmbeddings);
            foreach (NeededTensor needed in LlamaTensors.NeededBy(config))
                Assert.Equal(ModelFiles.Numbers(needed.Name, needed.Rows * Math.Max(1, needed.Columns)), Read(source, needed));
        }
    }

    [Theory]
    [InlineData(ElementType.F16, 5e-4)]
    [InlineData(ElementType.BF16, 4e-3)]
    [InlineData(ElementType.Q8_0, 8e-3)]
    [InlineData(ElementType.Q4_0, 0.13)]
    public void Gguf_holds_every_element_type(ElementType type, double tolerance)
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(folder.Write("a.gguf", ModelFiles.Gguf(ModelFiles.Small, type).Build()));
        foreach (NeededTensor needed in LlamaTensors.NeededBy(ModelFiles.Small))
        {
            float[] expected = ModelFiles.Numbers(needed.Name, needed.Rows * Math.Max(1, needed.Columns)), read = Read(source, needed);
            for (int i = 0; i < expected.Length; i++)
                Assert.Equal(expected[i], read[i], tolerance * 0.5);
        }
    }

    [Fact]
    public void A_tied_model_ignores_an_unembedding_in_the_file()
    {
        using var folder = new TemporaryFolder();
        JsonObject json = ModelFiles.ConfigJson(ModelFiles.Small with { TieWordEmbeddings = true });
        using var source = ModelSource.Open(ModelFiles.WriteFolder(folder, ModelFiles.Small, json));
        Assert.True(source.Config.TieWordEmbeddings);
        Assert.True(source.TryGet(LlamaTensors.Unembedding, out _));
        Assert.DoesNotContain(source.Weights, tensor => tensor.Name == LlamaTensors.Unembedding);
    }

    [Fact]
    public void An_untied_model_without_unembedding_is_refused()
    {
        using var folder = new TemporaryFolder();
        ModelFiles.WriteFolder(folder, ModelFiles.Small with { TieWordEmbeddings = true }, ModelFiles.ConfigJson(ModelFiles.Small));
        Refusal.Of(folder.File("model.safetensors"), () => ModelSource.Open(folder.Path), "tensor lm_head.weight is missing");
    }

    [Fact]
    public void Links_are_followed()
    {
        using var folder = new TemporaryFolder();
        string real = folder.Write("blob", ModelFiles.Llama2c(ModelFiles.Small));
        File.CreateSymbolicLink(folder.File("link.bin"), real);
        using var source = ModelSource.Open(folder.File("link.bin"));
        Assert.Equal("llama2.c", source.Format);
    }

    [Fact]
    public void A_shape_that_is_not_the_configuration_s_is_refused()
    {
        using var folder = new TemporaryFolder();
        List<(string Name, string Type, long[] Shape, byte[] Data)> tensors = ModelFiles.Tensors(ModelFiles.Small);
        int at = tensors.FindIndex(t => t.Name == "model.layers.1.mlp.down_proj.weight");
        tensors[at] = tensors[at] with { Shape = [96, 64] };
        Refuses(tensors, "tensor model.layers.1.mlp.down_proj.weight has shape [96, 64] where the config says [64, 96]");
        tensors[at] = tensors[at] with { Shape = [64 * 96] };
        Refuses(tensors, "tensor model.layers.1.mlp.down_proj.weight has shape [6144] where the config says [64, 96]");
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.v_proj.weight", "I32")]
    [InlineData("model.norm.weight", "U32")]
    public void A_type_that_is_no_weight_s_is_refused(string name, string type)
    {
        List<(string Name, string Type, long[] Shape, byte[] Data)> tensors = ModelFiles.Tensors(ModelFiles.Small);
        int at = tensors.FindIndex(t => t.Name == name);
        tensors[at] = tensors[at] with { Type = type };
        Refuses(tensors, $"tensor {name} is of type {type}: supported is F32, F16, BF16");
    }

    [Fact]
    public void Tensors_of_other_types_may_stand_beside_the_weights()
    {
        using var folder = new TemporaryFolder();
        ModelFiles.WriteFolder(folder, ModelFiles.Small);
        List<(string Name, string Type, long[] Shape, byte[] Data)> tensors = ModelFiles.Tensors(ModelFiles.Small);
        tensors.Add(("position_ids", "I64", [3], new byte[24]));
        folder.Write("model.safetensors", ModelFiles.Safetensors(tensors));
        using var source = ModelSource.Open(folder.Path);
        Assert.True(source.TryGet("position_ids", out StoredTensor? tensor));
        Assert.Null(tensor.Type);
    }

    [Fact]
    public void A_bias_is_refused()
    {
        List<(string Name, string Type, long[] Shape, byte[] Data)> tensors = ModelFiles.Tensors(ModelFiles.Small);
        tensors.Add(("model.layers.0.self_attn.q_proj.bias", "F32", [64], new byte[256]));
        Refuses(tensors, "tensor model.layers.0.self_attn.q_proj.bias is a bias");
    }

    [Fact]
    public void A_missing_tensor_is_refused_at_once_however_many_layers_are_claimed()
    {
        using var folder = new TemporaryFolder();
        JsonObject json = ModelFiles.ConfigJson(ModelFiles.Small);
        json["num_hidden_layers"] = 1 << 24;
        ModelFiles.WriteFolder(folder, ModelFiles.Small, json);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refusal.Of(folder.File("model.safetensors"), () => ModelSource.Open(folder.Path), "tensor model.layers.2.input_layernorm.weight is missing");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void A_file_that_is_no_model_is_refused()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("empty"));
        Refusal.Of(folder.File("absent"), () => ModelSource.Open(folder.File("absent")), "does not exist");
        Refusal.Of(folder.Write("nothing.gguf", ""), () => ModelSource.Open(folder.File("nothing.gguf")), "is empty");
        Refusal.Of(folder.Write("text.txt", "hello, this is no model at all"), () => ModelSource.Open(folder.File("text.txt")), "is no model file, beginning with 68 65 6c", "llama2.c");
        Refusal.Of(folder.Write("pytorch_model.bin", "PK\u0003\u0004 and so on and on and on"), () => ModelSource.Open(folder.File("pytorch_model.bin")), "PyTorch");
        Refusal.Of(folder.Write("config.json", ModelFiles.ConfigJson(ModelFiles.Small).ToJsonString()), () => ModelSource.Open(folder.File("config.json")), "a JSON file", "a folder");
        Refusal.Of(folder.Write("x.gguf", "GGML and so on"), () => ModelSource.Open(folder.File("x.gguf")), "does not begin with GGUF");
        Refusal.Of(folder.File("empty/config.json"), () => ModelSource.Open(folder.File("empty")), "does not exist");
        Refusal.Of(folder.Path, () => ModelSource.Open(folder.Path), "holds neither model.safetensors nor model.safetensors.index.json");
        folder.Write("empty/alone.safetensors", ModelFiles.Safetensors(ModelFiles.Tensors(ModelFiles.Small)));
        Refusal.Of(folder.File("empty/alone.safetensors"), () => ModelSource.Open(folder.File("empty/alone.safetensors")), "no config.json beside it");
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    [InlineData("a\nb")]
    [InlineData("/proc/self/maps")]
    [InlineData("/dev/null")]
    public void A_path_that_is_none_is_refused(string path) => Refusal.IsOneLine(Assert.Throws<ModelFormatException>(() => ModelSource.Open(path)).Message);

    private static void Refuses(List<(string Name, string Type, long[] Shape, byte[] Data)> tensors, params string[] parts)
    {
        using var folder = new TemporaryFolder();
        ModelFiles.WriteFolder(folder, ModelFiles.Small);
        folder.Write("model.safetensors", ModelFiles.Safetensors(tensors));
        Refusal.Of(folder.File("model.safetensors"), () => ModelSource.Open(folder.Path), parts);
    }

    private static float[] Read(ModelSource source, NeededTensor needed)
    {
        if (needed.IsVector)
            return source.Vector(needed.Name, needed.Rows);
        WeightMatrix matrix = source.Matrix(needed.Name, needed.Rows, needed.Columns);
        var numbers = new float[needed.Rows * needed.Columns];
        for (int row = 0; row < needed.Rows; row++)
            BlockFormats.Widen(matrix.Type, new ReadOnlySpan<byte>(matrix.Row(row), (int)matrix.RowBytes), numbers.AsSpan(row * needed.Columns, needed.Columns));
        return numbers;
    }
}
