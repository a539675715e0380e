using System.Buffers.Binary;

namespace Arrakis.Native.Weights;

/// <summary>
/// llama2.c's first format: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, negative if the unembedding is not tied, seq_len),
/// then F32 matrices by kind, each for all layers, with two rotary tables that nobody reads. Nothing in it is named, so the length must fit exactly.
/// </summary>
internal static class Llama2cFile
{
    private const int HeaderBytes = 7 * sizeof(int);

    /// <summary>"ak42": how the later versions of the format begin.</summary>
    private const uint LaterMagic = 0x616b3432;

    /// <summary>Whether a file begins as one of the format's versions does.</summary>
    public static bool Recognises(MappedFile file)
    {
        if (file.Length < HeaderBytes)
            return false;
        Span<int> header = stackalloc int[7];
        ReadHeader(file, header);
        if ((uint)header[0] == LaterMagic)
            return true;
        foreach (int value in header)
        {
            if (value is int.MinValue or 0 || Math.Abs(value) > 1 << 24)
                return false;
        }

        return true;
    }

    /// <summary>Reads the header and lays the tensors out.</summary>
    public static OpenedModel Open(MappedFile file)
    {
        LlamaConfig config = ReadConfig(file);
        var layout = new Layout(file);
        int d = config.HiddenSize, f = config.IntermediateSize, layers = config.NumHiddenLayers;
        int keys = config.NumKeyValueHeads * config.HeadDim;
        Int128 perLayer = 2 * (Int128)d + 2 * (Int128)d * d + 2 * (Int128)keys * d + 3 * (Int128)f * d;
        Int128 embeddings = (config.TieWordEmbeddings ? 1 : 2) * (Int128)config.VocabSize * d;
        Int128 floats = embeddings + layers * perLayer + d + (Int128)config.MaxPositionEmbeddings * config.HeadDim;
        // Checked before anything is laid out: from here on the number of layers is known to be backed by bytes.
        if (file.Length != HeaderBytes + 4 * floats)
        {
            string sizes = $"dim {d}, hidden_dim {f}, n_layers {layers}, n_heads {config.NumAttentionHeads}, n_kv_heads {config.NumKeyValueHeads}, "
                + $"vocab_size {config.VocabSize}{(config.TieWordEmbeddings ? "" : " untied")}, seq_len {config.MaxPositionEmbeddings}";
            throw Said.Fault(file.Path, $"is {file.Length} bytes long, and its header asks for {HeaderBytes + 4 * floats} ({sizes})");
        }

        layout.Take(LlamaTensors.Embedding, config.VocabSize, d);
        layout.TakeLayers(layers, LlamaTensors.InputNorm, d);
        layout.TakeLayers(layers, LlamaTensors.Q, d, d);
        layout.TakeLayers(layers, LlamaTensors.K, keys, d);
        layout.TakeLayers(layers, LlamaTensors.V, keys, d);
        layout.TakeLayers(layers, LlamaTensors.O, d, d);
        layout.TakeLayers(layers, LlamaTensors.PostAttentionNorm, d);
        layout.TakeLayers(layers, LlamaTensors.Gate, f, d);
        layout.TakeLayers(layers, LlamaTensors.Down, d, f);
        layout.TakeLayers(layers, LlamaTensors.Up, f, d);
        layout.Take(LlamaTensors.FinalNorm, d);
        layout.Skip((long)config.MaxPositionEmbeddings * config.HeadDim);
        if (!config.TieWordEmbeddings)
            layout.Take(LlamaTensors.Unembedding, config.VocabSize, d);
        return new OpenedModel("llama2.c", file.Path, config, layout.Tensors);
    }

    private static void ReadHeader(MappedFile file, Span<int> header)
    {
        for (int i = 0; i < header.Length; i++)
            header[i] = BinaryPrimitives.ReadInt32LittleEndian(file.Span(i * sizeof(int), sizeof(int)));
    }

    private static LlamaConfig ReadConfig(MappedFile file)
    {
        if (file.Length < HeaderBytes)
            throw Said.Fault(file.Path, $"is {file.Length} bytes long, which is too short for a llama2.c file");
        Span<int> header = stackalloc int[7];
        ReadHeader(file, header);
        if ((uint)header[0] == LaterMagic)
            throw Said.Fault(file.Path, $"is llama2.c's format ak42 version {header[1]}: supported is the first format (export.py --version 0), without a magic number");
        (int dim, int heads) = (header[0], header[3]);
        if (heads < 1 || dim % heads != 0)
            throw Said.Fault(file.Path, $"is taken for llama2.c's format, and dim {dim} is no multiple of n_heads {heads}");
        int vocabulary = header[5] == int.MinValue ? 0 : Math.Abs(header[5]);
        var config = new LlamaConfig
        {
            HiddenSize = dim,
            IntermediateSize = header[1],
            NumHiddenLayers = header[2],
            NumAttentionHeads = heads,
            NumKeyValueHeads = header[4],
            HeadDim = dim / heads,
            VocabSize = vocabulary,
            MaxPositionEmbeddings = header[6],
            RmsNormEps = 1e-5f,
            RopeTheta = 10000,
            RotaryLayout = RotaryLayout.Pairs,
            TieWordEmbeddings = header[5] > 0,
            BosTokenId = vocabulary > 1 ? 1 : null,
            EosTokenIds = vocabulary > 2 ? [2] : [],
        };
        return config.FindFault() is string fault ? throw Said.Fault(file.Path, $"is taken for llama2.c's format, and {fault}") : config;
    }

    /// <summary>Walks through the floats of the file and names them.</summary>
    private sealed class Layout(MappedFile file)
    {
        private long _offset = HeaderBytes;

        public Dictionary<string, StoredTensor> Tensors { get; } = [];

        public void Take(string name, params long[] shape)
        {
            long bytes = checked(StoredTensor.CountElements(shape)!.Value * sizeof(float));
            Tensors.Add(name, new StoredTensor(name, name, ElementType.F32, "F32", shape, _offset, bytes, file));
            _offset += bytes;
        }

        public void TakeLayers(int layers, string part, params long[] shape)
        {
            for (int layer = 0; layer < layers; layer++)
                Take(LlamaTensors.Layer(layer, part), shape);
        }

        public void Skip(long floats) => _offset += floats * sizeof(float);
    }
}
