using System.Buffers.Binary;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class GgufTests
{
    [Theory]
    [InlineData(2u)]
    [InlineData(3u)]
    public void Metadata_is_kept_by_key(uint version)
    {
        byte[] bytes = new GgufBuilder { Version = version }
            .Text("text", "ein Wort ▁").UInt32("count", 7).UInt64("wide", 1UL << 40).Int32("minus", -3).Float32("number", 0.5f).Bool("flag", true)
            .Texts("texts", "a", "", "\n▁").Floats("numbers", 1, 2.5f).Integers("integers", 1, -2)
            .Add("double", GgufType.Float64, w => w.Write(0.25)).Add("byte", GgufType.UInt8, w => w.Write((byte)200)).Add("too wide", GgufType.UInt64, w => w.Write(ulong.MaxValue))
            .Build();
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", bytes);
        using var file = GgufFile.Open(path);
        GgufMetadata metadata = file.Metadata;
        Assert.Equal(version, file.Version);
        Assert.Equal(12, metadata.Keys.Count);
        Assert.Equal("ein Wort ▁", metadata.OptionalText("text"));
        Assert.Equal(7, metadata.OptionalInteger("count"));
        Assert.Equal(1L << 40, metadata.OptionalInteger("wide"));
        Assert.Equal(-3, metadata.OptionalInteger("minus"));
        Assert.Equal(200, metadata.OptionalInteger("byte"));
        Assert.Equal(0.5, metadata.OptionalNumber("number"));
        Assert.Equal(0.25, metadata.OptionalNumber("double"));
        Assert.True(metadata.OptionalFlag("flag"));
        Assert.Equal(["a", "", "\n▁"], metadata.OptionalTexts("texts")!);
        Assert.Equal([1, 2.5f], metadata.OptionalNumbers("numbers")!);
        Assert.Equal([1, -2], metadata.OptionalIntegers("integers")!);
        Assert.Null(metadata.OptionalText("absent"));
        Assert.Null(file.Architecture);
        Refusal.Of(path, () => metadata.OptionalText("count"), "metadata count is of type UInt32, where a string is wanted");
        Refusal.Of(path, () => metadata.OptionalInteger("text"), "metadata text is of type String, where an integer is wanted");
        Refusal.Of(path, () => metadata.OptionalTexts("numbers"), "metadata numbers is of type array of Float32, where an array of strings is wanted");
        Refusal.Of(path, () => metadata.OptionalInteger("too wide"), "metadata too wide is 18446744073709551615");
        Refusal.Of(path, () => ModelSource.Open(path), "metadata general.architecture is missing: supported is \"llama\"");
    }

    [Fact]
    public void A_vocabulary_without_tensors_opens_and_is_no_model()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", new GgufBuilder().Llama(ModelFiles.Small).Texts("tokenizer.ggml.tokens", "a", "b").Build());
        using var file = GgufFile.Open(path);
        Assert.Equal("llama", file.Architecture);
        Assert.Equal(10, GgufConfig.Read(file).VocabSize);
        Refusal.Of(path, () => ModelSource.Open(path), "holds no tensors: it is a vocabulary without a model");
    }

    [Fact]
    public void Another_architecture_is_refused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", new GgufBuilder().Text("general.architecture", "gpt2").Build());
        Refusal.Of(path, () => ModelSource.Open(path), "metadata general.architecture is \"gpt2\": supported is \"llama\"");
    }

    [Theory]
    [InlineData(1u, "is GGUF version 1: supported is 2 and 3")]
    [InlineData(4u, "is GGUF version 4: supported is 2 and 3")]
    [InlineData(0u, "is GGUF version 0")]
    [InlineData(0x03000000u, "is a big-endian GGUF: supported is little-endian")]
    public void Another_version_is_refused(uint version, string part) => Refuses(new GgufBuilder { Version = version }, part);

    [Fact]
    public void Counts_are_not_believed()
    {
        Refuses(new GgufBuilder { DeclaredTensors = 1UL << 60 }, "tensor count is 1152921504606846976, more than");
        Refuses(new GgufBuilder { DeclaredMetadata = 1UL << 60 }, "metadata count is 1152921504606846976, more than");
        Refuses(new GgufBuilder { DeclaredMetadata = ulong.MaxValue }, "metadata count is 18446744073709551615, more than");
        Refuses(new GgufBuilder { DeclaredMetadata = 2 }.Text("a", new string('x', 50)), "ends within length of metadata key 1");
        foreach (GgufType type in new[] { GgufType.UInt8, GgufType.Float64, GgufType.String, GgufType.Bool })
            Refuses(new GgufBuilder().Array("a", type, 1L << 60, w => w.Write(0)), "count of metadata a is 1152921504606846976, more than");
        Refuses(new GgufBuilder().Array("a", GgufType.String, 1, w => w.Write(1L << 60)), "length of metadata a is 1152921504606846976, more than");
        Refuses(new GgufBuilder().Add("a", GgufType.String, w => w.Write(-1L)), "length of metadata a is 18446744073709551615, more than");
    }

    [Fact]
    public void A_count_that_the_file_cannot_hold_allocates_nothing()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", new GgufBuilder().Array("a", GgufType.String, 1L << 60, w => w.Write(0L)).Build());
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<ModelFormatException>(() => GgufFile.Open(path));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 16);
    }

    [Fact]
    public void Metadata_that_is_damaged_is_refused()
    {
        Refuses(new GgufBuilder().Array("a", GgufType.Array, 1, w => w.Write(new byte[64])), "metadata a is an array of arrays");
        Refuses(new GgufBuilder().Add("a", (GgufType)13, w => w.Write(new byte[64])), "metadata a is of type 13");
        Refuses(new GgufBuilder().Array("a", (GgufType)99, 1, w => w.Write(new byte[64])), "metadata a is of type 99");
        Refuses(new GgufBuilder().UInt32("a", 1).UInt32("a", 2), "metadata a stands twice");
        Refuses(new GgufBuilder().UInt32(new string('k', 70_000), 1), "length of metadata key 0 is 70000");
        Refuses(new GgufBuilder().UInt32("a\n\u001b", 1).UInt32("a\n\u001b", 1), "metadata a\\u000a\\u001b stands twice");
        Refuses(new GgufBuilder().UInt32("general.alignment", 24), "metadata general.alignment is 24: supported is a power of two");
        Refuses(new GgufBuilder().UInt32("general.alignment", 0), "metadata general.alignment is 0");
        Refuses(new GgufBuilder().Text("general.alignment", "x"), "metadata general.alignment is of type String");
    }

    [Fact]
    public void Tensors_that_lie_are_refused()
    {
        Refuses(Tensor(0, [1, 1, 1, 1, 1], 4), "tensor t has 5 dimensions: supported is 1 to 4");
        Refuses(Tensor(0, [], 4), "tensor t has 0 dimensions");
        Refuses(Tensor(0, [0, 4], 0), "tensor t has a dimension of 0");
        Refuses(Tensor(0, [-1], 4), "tensor t has a dimension of 18446744073709551615");
        Refuses(Tensor(0, [1L << 40, 1L << 40], 4), "tensor t has shape [1099511627776, 1099511627776], whose product overflows");
        Refuses(Tensor(0, [1L << 62], 4), "whose product overflows");
        Refuses(Tensor(0, [5, 7], 4), "tensor t of shape [5, 7] and type F32 takes 140 bytes at offset 0, past the end of the data at 4");
        Refuses(Tensor(8, [2, 33], 68), "tensor t of type Q8_0 has rows of 33, which is no multiple of 32");
        Refuses(Tensor(12, [1, 32], 144), "tensor t of type Q4_K has rows of 32, which is no multiple of 256");
        GgufBuilder two = Tensor(0, [1], 4).RawTensor("t", 0, [1], new byte[4]);
        Refuses(two, "tensor t stands twice");
        Refuses(Placed((_, _) => 16), "tensor a is at offset 16, which is no multiple of the alignment 32");
        Refuses(Placed((_, _) => 1UL << 63), "tensor a", "at offset 9223372036854775808, past the end");
        Refuses(Placed((_, _) => 32), "tensor", "is at offset 32 and overlaps tensor", "which ends at 96");

        static GgufBuilder Placed(Func<string, ulong, ulong> place) => new GgufBuilder { PlaceTensor = place }
            .RawTensor("a", 0, [16], new byte[64]).RawTensor("b", 0, [16], new byte[64]);
    }

    [Fact]
    public void Another_alignment_is_kept_to()
    {
        using var folder = new TemporaryFolder();
        GgufBuilder builder = new GgufBuilder { Alignment = 256 }.UInt32("general.alignment", 256).Tensor("a", ElementType.F32, [3], [1, 2, 3]).Tensor("b", ElementType.F32, [1], [4]);
        using var file = GgufFile.Open(folder.Write("a.gguf", builder.Build()));
        Assert.Equal(0, file.Tensors["b"].Offset % 256);
        Assert.Equal([4], file.Tensors["b"].Vector(1));
    }

    [Theory]
    [InlineData(12u, "Q4_K")]
    [InlineData(27u, "I64")]
    [InlineData(77u, "number 77")]
    public void A_type_that_cannot_be_read_is_refused_only_where_it_is_needed(uint type, string name)
    {
        using var folder = new TemporaryFolder();
        byte[] data = new byte[64 * 96 * 8];
        using (var file = GgufFile.Open(folder.Write("a.gguf", new GgufBuilder().RawTensor("t", type, [24, 256], data).Build())))
            Assert.Equal(name, file.Tensors["t"].TypeName);
        LlamaConfig config = ModelFiles.Small with { HiddenSize = 256, HeadDim = 64, NumHiddenLayers = 1, IntermediateSize = 256 };
        var builder = new GgufBuilder().Llama(config);
        foreach (NeededTensor needed in LlamaTensors.NeededBy(config))
            Add(builder, needed, GgufModel.ToGguf(needed.Name), type, data);
        string path = folder.Write("b.gguf", builder.Build());
        Refusal.Of(path, () => ModelSource.Open(path), $"tensor blk.0.ffn_gate.weight is of type {name}: supported is");

        static void Add(GgufBuilder builder, NeededTensor needed, string name, uint type, byte[] data)
        {
            long[] shape = needed.IsVector ? [needed.Rows] : [needed.Rows, needed.Columns];
            if (name == "blk.0.ffn_gate.weight")
                builder.RawTensor(name, type, shape, new byte[needed.Rows * needed.Columns * 8]);
            else
                builder.Tensor(name, ElementType.F32, shape, new float[needed.Rows * Math.Max(1, needed.Columns)]);
        }
    }

    [Fact]
    public void Truncation_is_refused_wherever_it_falls()
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = ModelFiles.Gguf(ModelFiles.Small with { NumHiddenLayers = 1 }, ElementType.Q4_0).Build();
        for (int length = 1; length < bytes.Length; length += length < 2500 ? 13 : 1501)
        {
            string path = folder.Write("a.gguf", bytes[..length]);
            Refusal.Of(path, () => ModelSource.Open(path));
        }
    }

    [Fact]
    public void The_magic_of_a_big_endian_file_is_known()
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = new GgufBuilder().Build();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, 0x47475546);
        string path = folder.Write("a.gguf", bytes);
        Refusal.Of(path, () => ModelSource.Open(path), "is a big-endian GGUF");
    }

    private static GgufBuilder Tensor(uint type, long[] shape, int bytes) => new GgufBuilder().RawTensor("t", type, shape, new byte[bytes]);

    private static void Refuses(GgufBuilder builder, params string[] parts)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.gguf", builder.Build());
        Refusal.Of(path, () => GgufFile.Open(path), parts);
    }
}
