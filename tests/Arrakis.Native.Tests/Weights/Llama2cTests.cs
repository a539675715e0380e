using System.Buffers.Binary;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class Llama2cTests
{
    [Fact]
    public void The_configuration_is_read()
    {
        using var folder = new TemporaryFolder();
        using var source = ModelSource.Open(folder.Write("a.bin", ModelFiles.Llama2c(ModelFiles.Small)));
        Assert.Equal(ModelFiles.Small with { RotaryLayout = RotaryLayout.Pairs, BosTokenId = 1, EosTokenIds = source.Config.EosTokenIds }, source.Config);
        Assert.Equal([2], source.Config.EosTokenIds);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    [InlineData(1000)]
    public void Another_length_is_refused(int more)
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = ModelFiles.Llama2c(ModelFiles.Small);
        int length = bytes.Length;
        Array.Resize(ref bytes, length + more);
        string path = folder.Write("a.bin", bytes);
        Refusal.Of(path, () => ModelSource.Open(path), $"is {length + more} bytes long, and its header asks for {length} (dim 64, hidden_dim 96, n_layers 2, n_heads 4, n_kv_heads 2, vocab_size 10 untied, seq_len 12)");
    }

    [Theory]
    [InlineData(0, 0, "hidden_size is 0")]
    [InlineData(0, -64, "hidden_size is -64")]
    [InlineData(0, 65, "dim 65 is no multiple of n_heads 4")]
    [InlineData(1, int.MaxValue, "intermediate_size is 2147483647")]
    [InlineData(2, 1 << 24, "n_layers 16777216")]
    [InlineData(3, 0, "dim 64 is no multiple of n_heads 0")]
    [InlineData(4, 3, "num_attention_heads 4 is not a multiple of num_key_value_heads 3")]
    [InlineData(5, int.MinValue, "vocab_size is 0")]
    [InlineData(5, 0, "vocab_size is 0")]
    [InlineData(6, -1, "max_position_embeddings is -1")]
    public void A_header_that_lies_is_refused(int field, int value, string part)
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = ModelFiles.Llama2c(ModelFiles.Small);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4 * field), value);
        string path = folder.Write("a.bin", bytes);
        Refusal.Of(path, () => ModelSource.Open(path), part);
    }

    [Fact]
    public void The_largest_sizes_do_not_overflow()
    {
        using var folder = new TemporaryFolder();
        var bytes = new byte[28];
        int[] header = [1 << 24, 1 << 24, 1 << 24, 1, 1, 1 << 24, 1 << 24];
        Buffer.BlockCopy(header, 0, bytes, 0, 28);
        string path = folder.Write("a.bin", bytes);
        Refusal.Of(path, () => ModelSource.Open(path), "is 28 bytes long, and its header asks for ");
        Refusal.Of(folder.Write("b.bin", bytes[..27]), () => ModelSource.Open(folder.File("b.bin")), "is 27 bytes long, which is too short");
    }

    [Fact]
    public void Later_versions_are_refused_by_name()
    {
        using var folder = new TemporaryFolder();
        var bytes = new byte[256];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, 0x616b3432);
        bytes[4] = 2;
        string path = folder.Write("a.bin", bytes);
        Refusal.Of(path, () => ModelSource.Open(path), "ak42 version 2: supported is the first format");
    }
}
