using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;

namespace Arrakis.Report;

/// <summary>How a document holds its long rows of numbers: written out, or packed beside it.</summary>
internal abstract class Numbers
{
    /// <summary>A row of numbers.</summary>
    public abstract void Row(Utf8JsonWriter json, string name, ReadOnlySpan<float> values);

    /// <inheritdoc cref="Row(Utf8JsonWriter, string, ReadOnlySpan{float})"/>
    public void Row(Utf8JsonWriter json, string name, ReadOnlySpan<double> values)
    {
        float[] narrowed = new float[values.Length];
        for (int i = 0; i < narrowed.Length; i++)
            narrowed[i] = (float)values[i];
        Row(json, name, narrowed);
    }

    /// <summary>The rows of a head's pattern, one of each query, that of query t with its t + 1 keys.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="name">The field.</param>
    /// <param name="rows">All rows, one after another.</param>
    public abstract void Pattern(Utf8JsonWriter json, string name, IReadOnlyList<float> rows);
}

/// <summary>Written out, with as many digits as a float has: for programs.</summary>
internal sealed class WrittenNumbers : Numbers
{
    public override void Row(Utf8JsonWriter json, string name, ReadOnlySpan<float> values)
    {
        json.WriteStartArray(name);
        foreach (float value in values)
            json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    public override void Pattern(Utf8JsonWriter json, string name, IReadOnlyList<float> rows)
    {
        json.WriteStartArray(name);
        for (int at = 0, query = 0; at < rows.Count; query++)
        {
            json.WriteStartArray();
            for (int key = 0; key <= query; key++)
                json.WriteNumberValue(rows[at++]);
            json.WriteEndArray();
        }

        json.WriteEndArray();
    }
}

/// <summary>
/// Packed into bytes of their own, little-endian, of which the document holds place, type and count: float32, and for patterns 65535ths, which differ from the number
/// by less than 0.00001. For the page.
/// </summary>
internal sealed class PackedNumbers : Numbers
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    /// <summary>Everything packed so far; a multiple of four bytes.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.WrittenSpan;

    public override void Row(Utf8JsonWriter json, string name, ReadOnlySpan<float> values)
    {
        Reference(json, name, "f32", values.Length);
        foreach (float value in values)
        {
            BinaryPrimitives.WriteSingleLittleEndian(_bytes.GetSpan(sizeof(float)), value);
            _bytes.Advance(sizeof(float));
        }
    }

    public override void Pattern(Utf8JsonWriter json, string name, IReadOnlyList<float> rows)
    {
        Reference(json, name, "u16", rows.Count);
        for (int i = 0; i < rows.Count + rows.Count % 2; i++)
        {
            float value = i < rows.Count ? rows[i] : 0;
            BinaryPrimitives.WriteUInt16LittleEndian(_bytes.GetSpan(sizeof(ushort)), (ushort)MathF.Round(Math.Clamp(value, 0, 1) * ushort.MaxValue));
            _bytes.Advance(sizeof(ushort));
        }
    }

    private void Reference(Utf8JsonWriter json, string name, string type, int count)
    {
        json.WriteStartObject(name);
        json.WriteString("packed", type);
        json.WriteNumber("at", _bytes.WrittenCount);
        json.WriteNumber("count", count);
        json.WriteEndObject();
    }
}
