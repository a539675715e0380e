using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Support;

/// <summary>Small valid models of every format, for tests to read or to spoil.</summary>
internal static class ModelFiles
{
    /// <summary>A shape in which no two sizes are equal that could be confused, of whole blocks, so that every element type can hold it.</summary>
    public static LlamaConfig Small { get; } = new()
    {
        HiddenSize = 64,
        IntermediateSize = 96,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        HeadDim = 16,
        VocabSize = 10,
        MaxPositionEmbeddings = 12,
    };

    /// <summary>Numbers that differ from tensor to tensor and element to element, the same on every machine.</summary>
    public static float[] Numbers(string name, int count)
    {
        uint state = 2166136261;
        foreach (char c in name)
            state = (state ^ c) * 16777619;
        var numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            state = state * 1664525 + 1013904223;
            numbers[i] = (int)(state >> 8) / (float)(1 << 24) - 0.5f;
        }

        return numbers;
    }

    /// <summary>The <c>config.json</c> of a shape, for a test to change.</summary>
    public static JsonObject ConfigJson(LlamaConfig config) => new()
    {
        ["model_type"] = "llama",
        ["hidden_size"] = config.HiddenSize,
        ["intermediate_size"] = config.IntermediateSize,
        ["num_hidden_layers"] = config.NumHiddenLayers,
        ["num_attention_heads"] = config.NumAttentionHeads,
        ["num_key_value_heads"] = config.NumKeyValueHeads,
        ["head_dim"] = config.HeadDim,
        ["vocab_size"] = config.VocabSize,
        ["max_position_embeddings"] = config.MaxPositionEmbeddings,
        ["rms_norm_eps"] = 1e-5,
        ["tie_word_embeddings"] = config.TieWordEmbeddings,
    };

    /// <summary>Every tensor that a shape needs, as F32.</summary>
    public static List<(string Name, string Type, long[] Shape, byte[] Data)> Tensors(LlamaConfig config)
    {
        var tensors = new List<(string, string, long[], byte[])>();
        foreach (NeededTensor needed in LlamaTensors.NeededBy(config))
        {
            long[] shape = needed.IsVector ? [needed.Rows] : [needed.Rows, needed.Columns];
            float[] numbers = Numbers(needed.Name, needed.Rows * Math.Max(1, needed.Columns));
            tensors.Add((needed.Name, "F32", shape, MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray()));
        }

        return tensors;
    }

    /// <summary>A safetensors file of those tensors, in their order.</summary>
    public static byte[] Safetensors(List<(string Name, string Type, long[] Shape, byte[] Data)> tensors)
    {
        var header = new JsonObject();
        using var data = new MemoryStream();
        foreach ((string name, string type, long[] shape, byte[] bytes) in tensors)
        {
            var dimensions = new JsonArray();
            foreach (long extent in shape)
                dimensions.Add(extent);
            header[name] = new JsonObject { ["dtype"] = type, ["shape"] = dimensions, ["data_offsets"] = new JsonArray(data.Length, data.Length + bytes.Length) };
            data.Write(bytes);
        }

        return Safetensors(header.ToJsonString(), data.ToArray());
    }

    /// <summary>A safetensors file of a header, whatever it says, and data.</summary>
    public static byte[] Safetensors(string header, byte[] data) => Safetensors(Encoding.UTF8.GetBytes(header), data);

    /// <summary>A safetensors file of a header, whatever it says, and data.</summary>
    public static byte[] Safetensors(byte[] header, byte[] data)
    {
        var file = new byte[8 + header.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, header.Length);
        header.CopyTo(file, 8);
        data.CopyTo(file, 8 + header.Length);
        return file;
    }

    /// <summary>Lays a model out in a folder as Hugging Face does.</summary>
    public static string WriteFolder(TemporaryFolder folder, LlamaConfig config, JsonObject? json = null)
    {
        folder.Write("config.json", (json ?? ConfigJson(config)).ToJsonString());
        folder.Write("model.safetensors", Safetensors(Tensors(config)));
        return folder.Path;
    }

    /// <summary>A llama2.c file of the first format.</summary>
    public static byte[] Llama2c(LlamaConfig config)
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        int vocabulary = config.TieWordEmbeddings ? config.VocabSize : -config.VocabSize;
        foreach (int value in new[] { config.HiddenSize, config.IntermediateSize, config.NumHiddenLayers, config.NumAttentionHeads, config.NumKeyValueHeads, vocabulary, config.MaxPositionEmbeddings })
            writer.Write(value);
        int d = config.HiddenSize, f = config.IntermediateSize, keys = config.NumKeyValueHeads * config.HeadDim;
        Write(LlamaTensors.Embedding, config.VocabSize * d);
        WriteLayers(LlamaTensors.InputNorm, d);
        WriteLayers(LlamaTensors.Q, d * d);
        WriteLayers(LlamaTensors.K, keys * d);
        WriteLayers(LlamaTensors.V, keys * d);
        WriteLayers(LlamaTensors.O, d * d);
        WriteLayers(LlamaTensors.PostAttentionNorm, d);
        WriteLayers(LlamaTensors.Gate, f * d);
        WriteLayers(LlamaTensors.Down, f * d);
        WriteLayers(LlamaTensors.Up, f * d);
        Write(LlamaTensors.FinalNorm, d);
        writer.Write(new byte[sizeof(float) * config.MaxPositionEmbeddings * config.HeadDim]);
        if (!config.TieWordEmbeddings)
            Write(LlamaTensors.Unembedding, config.VocabSize * d);
        writer.Flush();
        return stream.ToArray();

        void Write(string name, int count)
        {
            foreach (float value in Numbers(name, count))
                writer.Write(value);
        }

        void WriteLayers(string part, int count)
        {
            for (int layer = 0; layer < config.NumHiddenLayers; layer++)
                Write(LlamaTensors.Layer(layer, part), count);
        }
    }

    /// <summary>A GGUF with matrices of a type.</summary>
    public static GgufBuilder Gguf(LlamaConfig config, ElementType type) => new GgufBuilder().Llama(config).LlamaTensorsOf(config, type, Numbers);
}
