using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Arrakis.Native.Weights;

/// <summary>Hands over the numbers of a tensor: as many as its shape asks for, good until the next call.</summary>
/// <param name="index">Which tensor, in the order in which they were added.</param>
internal delegate ReadOnlySpan<float> TensorData(int index);

/// <summary>
/// Writes F32 tensors to a safetensors file, one after the other and without a copy. The file is written beside its place and renamed, so that
/// whatever goes wrong, nothing half-written is left.
/// </summary>
internal sealed class SafetensorsWriter
{
    /// <summary>Data begins at a multiple of this, so that a map of the file can be read by the widest vectors.</summary>
    private const int Alignment = 64;

    private readonly List<(string Name, long[] Shape, long Bytes)> _tensors = [];
    private readonly HashSet<string> _names = [];

    /// <summary>What goes into <c>__metadata__</c>, in this order.</summary>
    public Dictionary<string, string> Metadata { get; } = [];

    /// <summary>Adds a tensor; its numbers are asked for when it is written.</summary>
    /// <returns>Its index.</returns>
    public int Add(string name, params ReadOnlySpan<long> shape)
    {
        long elements = StoredTensor.CountElements(shape) ?? long.MaxValue;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(elements, int.MaxValue, nameof(shape));
        if (name == "__metadata__" || !_names.Add(name))
            throw new ArgumentException($"a tensor cannot be called {name}: the name is taken", nameof(name));
        _tensors.Add((name, shape.ToArray(), elements * sizeof(float)));
        return _tensors.Count - 1;
    }

    /// <summary>Writes the file, replacing what stood there; a cancellation is looked for at every tensor, and leaves what stood there.</summary>
    /// <exception cref="ArrakisException">It cannot be written: <c>cannot write PATH: why</c>. No file is left.</exception>
    public void Write(string path, TensorData data, CancellationToken cancellation = default)
    {
        byte[] header = BuildHeader();
        string? temporary = null;
        try
        {
            string place = OutputPlace.Check(path);
            string beside = $"{place}.{Guid.NewGuid():N}.tmp";
            temporary = beside;
            using (FileStream file = Create(beside, header.Length))
            {
                Put(file, header);
                for (int i = 0; i < _tensors.Count; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    WriteTensor(file, i, data(i));
                }
            }

            cancellation.ThrowIfCancellationRequested();
            File.Move(beside, place, overwrite: true);
            temporary = null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            string why = temporary is null ? Said.Why(e) : Said.Why(e).Replace(Said.OneLine(temporary), Said.OneLine(path), StringComparison.Ordinal);
            throw OutputPlace.CannotWrite(path, why, e);
        }
        finally
        {
            Remove(temporary);
        }
    }

    private FileStream Create(string path, int headerLength)
    {
        long total = headerLength;
        foreach ((_, _, long bytes) in _tensors)
            total = checked(total + bytes);
        return new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            Share = FileShare.None,
            BufferSize = 0,
            // A disk that is too small says so here, before anything is written.
            PreallocationSize = total,
        });
    }

    private void WriteTensor(FileStream file, int index, ReadOnlySpan<float> numbers)
    {
        (string name, _, long bytes) = _tensors[index];
        if (numbers.Length * (long)sizeof(float) != bytes)
            throw new InvalidOperationException($"tensor {name} was handed {numbers.Length} numbers, and its shape asks for {bytes / sizeof(float)}");
        const int AtOnce = 1 << 24;
        for (int at = 0; at < numbers.Length; at += AtOnce)
            Put(file, MemoryMarshal.AsBytes(numbers.Slice(at, Math.Min(AtOnce, numbers.Length - at))));
    }

    private static void Put(FileStream file, ReadOnlySpan<byte> bytes)
    {
        try
        {
            file.Write(bytes);
        }
        catch (ArgumentOutOfRangeException e)
        {
            // How .NET says that the file system, or a limit of the user's, allows no file of that length.
            throw new IOException("the file would be longer than is allowed there", e);
        }
    }

    private byte[] BuildHeader()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            WriteMetadata(json);
            long begin = 0;
            foreach ((string name, long[] shape, long bytes) in _tensors)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", "F32");
                WriteIntegers(json, "shape", shape);
                WriteIntegers(json, "data_offsets", [begin, begin + bytes]);
                json.WriteEndObject();
                begin += bytes;
            }

            json.WriteEndObject();
        }

        int written = buffer.WrittenCount;
        int padded = (8 + written + Alignment - 1) / Alignment * Alignment;
        var header = new byte[padded];
        BinaryPrimitives.WriteInt64LittleEndian(header, padded - 8);
        buffer.WrittenSpan.CopyTo(header.AsSpan(8));
        header.AsSpan(8 + written).Fill((byte)' ');
        return header;
    }

    private void WriteMetadata(Utf8JsonWriter json)
    {
        if (Metadata.Count == 0)
            return;
        json.WriteStartObject("__metadata__");
        foreach ((string key, string value) in Metadata)
            json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static void WriteIntegers(Utf8JsonWriter json, string key, ReadOnlySpan<long> values)
    {
        json.WriteStartArray(key);
        foreach (long value in values)
            json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    private static void Remove(string? temporary)
    {
        try
        {
            if (temporary is not null)
                File.Delete(temporary);
        }
        catch (Exception e) when (Said.IsFileTrouble(e))
        {
            // What went wrong before has been said; that the rest could not be removed would only hide it.
        }
    }
}
