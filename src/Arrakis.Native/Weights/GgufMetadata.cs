using System.Buffers.Binary;
using System.Text;

namespace Arrakis.Native.Weights;

/// <summary>The types of a GGUF's metadata, by their numbers in the file.</summary>
internal enum GgufType : uint
{
    UInt8 = 0,
    Int8 = 1,
    UInt16 = 2,
    Int16 = 3,
    UInt32 = 4,
    Int32 = 5,
    Float32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    UInt64 = 10,
    Int64 = 11,
    Float64 = 12,
}

/// <summary>Where a metadata value lies; it stays in the file until it is asked for.</summary>
/// <param name="Type">Its type.</param>
/// <param name="ItemType">An array's item type; otherwise the same as <paramref name="Type"/>.</param>
/// <param name="Offset">Where its bytes begin: of a string its text, of an array its first item.</param>
/// <param name="Count">A string's bytes, an array's items, otherwise 1. Known to be within the file.</param>
internal readonly record struct GgufValue(GgufType Type, GgufType ItemType, long Offset, long Count);

/// <summary>A GGUF's metadata by key. Getters refuse a value of another type, naming the key and what stands there.</summary>
internal sealed class GgufMetadata(MappedFile file, Dictionary<string, GgufValue> values)
{
    /// <summary>The file.</summary>
    public string Path => file.Path;

    /// <summary>Every key.</summary>
    public IReadOnlyCollection<string> Keys => values.Keys;

    /// <summary>The type and place of a value, or null where there is no such key.</summary>
    public GgufValue? Find(string key) => values.TryGetValue(key, out GgufValue value) ? value : null;

    /// <summary>A string, or null where there is no such key. Bytes that are no UTF-8 become U+FFFD.</summary>
    public string? OptionalText(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        if (value.Type != GgufType.String)
            throw WrongType(key, value, "a string");
        return Decode(key, value.Offset, value.Count);
    }

    /// <summary>An integer of any width, or null where there is no such key.</summary>
    public long? OptionalInteger(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        if (!IsInteger(value.Type))
            throw WrongType(key, value, "an integer");
        return ToInteger(key, value.Type, value.Offset);
    }

    /// <summary>A number of single or double precision, or null where there is no such key.</summary>
    public double? OptionalNumber(string key) => Find(key) switch
    {
        null => null,
        { Type: GgufType.Float32 } value => BinaryPrimitives.ReadSingleLittleEndian(file.Span(value.Offset, 4)),
        { Type: GgufType.Float64 } value => BinaryPrimitives.ReadDoubleLittleEndian(file.Span(value.Offset, 8)),
        GgufValue value => throw WrongType(key, value, "a number"),
    };

    /// <summary>True or false, or null where there is no such key.</summary>
    public bool? OptionalFlag(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        if (value.Type != GgufType.Bool)
            throw WrongType(key, value, "true or false");
        return file.Span(value.Offset, 1)[0] != 0;
    }

    /// <summary>The strings of an array, or null where there is no such key.</summary>
    public string[]? OptionalTexts(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        // Each of them was walked over when the file was opened, so the count is backed by bytes.
        var texts = new string[CountItems(key, value, GgufType.String, "an array of strings")];
        long at = value.Offset;
        for (int i = 0; i < texts.Length; i++)
        {
            long length = BinaryPrimitives.ReadInt64LittleEndian(file.Span(at, sizeof(long)));
            texts[i] = Decode(key, at + sizeof(long), length);
            at += sizeof(long) + length;
        }

        return texts;
    }

    /// <summary>The numbers of an F32 array, or null where there is no such key.</summary>
    public float[]? OptionalNumbers(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        var numbers = new float[CountItems(key, value, GgufType.Float32, "an array of F32")];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = BinaryPrimitives.ReadSingleLittleEndian(file.Span(value.Offset + (long)i * sizeof(float), sizeof(float)));
        return numbers;
    }

    /// <summary>The integers of an array of any integer type, or null where there is no such key.</summary>
    public long[]? OptionalIntegers(string key)
    {
        if (Find(key) is not GgufValue value)
            return null;
        if (value.Type != GgufType.Array || !IsInteger(value.ItemType))
            throw WrongType(key, value, "an array of integers");
        var integers = new long[CountItems(key, value, value.ItemType, "an array of integers")];
        for (int i = 0; i < integers.Length; i++)
            integers[i] = ToInteger(key, value.ItemType, value.Offset + (long)i * SizeOf(value.ItemType));
        return integers;
    }

    /// <summary>A refusal: <c>file: metadata KEY what</c>.</summary>
    public ModelFormatException Fault(string key, string what) => Said.Fault(Path, $"metadata {Said.Name(key)} {what}");

    /// <summary>Bytes of a value of a type, or 0 where they are not fixed.</summary>
    public static int SizeOf(GgufType type) => type switch
    {
        GgufType.UInt8 or GgufType.Int8 or GgufType.Bool => 1,
        GgufType.UInt16 or GgufType.Int16 => 2,
        GgufType.UInt32 or GgufType.Int32 or GgufType.Float32 => 4,
        GgufType.UInt64 or GgufType.Int64 or GgufType.Float64 => 8,
        _ => 0,
    };

    private static bool IsInteger(GgufType type) => SizeOf(type) > 0 && type is not (GgufType.Bool or GgufType.Float32 or GgufType.Float64);

    private long ToInteger(string key, GgufType type, long offset)
    {
        ReadOnlySpan<byte> bytes = file.Span(offset, SizeOf(type));
        return type switch
        {
            GgufType.UInt8 => bytes[0],
            GgufType.Int8 => (sbyte)bytes[0],
            GgufType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            GgufType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            GgufType.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            GgufType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            GgufType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            _ => BinaryPrimitives.ReadUInt64LittleEndian(bytes) is var wide && wide <= long.MaxValue
                ? (long)wide
                : throw Fault(key, $"is {wide}: supported is up to {long.MaxValue}"),
        };
    }

    private int CountItems(string key, GgufValue value, GgufType item, string wanted)
    {
        if (value.Type != GgufType.Array || value.ItemType != item)
            throw WrongType(key, value, wanted);
        return value.Count <= Array.MaxLength ? (int)value.Count : throw Fault(key, $"has {value.Count} items: supported is up to {Array.MaxLength}");
    }

    private string Decode(string key, long offset, long length)
    {
        const int Longest = 1 << 28;
        if (length > Longest)
            throw Fault(key, $"has a string of {length} bytes: supported is up to {Longest}");
        return Encoding.UTF8.GetString(file.Span(offset, (int)length));
    }

    private ModelFormatException WrongType(string key, GgufValue value, string wanted) =>
        Fault(key, $"is of type {(value.Type == GgufType.Array ? $"array of {value.ItemType}" : value.Type.ToString())}, where {wanted} is wanted");
}
