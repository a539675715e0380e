using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Arrakis.Native.Weights;

/// <summary>
/// A model on disk, whatever its format: its shape, and its tensors under Hugging Face's names. Opening it checks that every tensor the shape needs is there,
/// in the right shape and a type that can be multiplied; after that nothing about the files can fail, but that a mapped one is cut short. Matrices point into the
/// files, mapped or copied, until this is disposed.
/// </summary>
internal sealed class ModelSource : IDisposable
{
    private readonly List<IDisposable> _files;
    private readonly OpenedModel _model;
    private readonly MappedFile[] _places;

    private ModelSource(string path, OpenedModel model, WeightMemory memory, List<IDisposable> files)
    {
        Path = path;
        Memory = memory;
        _model = model;
        _files = files;
        _places = [.. model.Tensors.Values.Select(tensor => tensor.File).Distinct()];
    }

    /// <summary>What was opened.</summary>
    public string Path { get; }

    /// <summary>Whether the files are mapped or copied.</summary>
    public WeightMemory Memory { get; }

    /// <summary><c>safetensors</c>, <c>gguf</c> or <c>llama2.c</c>.</summary>
    public string Format => _model.Format;

    /// <summary>How many files are open, or held as copies.</summary>
    public int Files => _files.Count;

    /// <summary>The model's shape.</summary>
    public LlamaConfig Config => _model.Config;

    /// <summary>Every tensor in the files, needed or not.</summary>
    public IReadOnlyCollection<StoredTensor> Tensors => _model.Tensors.Values;

    /// <summary>The tensors that the model is made of; a tied model has no unembedding among them, even where the file holds one.</summary>
    public IEnumerable<StoredTensor> Weights
    {
        get
        {
            foreach (NeededTensor needed in LlamaTensors.NeededBy(Config))
                yield return Find(needed.Name);
        }
    }

    /// <summary>By what each of the K/2 rotary frequencies is to be divided (GGUF's <c>rope_freqs.weight</c>, on top of the configuration's scaling), or null.</summary>
    public float[]? RopeFrequencyDivisors => _model.RopeFrequencyDivisors;

    /// <summary>Opens a folder with <c>config.json</c> and safetensors, a GGUF, llama2.c or safetensors file: told apart by what they hold.</summary>
    /// <exception cref="ModelFormatException">There is no such model, it is damaged, or it asks for what is not supported.</exception>
    public static ModelSource Open(string path, WeightMemory memory = WeightMemory.Mapped, CancellationToken cancellation = default)
    {
        var files = new List<IDisposable>();
        try
        {
            OpenedModel model = Directory.Exists(path) ? SafetensorsFolder.Open(path, files, memory, cancellation) : OpenFile(path, files, memory, cancellation);
            var source = new ModelSource(path, model, memory, files);
            source.CheckTensors();
            return source;
        }
        catch
        {
            Close(files);
            throw;
        }
    }

    /// <summary>The tensor of a name, if there is one.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out StoredTensor? tensor) => _model.Tensors.TryGetValue(name, out tensor);

    /// <summary>The matrix of a name, which must have that shape.</summary>
    public WeightMatrix Matrix(string name, int rows, int columns) => Find(name).Matrix(rows, columns);

    /// <summary>A copy of the vector of a name as F32, which must have that length.</summary>
    public float[] Vector(string name, int length) => Find(name).Vector(length);

    /// <summary>Refuses files that another program has cut short since they were mapped.</summary>
    /// <exception cref="ModelFormatException">One was.</exception>
    public void CheckWhole()
    {
        foreach (MappedFile file in _places)
            file.CheckWhole();
    }

    /// <summary>Lets go of the files; every matrix that points into them is void.</summary>
    public void Dispose() => Close(_files);

    private static OpenedModel OpenFile(string path, List<IDisposable> files, WeightMemory memory, CancellationToken cancellation)
    {
        MappedFile file = MappedFile.Open(path, memory, cancellation);
        files.Add(file);
        string extension = System.IO.Path.GetExtension(path).ToUpperInvariant();
        if (GgufFile.Recognises(file) || extension == ".GGUF")
            return GgufModel.Open(GgufFile.Read(file));
        if (SafetensorsFile.Recognises(file) || extension == ".SAFETENSORS")
            return SafetensorsFolder.OpenFile(file);
        const string Supported = "supported is a folder with config.json and safetensors, a GGUF file, or llama2.c's first format";
        if (Foreign(file) is string kind)
            throw Said.Fault(path, $"is {kind}: {Supported}");
        if (Llama2cFile.Recognises(file) || extension == ".BIN")
            return Llama2cFile.Open(file);
        throw Said.Fault(path, $"is no model file, beginning with {Beginning(file)}: {Supported}");
    }

    /// <summary>What a file is that people might well try.</summary>
    private static string? Foreign(MappedFile file)
    {
        uint magic = file.Length < 4 ? 0 : BinaryPrimitives.ReadUInt32BigEndian(file.Span(0, 4));
        return magic switch
        {
            0x504B0304 => "a zip archive, as PyTorch writes its checkpoints",
            0x6C6D6767 or 0x746A6767 or 0x666D6767 or 0x616C6767 => "in ggml's format from before GGUF",
            _ => file.Span(0, 1)[0] is (byte)'{' or (byte)'[' ? "a JSON file" : null,
        };
    }

    private static string Beginning(MappedFile file)
    {
        var text = new StringBuilder();
        foreach (byte b in file.Span(0, (int)Math.Min(8, file.Length)))
            text.Append(text.Length == 0 ? "" : " ").Append(b.ToString("x2", System.Globalization.CultureInfo.InvariantCulture));
        return text.ToString();
    }

    private void CheckTensors()
    {
        foreach (StoredTensor tensor in Tensors)
        {
            if (tensor.NameInFile.EndsWith(".bias", StringComparison.Ordinal))
                throw tensor.Fault("is a bias: supported is a Llama without biases");
        }

        foreach (NeededTensor needed in LlamaTensors.NeededBy(Config))
        {
            StoredTensor tensor = Find(needed.Name);
            if (needed.IsVector)
                tensor.CheckVector(needed.Rows);
            else
                tensor.Matrix(needed.Rows, needed.Columns);
        }
    }

    private StoredTensor Find(string name) =>
        TryGet(name, out StoredTensor? tensor) ? tensor : throw Said.Fault(_model.TensorPath, $"tensor {Said.Name(_model.NameInFile(name))} is missing");

    private static void Close(List<IDisposable> files)
    {
        foreach (IDisposable file in files)
            file.Dispose();
    }
}
