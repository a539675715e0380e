using System.Buffers.Binary;
using System.Text;

namespace Arrakis.Drills.Fuzzing;

/// <summary>Spoils files: a few small changes at a time, of those that break parsers.</summary>
internal sealed class Mutator(Random random, IReadOnlyList<string> words)
{
    private const int LongestFile = 1 << 16;

    private static readonly long[] s_edges =
    [
        0, 1, -1, 2, 7, 8, 127, 128, 255, 256, short.MaxValue, ushort.MaxValue, int.MinValue, int.MaxValue, uint.MaxValue, 1L << 32, 1L << 40, long.MinValue, long.MaxValue,
    ];

    private readonly byte[][] _words = [.. words.Select(Encoding.UTF8.GetBytes)];

    /// <summary>A changed copy of one file, at times with a piece of another.</summary>
    public byte[] Mutate(byte[] file, byte[] other)
    {
        var bytes = new List<byte>(file);
        for (int changes = 1 << random.Next(4); changes > 0; changes--)
        {
            if (bytes.Count == 0)
                bytes.Add(0);
            Change(bytes, other);
        }

        if (bytes.Count > LongestFile)
            bytes.RemoveRange(LongestFile, bytes.Count - LongestFile);
        return [.. bytes];
    }

    private void Change(List<byte> bytes, byte[] other)
    {
        int at = Place(bytes.Count);
        switch (random.Next(11))
        {
            case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
            case 1: bytes[at] = (byte)random.Next(256); break;
            case 2: bytes[at] = (byte)(bytes[at] + random.Next(-16, 17)); break;
            case 3: Overwrite(bytes, at, Number()); break;
            case 4: Overwrite(bytes, at, _words[random.Next(_words.Length)]); break;
            case 5: bytes.InsertRange(at, _words[random.Next(_words.Length)]); break;
            case 6: bytes.InsertRange(at, bytes.GetRange(at, Math.Min(Length(), bytes.Count - at))); break;
            case 7: bytes.RemoveRange(at, Math.Min(Length(), bytes.Count - at)); break;
            case 8: bytes.RemoveRange(at, random.Next(4) == 0 ? bytes.Count - at : 0); break;
            case 9: Digits(bytes, at); break;
            default:
                int from = Place(other.Length);
                Overwrite(bytes, at, other.AsSpan(from, Math.Min(Length(), other.Length - from)));
                break;
        }
    }

    // Formats say what they are about at their beginning.
    private int Place(int count) => random.Next(3) == 0 ? random.Next(count) : random.Next(Math.Min(count, 1 << random.Next(4, 12)));

    private int Length() => 1 + random.Next(1 << random.Next(7));

    private byte[] Number()
    {
        var bytes = new byte[1 << random.Next(4)];
        var wide = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(wide, s_edges[random.Next(s_edges.Length)] + random.Next(-1, 2));
        wide.AsSpan(0, bytes.Length).CopyTo(bytes);
        return bytes;
    }

    /// <summary>Another number in place of one that is written in digits.</summary>
    private void Digits(List<byte> bytes, int at)
    {
        int first = bytes.FindIndex(at, b => b is >= (byte)'0' and <= (byte)'9');
        if (first < 0)
            return;
        int end = first;
        while (end < bytes.Count && bytes[end] is >= (byte)'0' and <= (byte)'9')
            end++;
        bytes.RemoveRange(first, end - first);
        bytes.InsertRange(first, Encoding.UTF8.GetBytes(FormattableString.Invariant($"{s_edges[random.Next(s_edges.Length)]}")));
    }

    private static void Overwrite(List<byte> bytes, int at, ReadOnlySpan<byte> with)
    {
        for (int i = 0; i < with.Length && at + i < bytes.Count; i++)
            bytes[at + i] = with[i];
    }
}
