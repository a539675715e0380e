using System.Buffers.Binary;

namespace Arrakis.Native.Weights;

/// <summary>
/// A safetensors file: eight bytes with the length of a JSON header, the header, and the tensors' bytes without gaps.
/// Everything the header says is checked on opening, as the format's reference implementation does.
/// </summary>
internal sealed class SafetensorsFile : IDisposable
{
    /// <summary>The longest header that the reference implementation takes.</summary>
    public const long LongestHeader = 100_000_000;

    private readonly MappedFile _file;
    private readonly Dictionary<string, StoredTensor> _byName;

    private SafetensorsFile(MappedFile file, SafetensorsHeader header)
    {
        _file = file;
        _byName = header.Tensors;
        Metadata = header.Metadata;
    }

    /// <summary>The file's path.</summary>
    public string Path => _file.Path;

    /// <summary>Every tensor of the file, of whatever type.</summary>
    public IReadOnlyCollection<StoredTensor> Tensors => _byName.Values;

    /// <summary>The header's <c>__metadata__</c>; empty if there is none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Maps or copies a file and reads its header.</summary>
    /// <exception cref="ModelFormatException">It cannot be read, or is damaged.</exception>
    public static SafetensorsFile Open(string path, WeightMemory memory = WeightMemory.Mapped, CancellationToken cancellation = default)
    {
        MappedFile file = MappedFile.Open(path, memory, cancellation);
        try
        {
            return new SafetensorsFile(file, SafetensorsHeader.Read(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads the header of a file that is open, which stays the caller's to close.</summary>
    public static SafetensorsFile Read(MappedFile file) => new(file, SafetensorsHeader.Read(file));

    /// <summary>Whether a file begins as a safetensors file does: a length that fits it, and a JSON object.</summary>
    public static bool Recognises(MappedFile file) =>
        file.Length > 8
        && BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, 8)) is var length && length <= (ulong)(file.Length - 8)
        && file.Span(8, 1)[0] == (byte)'{';

    /// <summary>The tensor of a name, if there is one.</summary>
    public bool TryGet(string name, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out StoredTensor? tensor) =>
        _byName.TryGetValue(name, out tensor);

    /// <summary>The tensor of a name.</summary>
    /// <exception cref="ModelFormatException">There is none.</exception>
    public StoredTensor Get(string name) =>
        _byName.TryGetValue(name, out StoredTensor? tensor) ? tensor : throw Said.Fault(Path, $"tensor {Said.Name(name)} is missing");

    /// <summary>The numbers of an F32 tensor, straight from the map.</summary>
    /// <exception cref="ModelFormatException">There is no such tensor, it is of another type, or too long for a span.</exception>
    public unsafe ReadOnlySpan<float> Floats(string name)
    {
        StoredTensor tensor = Get(name);
        if (tensor.Type != ElementType.F32)
            throw tensor.Fault($"is of type {tensor.TypeName}, where F32 is wanted");
        if (tensor.ByteLength / sizeof(float) > int.MaxValue)
            throw tensor.Fault($"has {tensor.ByteLength} bytes, which is more than can be taken at once");
        return new ReadOnlySpan<float>((void*)tensor.Data, (int)(tensor.ByteLength / sizeof(float)));
    }

    /// <summary>Unmaps the file.</summary>
    public void Dispose() => _file.Dispose();
}
