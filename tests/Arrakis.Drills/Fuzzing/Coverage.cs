using System.Runtime.InteropServices;

namespace Arrakis.Drills.Fuzzing;

/// <summary>
/// Which branches the instrumented readers took, and how often: SharpFuzz's code in them counts pairs of branches in a map of AFL's kind. Counts are taken in AFL's
/// eight sizes, so that a loop that runs twice differs from one that runs once, and one of 100 rounds does not from one of 101.
/// </summary>
internal sealed unsafe class Coverage
{
    private const int Size = 1 << 16;

    private static readonly byte[] s_sizes = Sizes();

    private readonly byte* _map;
    private readonly byte[] _seen = new byte[Size];

    public Coverage()
    {
        _map = (byte*)NativeMemory.AllocZeroed(Size);
        SharpFuzz.Common.Trace.SharedMem = _map;
    }

    /// <summary>Pairs of branches taken by any input so far.</summary>
    public int Edges { get; private set; }

    /// <summary>Before an input.</summary>
    public void Clear()
    {
        NativeMemory.Clear(_map, Size);
        SharpFuzz.Common.Trace.PrevLocation = 0;
    }

    /// <summary>After an input: whether it took a branch, or a number of rounds, that none had before.</summary>
    public bool Add()
    {
        bool isNew = false;
        for (int i = 0; i < Size; i += sizeof(ulong))
        {
            if (*(ulong*)(_map + i) == 0)
                continue;
            for (int at = i; at < i + sizeof(ulong); at++)
            {
                byte size = s_sizes[_map[at]];
                if ((size & ~_seen[at]) == 0)
                    continue;
                Edges += _seen[at] == 0 ? 1 : 0;
                _seen[at] |= size;
                isNew = true;
            }
        }

        return isNew;
    }

    private static byte[] Sizes()
    {
        var sizes = new byte[256];
        for (int count = 1; count < sizes.Length; count++)
        {
            sizes[count] = count switch
            {
                <= 3 => (byte)(1 << (count - 1)),
                < 8 => 8,
                < 16 => 16,
                < 32 => 32,
                < 128 => 64,
                _ => 128,
            };
        }

        return sizes;
    }
}
