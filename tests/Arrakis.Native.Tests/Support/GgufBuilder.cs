using System.Text;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Support;

/// <summary>
/// Writes a GGUF into memory: metadata and tensors in the order in which they are added. Shapes are given outermost first, as everywhere in the project,
/// and turned round on the way. What a test wants wrong it sets through <see cref="Version"/>, the declared counts, or raw values.
/// </summary>
internal sealed class GgufBuilder
{
    private readonly List<byte[]> _metadata = [];
    private readonly List<Stored> _tensors = [];

    /// <summary>The version in the header.</summary>
    public uint Version { get; set; } = 3;

    /// <summary>The tensor count in the header, where it is not to be the true one.</summary>
    public ulong? DeclaredTensors { get; set; }

    /// <summary>The metadata count in the header, where it is not to be the true one.</summary>
    public ulong? DeclaredMetadata { get; set; }

    /// <summary>What tensors are aligned to; written as <c>general.alignment</c> by the caller where it is not 32.</summary>
    public int Alignment { get; set; } = 32;

    /// <summary>Changes where a tensor says that it lies.</summary>
    public Func<string, ulong, ulong> PlaceTensor { get; set; } = (_, offset) => offset;

    public GgufBuilder Text(string key, string value) => Add(key, GgufType.String, w => WriteText(w, value));

    public GgufBuilder UInt32(string key, uint value) => Add(key, GgufType.UInt32, w => w.Write(value));

    public GgufBuilder UInt64(string key, ulong value) => Add(key, GgufType.UInt64, w => w.Write(value));

    public GgufBuilder Int32(string key, int value) => Add(key, GgufType.Int32, w => w.Write(value));

    public GgufBuilder Float32(string key, float value) => Add(key, GgufType.Float32, w => w.Write(value));

    public GgufBuilder Bool(string key, bool value) => Add(key, GgufType.Bool, w => w.Write(value));

    public GgufBuilder Texts(string key, params string[] values) => Array(key, GgufType.String, values.Length, w =>
    {
        foreach (string value in values)
            WriteText(w, value);
    });

    public GgufBuilder Floats(string key, params float[] values) => Array(key, GgufType.Float32, values.Length, w =>
    {
        foreach (float value in values)
            w.Write(value);
    });

    public GgufBuilder Integers(string key, params int[] values) => Array(key, GgufType.Int32, values.Length, w =>
    {
        foreach (int value in values)
            w.Write(value);
    });

    /// <summary>An array whose count need not be that of its items.</summary>
    public GgufBuilder Array(string key, GgufType item, long count, Action<BinaryWriter> items) => Add(key, GgufType.Array, w =>
    {
        w.Write((uint)item);
        w.Write(count);
        items(w);
    });

    /// <summary>A value of any type, well formed or not.</summary>
    public GgufBuilder Add(string key, GgufType type, Action<BinaryWriter> value)
    {
        _metadata.Add(Bytes(w =>
        {
            WriteText(w, key);
            w.Write((uint)type);
            value(w);
        }));
        return this;
    }

    /// <summary>A tensor, encoded as <paramref name="type"/>; quantised types need rows of whole blocks.</summary>
    public GgufBuilder Tensor(string name, ElementType type, long[] shape, ReadOnlySpan<float> numbers)
    {
        var data = new byte[type.RowBytes(numbers.Length)];
        BlockFormats.Encode(type, numbers, data);
        return RawTensor(name, NumberOf(type), shape, data);
    }

    /// <summary>A tensor of a ggml type by number, with bytes that need not suit it.</summary>
    public GgufBuilder RawTensor(string name, uint type, long[] shape, byte[] data)
    {
        _tensors.Add(new Stored(name, type, shape, data));
        return this;
    }

    /// <summary>The metadata of a small Llama.</summary>
    public GgufBuilder Llama(LlamaConfig config)
    {
        Text("general.architecture", "llama");
        UInt32("llama.block_count", (uint)config.NumHiddenLayers);
        UInt32("llama.embedding_length", (uint)config.HiddenSize);
        UInt32("llama.feed_forward_length", (uint)config.IntermediateSize);
        UInt32("llama.attention.head_count", (uint)config.NumAttentionHeads);
        UInt32("llama.attention.head_count_kv", (uint)config.NumKeyValueHeads);
        UInt32("llama.attention.key_length", (uint)config.HeadDim);
        UInt32("llama.attention.value_length", (uint)config.HeadDim);
        UInt32("llama.context_length", (uint)config.MaxPositionEmbeddings);
        UInt32("llama.vocab_size", (uint)config.VocabSize);
        Float32("llama.attention.layer_norm_rms_epsilon", config.RmsNormEps);
        return Float32("llama.rope.freq_base", (float)config.RopeTheta);
    }

    /// <summary>All tensors of a Llama, matrices as <paramref name="type"/>, norms as F32, their numbers from <paramref name="numbers"/> by Hugging Face name.</summary>
    public GgufBuilder LlamaTensorsOf(LlamaConfig config, ElementType type, Func<string, int, float[]> numbers)
    {
        foreach (NeededTensor needed in LlamaTensors.NeededBy(config))
        {
            string name = GgufModel.ToGguf(needed.Name);
            float[] values = numbers(needed.Name, needed.Rows * Math.Max(1, needed.Columns));
            if (needed.IsVector)
                Tensor(name, ElementType.F32, [needed.Rows], values);
            else
                Tensor(name, type, [needed.Rows, needed.Columns], values);
        }

        return this;
    }

    public byte[] Build() => Bytes(w =>
    {
        w.Write("GGUF"u8);
        w.Write(Version);
        w.Write(DeclaredTensors ?? (ulong)_tensors.Count);
        w.Write(DeclaredMetadata ?? (ulong)_metadata.Count);
        foreach (byte[] pair in _metadata)
            w.Write(pair);
        ulong offset = 0;
        foreach (Stored tensor in _tensors)
        {
            WriteText(w, tensor.Name);
            w.Write((uint)tensor.Shape.Length);
            for (int i = tensor.Shape.Length - 1; i >= 0; i--)
                w.Write(tensor.Shape[i]);
            w.Write(tensor.Type);
            w.Write(PlaceTensor(tensor.Name, offset));
            offset += (ulong)Aligned(tensor.Data.Length);
        }

        foreach (Stored tensor in _tensors)
        {
            w.Write(new byte[Aligned(w.BaseStream.Position) - w.BaseStream.Position]);
            w.Write(tensor.Data);
        }
    });

    private static uint NumberOf(ElementType type) => type switch
    {
        ElementType.F32 => 0,
        ElementType.F16 => 1,
        ElementType.Q4_0 => 2,
        ElementType.Q8_0 => 8,
        _ => 30,
    };

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((long)bytes.Length);
        writer.Write(bytes);
    }

    private static byte[] Bytes(Action<BinaryWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true))
            write(writer);
        return stream.ToArray();
    }

    private long Aligned(long position) => (position + Alignment - 1) / Alignment * Alignment;

    private sealed record Stored(string Name, uint Type, long[] Shape, byte[] Data);
}
