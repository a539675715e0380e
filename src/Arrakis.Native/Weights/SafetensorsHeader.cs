using System.Buffers.Binary;
using System.Text.Json;

namespace Arrakis.Native.Weights;

/// <summary>Reads and checks the header of a safetensors file, straight from the map.</summary>
internal sealed class SafetensorsHeader
{
    private readonly MappedFile _file;
    private readonly long _dataStart;

    private SafetensorsHeader(MappedFile file, long dataStart)
    {
        _file = file;
        _dataStart = dataStart;
    }

    /// <summary>The tensors by name.</summary>
    public Dictionary<string, StoredTensor> Tensors { get; } = [];

    /// <summary>The <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; } = [];

    /// <summary>Reads the header of <paramref name="file"/>.</summary>
    public static SafetensorsHeader Read(MappedFile file)
    {
        if (file.Length < 8)
            throw Said.Fault(file.Path, $"is {file.Length} bytes long, which is too short for a safetensors file");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, 8));
        if (length > SafetensorsFile.LongestHeader)
            throw Said.Fault(file.Path, $"header length {length} is more than safetensors' {SafetensorsFile.LongestHeader}");
        if (length > (ulong)(file.Length - 8))
            throw Said.Fault(file.Path, $"header length {length} is more than the {file.Length - 8} bytes that follow it");
        ReadOnlySpan<byte> json = file.Span(8, (int)length);
        if (json.IsEmpty || json[0] != (byte)'{')
            throw Said.Fault(file.Path, "header is not a JSON object");

        var header = new SafetensorsHeader(file, 8 + (long)length);
        try
        {
            header.ReadObject(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // InvalidOperationException is what text that is no UTF-8, or half a surrogate pair, ends in.
            throw Said.Fault(file.Path, $"header is not valid JSON: {Said.Name(e.Message)}", e);
        }

        header.CheckCoverage();
        return header;
    }

    private void ReadObject(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        reader.Read();
        bool hasMetadata = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name != "__metadata__")
                ReadTensor(ref reader, name);
            else if (hasMetadata)
                throw Said.Fault(_file.Path, "key __metadata__ stands twice in the header");
            else
            {
                ReadMetadata(ref reader);
                hasMetadata = true;
            }
        }

        // Whatever stands after the object is a JsonException of this call.
        reader.Read();
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Said.Fault(_file.Path, $"__metadata__ is a {reader.TokenType}, where an object of strings is wanted");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
                throw Said.Fault(_file.Path, $"__metadata__ {Said.Name(key)} is a {reader.TokenType}, where a string is wanted");
            if (!Metadata.TryAdd(key, reader.GetString()!))
                throw Said.Fault(_file.Path, $"__metadata__ {Said.Name(key)} stands twice in the header");
        }
    }

    private void ReadTensor(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Fault(name, $"is a {reader.TokenType} in the header, where an object is wanted");
        string? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (key == "dtype" && type is null && reader.TokenType == JsonTokenType.String)
                type = reader.GetString();
            else if (key == "shape" && shape is null)
                shape = ReadIntegers(ref reader, name, key);
            else if (key == "data_offsets" && offsets is null)
                offsets = ReadIntegers(ref reader, name, key);
            else if (key is "dtype" or "shape" or "data_offsets")
                throw Fault(name, $"has a {key} that stands twice or is of the wrong kind");
            else
                reader.Skip();
        }

        StoredTensor tensor = Check(name, type, shape, offsets);
        if (!Tensors.TryAdd(name, tensor))
            throw Fault(name, "stands twice in the header");
    }

    private long[] ReadIntegers(ref Utf8JsonReader reader, string name, string key)
    {
        var values = new List<long>();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Fault(name, $"has a {key} that is no array");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
                throw Fault(name, $"has a {key} with a value that is no integer from 0 to 2^63 − 1");
            values.Add(value);
        }

        return [.. values];
    }

    private StoredTensor Check(string name, string? type, long[]? shape, long[]? offsets)
    {
        if (type is null || shape is null || offsets is null)
            throw Fault(name, $"has no {(type is null ? "dtype" : shape is null ? "shape" : "data_offsets")}");
        if (BitsOf(type) is not int bits)
            throw Fault(name, $"is of dtype {Said.Name(type)}, which safetensors does not know");
        if (StoredTensor.CountElements(shape) is not long elements || (Int128)elements * bits / 8 > long.MaxValue)
            throw Fault(name, $"has shape {Said.Shape(shape)}, whose product overflows");
        if (offsets.Length != 2 || offsets[0] > offsets[1])
            throw Fault(name, $"has data_offsets {Said.Shape(offsets)}, where [begin, end] is wanted");
        long dataLength = _file.Length - _dataStart;
        if (offsets[1] > dataLength)
            throw Fault(name, $"has data_offsets {Said.Shape(offsets)}, past the end of the data at {dataLength}");
        Int128 total = (Int128)elements * bits;
        if (total % 8 != 0)
            throw Fault(name, $"of {type} and shape {Said.Shape(shape)} takes {total} bits, which are no whole bytes");
        if (total / 8 != offsets[1] - offsets[0])
            throw Fault(name, $"of {type} and shape {Said.Shape(shape)} takes {total / 8} bytes, and data_offsets {Said.Shape(offsets)} hold {offsets[1] - offsets[0]}");
        return new StoredTensor(name, name, TypeOf(type), type, shape, _dataStart + offsets[0], offsets[1] - offsets[0], _file);
    }

    /// <summary>Every byte of the data belongs to exactly one tensor, so that nothing hides in a file.</summary>
    private void CheckCoverage()
    {
        StoredTensor[] ordered = [.. Tensors.Values];
        Array.Sort(ordered, (a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.ByteLength.CompareTo(b.ByteLength));
        long end = _dataStart;
        StoredTensor? before = null;
        foreach (StoredTensor tensor in ordered)
        {
            long begin = tensor.Offset;
            if (begin < end)
                throw Fault(tensor.Name, $"begins at {begin - _dataStart} and overlaps tensor {Said.Name(before!.Name)}, which ends at {end - _dataStart}");
            if (begin > end)
                throw Fault(tensor.Name, $"begins at {begin - _dataStart}, and the bytes from {end - _dataStart} belong to no tensor");
            end = begin + tensor.ByteLength;
            before = tensor;
        }

        if (end != _file.Length)
            throw Said.Fault(_file.Path, $"the last {_file.Length - end} of its {_file.Length} bytes belong to no tensor");
    }

    private static ElementType? TypeOf(string type) => type switch
    {
        "F32" => ElementType.F32,
        "F16" => ElementType.F16,
        "BF16" => ElementType.BF16,
        _ => null,
    };

    private static int? BitsOf(string type) => type switch
    {
        "F4" => 4,
        "F6_E2M3" or "F6_E3M2" => 6,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" or "F8_E4M3FNUZ" or "F8_E5M2FNUZ" => 8,
        "I16" or "U16" or "F16" or "BF16" => 16,
        "I32" or "U32" or "F32" => 32,
        "I64" or "U64" or "F64" or "C64" => 64,
        _ => null,
    };

    private ModelFormatException Fault(string tensor, string what) => Said.Fault(_file.Path, $"tensor {Said.Name(tensor)} {what}");
}
