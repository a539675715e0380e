using System.Buffers.Binary;
using System.Text;

namespace Arrakis.Native.Weights;

/// <summary>Reads a GGUF's header from front to back; nothing is taken past the end of the file, whatever a count says.</summary>
internal sealed class GgufReader(MappedFile file)
{
    /// <summary>Names are read into memory, so they have a limit: the format's own for keys.</summary>
    private const int LongestName = 65535;

    /// <summary>Where the next byte is read.</summary>
    public long Position { get; private set; }

    /// <summary>How many bytes are left.</summary>
    public long Remaining => file.Length - Position;

    public uint ReadUInt32(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint), what));

    public ulong ReadUInt64(string what) => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong), what));

    /// <summary>Reads how many items follow, each of at least <paramref name="least"/> bytes: more than the file has room for are refused.</summary>
    public long ReadCount(string what, long least)
    {
        ulong count = ReadUInt64(what);
        if (count > (ulong)(Remaining / least))
            throw Said.Fault(file.Path, $"{what} is {count}, more than the {Remaining} bytes that are left have room for");
        return (long)count;
    }

    /// <summary>Reads a string that names something.</summary>
    public string ReadName(string what)
    {
        long length = ReadCount($"length of {what}", 1);
        if (length > LongestName)
            throw Said.Fault(file.Path, $"length of {what} is {length}: supported is up to {LongestName}");
        return Encoding.UTF8.GetString(Take((int)length, what));
    }

    /// <summary>Reads the length of a string and steps over it.</summary>
    /// <returns>Where its bytes are.</returns>
    public (long Offset, long Length) SkipString(string what)
    {
        long length = ReadCount($"length of {what}", 1);
        long offset = Position;
        Position += length;
        return (offset, length);
    }

    /// <summary>Steps over <paramref name="bytes"/>, which must be there.</summary>
    public void Skip(long bytes, string what)
    {
        if (bytes > Remaining)
            throw Said.Fault(file.Path, $"ends within {what}: {bytes} bytes wanted, {Remaining} left");
        Position += bytes;
    }

    private ReadOnlySpan<byte> Take(int bytes, string what)
    {
        long at = Position;
        Skip(bytes, what);
        return file.Span(at, bytes);
    }
}
