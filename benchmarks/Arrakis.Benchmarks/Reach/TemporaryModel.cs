using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Benchmarks.Reach;

/// <summary>
/// A model folder of random weights in a stored element type, in a temporary place; gone when it is disposed or a signal ends the process. The engine's own writer is
/// for recordings, which are float32.
/// </summary>
internal sealed unsafe class TemporaryModel : IDisposable
{
    private static readonly PosixSignal[] s_endings = [PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP];

    private readonly PosixSignalRegistration[] _signals;
    private readonly FileStream _file;
    private readonly JsonObject _header = [];
    private readonly List<Action> _writes = [];
    private long _offset;

    private TemporaryModel()
    {
        // Two gigabytes are not to stay behind when someone presses Ctrl-C: the handlers run first, then the signal ends the process all the same.
        _signals = [.. s_endings.Select(ending => PosixSignalRegistration.Create(ending, _ => Remove()))];
        Folder = Directory.CreateTempSubdirectory("arrakis-").FullName;
        File = Path.Combine(Folder, "model.safetensors");
        _file = new FileStream(File, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1 << 20);
    }

    /// <summary>The folder that a model is loaded from.</summary>
    public string Folder { get; }

    /// <summary>The file with the weights.</summary>
    public string File { get; }

    /// <summary>Writes one, and waits until it is on the disk.</summary>
    public static TemporaryModel Create(LlamaConfig config, ElementType type)
    {
        var made = new TemporaryModel();
        try
        {
            using LlamaModel model = LlamaModel.CreateRandom(config, seed: 1, type);
            made.Write(config, model.Weights);
            return made;
        }
        catch
        {
            made.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration signal in _signals)
            signal.Dispose();
        _file.Dispose();
        Remove();
    }

    private void Write(LlamaConfig c, LlamaWeights weights)
    {
        System.IO.File.WriteAllText(Path.Combine(Folder, "config.json"), new JsonObject
        {
            ["model_type"] = "llama",
            ["hidden_size"] = c.HiddenSize,
            ["intermediate_size"] = c.IntermediateSize,
            ["num_hidden_layers"] = c.NumHiddenLayers,
            ["num_attention_heads"] = c.NumAttentionHeads,
            ["num_key_value_heads"] = c.NumKeyValueHeads,
            ["head_dim"] = c.HeadDim,
            ["vocab_size"] = c.VocabSize,
            ["rms_norm_eps"] = c.RmsNormEps,
            ["tie_word_embeddings"] = c.TieWordEmbeddings,
        }.ToJsonString());
        Add("model.embed_tokens.weight", weights.Embedding);
        for (int l = 0; l < weights.Layers.Length; l++)
        {
            LlamaLayer layer = weights.Layers[l];
            string at = $"model.layers.{l}.";
            Add(at + "input_layernorm.weight", layer.AttentionNorm);
            Add(at + "self_attn.q_proj.weight", layer.Query);
            Add(at + "self_attn.k_proj.weight", layer.Key);
            Add(at + "self_attn.v_proj.weight", layer.Value);
            Add(at + "self_attn.o_proj.weight", layer.Output);
            Add(at + "post_attention_layernorm.weight", layer.MlpNorm);
            Add(at + "mlp.gate_proj.weight", layer.Gate);
            Add(at + "mlp.up_proj.weight", layer.Up);
            Add(at + "mlp.down_proj.weight", layer.Down);
        }

        Add("model.norm.weight", weights.FinalNorm);
        if (!c.TieWordEmbeddings)
            Add("lm_head.weight", weights.Unembedding);

        // The data begins at a multiple of a cache line.
        byte[] header = JsonSerializer.SerializeToUtf8Bytes(_header);
        byte[] start = new byte[(8 + header.Length + 63) / 64 * 64];
        start.AsSpan().Fill((byte)' ');
        BinaryPrimitives.WriteInt64LittleEndian(start, start.Length - 8);
        header.CopyTo(start, 8);
        _file.Write(start);
        _writes.ForEach(write => write());
        _file.Flush(flushToDisk: true);
        _file.Dispose();
    }

    private void Add(string name, WeightMatrix matrix)
    {
        Describe(name, matrix.Type, [matrix.Rows, matrix.Columns], matrix.Rows * (long)matrix.RowBytes);
        _writes.Add(() =>
        {
            for (int row = 0; row < matrix.Rows; row++)
                _file.Write(new ReadOnlySpan<byte>(matrix.Row(row), (int)matrix.RowBytes));
        });
    }

    private void Add(string name, float[] vector)
    {
        Describe(name, ElementType.F32, [vector.Length], vector.Length * sizeof(float));
        _writes.Add(() => _file.Write(MemoryMarshal.AsBytes(vector.AsSpan())));
    }

    private void Describe(string name, ElementType type, JsonArray shape, long bytes)
    {
        _header[name] = new JsonObject { ["dtype"] = type.ToString(), ["shape"] = shape, ["data_offsets"] = new JsonArray(_offset, _offset + bytes) };
        _offset += bytes;
    }

    private void Remove()
    {
        if (Directory.Exists(Folder))
            Directory.Delete(Folder, recursive: true);
    }
}
