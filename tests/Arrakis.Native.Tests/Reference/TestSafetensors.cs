using System.Buffers.Binary;
using System.Text.Json;

namespace Arrakis.Native.Tests.Reference;

/// <summary>One tensor, widened to double.</summary>
public sealed record TestTensor(int[] Shape, double[] Values);

/// <summary>
/// A reader of safetensors that has nothing in common with the engine's: the whole file in memory, <see cref="JsonDocument"/> for the header.
/// Trusts its input, which the project made itself. F32, F16 and BF16.
/// </summary>
public static class TestSafetensors
{
    /// <summary>Every tensor of a file, or of all shards of a model folder.</summary>
    public static Dictionary<string, TestTensor> Read(string path)
    {
        if (File.Exists(path))
            return ReadFile(path);
        string index = Path.Combine(path, "model.safetensors.index.json");
        if (!File.Exists(index))
            return ReadFile(Path.Combine(path, "model.safetensors"));

        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(index));
        var shards = json.RootElement.GetProperty("weight_map").EnumerateObject()
            .GroupBy(entry => entry.Value.GetString()!, entry => entry.Name);
        var all = new Dictionary<string, TestTensor>();
        foreach (var shard in shards)
        {
            Dictionary<string, TestTensor> tensors = ReadFile(Path.Combine(path, shard.Key));
            foreach (string name in shard)
                all.Add(name, tensors[name]);
        }

        return all;
    }

    /// <summary>The string entries of <c>__metadata__</c>.</summary>
    public static Dictionary<string, string> ReadMetadata(string path)
    {
        using JsonDocument header = Header(File.ReadAllBytes(path), out _);
        return header.RootElement.TryGetProperty("__metadata__", out JsonElement metadata)
            ? metadata.EnumerateObject().ToDictionary(e => e.Name, e => e.Value.GetString()!)
            : [];
    }

    private static Dictionary<string, TestTensor> ReadFile(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        using JsonDocument header = Header(bytes, out int start);
        var tensors = new Dictionary<string, TestTensor>();
        foreach (JsonProperty entry in header.RootElement.EnumerateObject().Where(e => e.Name != "__metadata__"))
        {
            int[] shape = [.. entry.Value.GetProperty("shape").EnumerateArray().Select(n => n.GetInt32())];
            int[] offsets = [.. entry.Value.GetProperty("data_offsets").EnumerateArray().Select(n => n.GetInt32())];
            double[] values = Widen(entry.Value.GetProperty("dtype").GetString()!, bytes.AsSpan(start + offsets[0], offsets[1] - offsets[0]));
            Assert.Equal(shape.Aggregate(1, (a, b) => a * b), values.Length);
            tensors.Add(entry.Name, new TestTensor(shape, values));
        }

        return tensors;
    }

    private static JsonDocument Header(byte[] bytes, out int start)
    {
        int length = checked((int)BinaryPrimitives.ReadInt64LittleEndian(bytes));
        start = 8 + length;
        return JsonDocument.Parse(bytes.AsMemory(8, length));
    }

    private static double[] Widen(string type, ReadOnlySpan<byte> bytes)
    {
        int size = type == "F32" ? 4 : 2;
        double[] values = new double[bytes.Length / size];
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> at = bytes.Slice(i * size, size);
            values[i] = type switch
            {
                "F32" => BinaryPrimitives.ReadSingleLittleEndian(at),
                "F16" => (double)BinaryPrimitives.ReadHalfLittleEndian(at),
                "BF16" => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(at) << 16),
                _ => throw new NotSupportedException(type),
            };
        }

        return values;
    }
}
