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
        Add(LlamaTensors.Embedding, weights.Embedding);
        for (int l = 0; l < weights.Layers.Length; l++)
        {
            LlamaLayer layer = weights.Layers[l];
            Add(LlamaTensors.Layer(l, LlamaTensors.InputNorm), layer.AttentionNorm);
            Add(LlamaTensors.Layer(l, LlamaTensors.Q), layer.Query);
            Add(LlamaTensors.Layer(l, LlamaTensors.K), layer.Key);
            Add(LlamaTensors.Layer(l, LlamaTensors.V), layer.Value);
            Add(LlamaTensors.Layer(l, LlamaTensors.O), layer.Output);
            Add(LlamaTensors.Layer(l, LlamaTensors.PostAttentionNorm), layer.MlpNorm);
            Add(LlamaTensors.Layer(l, LlamaTensors.Gate), layer.Gate);
            Add(LlamaTensors.Layer(l, LlamaTensors.Up), layer.Up);
            Add(LlamaTensors.Layer(l, LlamaTensors.Down), layer.Down);
        }

        Add(LlamaTensors.FinalNorm, weights.FinalNorm);
        if (!c.TieWordEmbeddings)
            Add(LlamaTensors.Unembedding, weights.Unembedding);

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
