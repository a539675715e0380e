namespace Arrakis.Native.Weights;

/// <summary>
/// A GGUF file, version 2 or 3, little-endian: metadata by key, then tensors by name. Everything is checked on opening; values stay in the map.
/// It may hold no tensors at all, as the vocabularies of llama.cpp do.
/// </summary>
internal sealed class GgufFile : IDisposable
{
    // The fewest bytes that an item of a list can take: what a count is held against before anything is made of it.
    private const int LeastMetadata = sizeof(ulong) + sizeof(uint) + 1;
    private const int LeastTensor = sizeof(ulong) + sizeof(uint) + sizeof(uint) + sizeof(ulong);
    private const int MostDimensions = 4;

    private readonly MappedFile _file;
    private readonly Dictionary<string, StoredTensor> _tensors = [];

    private GgufFile(MappedFile file)
    {
        _file = file;
        var reader = new GgufReader(file);
        Version = ReadVersion(reader);
        // The counts stand before the metadata, so the tensors are counted against everything that follows.
        long tensors = reader.ReadCount("tensor count", LeastTensor);
        long pairs = reader.ReadCount("metadata count", LeastMetadata);
        Metadata = new GgufMetadata(file, ReadMetadata(reader, pairs));
        ReadTensors(reader, tensors);
    }

    /// <summary>The file's path.</summary>
    public string Path => _file.Path;

    /// <summary>2 or 3.</summary>
    public uint Version { get; }

    /// <summary>The metadata.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>The tensors by the file's own names, shapes outermost first.</summary>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    /// <summary><c>general.architecture</c>, or null if the file does not say.</summary>
    public string? Architecture => Metadata.OptionalText("general.architecture");

    /// <summary>Maps a file and reads its header.</summary>
    /// <exception cref="ModelFormatException">It cannot be read, is no GGUF, or is damaged.</exception>
    public static GgufFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new GgufFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads the header of a mapped file, which stays the caller's to unmap.</summary>
    public static GgufFile Read(MappedFile file) => new(file);

    /// <summary>Whether a file begins as a GGUF does.</summary>
    public static bool Recognises(MappedFile file) => file.Length >= 4 && (file.Span(0, 4).SequenceEqual("GGUF"u8) || file.Span(0, 4).SequenceEqual("FUGG"u8));

    /// <summary>Unmaps the file.</summary>
    public void Dispose() => _file.Dispose();

    private uint ReadVersion(GgufReader reader)
    {
        if (!Recognises(_file))
            throw Said.Fault(Path, "does not begin with GGUF");
        reader.Skip(4, "magic");
        uint version = reader.ReadUInt32("version");
        // A version from the other end of the word, or the magic so, is how a big-endian file shows.
        if (_file.Span(0, 1)[0] == (byte)'F' || (version != 0 && (version & 0xFFFF) == 0))
            throw Said.Fault(Path, "is a big-endian GGUF: supported is little-endian");
        return version is 2 or 3 ? version : throw Said.Fault(Path, $"is GGUF version {version}: supported is 2 and 3");
    }

    private Dictionary<string, GgufValue> ReadMetadata(GgufReader reader, long count)
    {
        var values = new Dictionary<string, GgufValue>();
        for (long i = 0; i < count; i++)
        {
            string key = reader.ReadName($"metadata key {i}");
            string what = $"metadata {Said.Name(key)}";
            if (!values.TryAdd(key, ReadValue(reader, what)))
                throw Said.Fault(Path, $"{what} stands twice");
        }

        return values;
    }

    private GgufValue ReadValue(GgufReader reader, string what)
    {
        GgufType type = ReadType(reader, what);
        if (type == GgufType.Array)
            return ReadArray(reader, what);
        if (type == GgufType.String)
        {
            (long offset, long length) = reader.SkipString(what);
            return new GgufValue(type, type, offset, length);
        }

        long at = reader.Position;
        reader.Skip(GgufMetadata.SizeOf(type), what);
        return new GgufValue(type, type, at, 1);
    }

    private GgufValue ReadArray(GgufReader reader, string what)
    {
        GgufType item = ReadType(reader, what);
        // ggml itself neither writes nor reads arrays of arrays.
        if (item == GgufType.Array)
            throw Said.Fault(Path, $"{what} is an array of arrays: supported is an array of plain values or strings");
        int size = GgufMetadata.SizeOf(item);
        long count = reader.ReadCount($"count of {what}", size > 0 ? size : sizeof(ulong));
        long offset = reader.Position;
        if (size > 0)
            reader.Skip(count * size, what);
        for (long i = 0; size == 0 && i < count; i++)
            reader.SkipString(what);
        return new GgufValue(GgufType.Array, item, offset, count);
    }

    private GgufType ReadType(GgufReader reader, string what)
    {
        uint type = reader.ReadUInt32(what);
        return type <= (uint)GgufType.Float64 ? (GgufType)type : throw Said.Fault(Path, $"{what} is of type {type}: supported is 0 to {(uint)GgufType.Float64}");
    }

    private void ReadTensors(GgufReader reader, long count)
    {
        long alignment = Metadata.OptionalInteger("general.alignment") ?? 32;
        if (alignment < 1 || alignment > 1 << 30 || (alignment & (alignment - 1)) != 0)
            throw Metadata.Fault("general.alignment", $"is {alignment}: supported is a power of two up to {1 << 30}");
        var infos = new List<TensorInfo>();
        for (long i = 0; i < count; i++)
            infos.Add(ReadInfo(reader, i));

        long start = (reader.Position + alignment - 1) / alignment * alignment;
        foreach (TensorInfo info in infos)
        {
            if (!_tensors.TryAdd(info.Name, Place(info, start, alignment)))
                throw Fault(info.Name, "stands twice");
        }

        CheckOverlap(start);
    }

    private TensorInfo ReadInfo(GgufReader reader, long index)
    {
        string name = reader.ReadName($"name of tensor {index}");
        string what = $"tensor {Said.Name(name)}";
        uint dimensions = reader.ReadUInt32(what);
        if (dimensions is 0 or > MostDimensions)
            throw Fault(name, $"has {dimensions} dimensions: supported is 1 to {MostDimensions}");
        // GGUF writes the row length first: turned round, shapes read as everywhere else.
        var shape = new long[dimensions];
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            ulong extent = reader.ReadUInt64(what);
            if (extent is 0 or > long.MaxValue)
                throw Fault(name, $"has a dimension of {extent}: supported is 1 to 2^63 − 1");
            shape[i] = (long)extent;
        }

        uint type = reader.ReadUInt32(what);
        return new TensorInfo(name, shape, GgmlTypes.Find(type), reader.ReadUInt64(what));
    }

    private StoredTensor Place(TensorInfo info, long start, long alignment)
    {
        (string name, long[] shape, GgmlType type, ulong offset) = info;
        if (StoredTensor.CountElements(shape) is not long elements || (Int128)elements / type.BlockLength * type.BlockBytes > long.MaxValue)
            throw Fault(name, $"has shape {Said.Shape(shape)}, whose product overflows");
        if (shape[^1] % type.BlockLength != 0)
            throw Fault(name, $"of type {type.Name} has rows of {shape[^1]}, which is no multiple of {type.BlockLength}");
        if (offset % (ulong)alignment != 0)
            throw Fault(name, $"is at offset {offset}, which is no multiple of the alignment {alignment}");
        long bytes = elements / type.BlockLength * type.BlockBytes;
        long room = Math.Max(0, _file.Length - start);
        if (offset > (ulong)room || bytes > room - (long)offset)
            throw Fault(name, $"of shape {Said.Shape(shape)} and type {type.Name} takes {bytes} bytes at offset {offset}, past the end of the data at {room}");
        return new StoredTensor(name, name, type.Type, type.Name, shape, start + (long)offset, bytes, _file);
    }

    private void CheckOverlap(long start)
    {
        StoredTensor[] ordered = [.. _tensors.Values];
        Array.Sort(ordered, (a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.ByteLength.CompareTo(b.ByteLength));
        for (int i = 1; i < ordered.Length; i++)
        {
            long end = ordered[i - 1].Offset + ordered[i - 1].ByteLength;
            if (ordered[i].Offset < end)
                throw Fault(ordered[i].Name, $"is at offset {ordered[i].Offset - start} and overlaps tensor {Said.Name(ordered[i - 1].Name)}, which ends at {end - start}");
        }
    }

    private ModelFormatException Fault(string tensor, string what) => Said.Fault(Path, $"tensor {Said.Name(tensor)} {what}");

    private readonly record struct TensorInfo(string Name, long[] Shape, GgmlType Type, ulong Offset);
}
