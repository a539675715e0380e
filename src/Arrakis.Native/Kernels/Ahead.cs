using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

/// <summary>
/// Memory that a tile brings into cache while it computes, because the next tiles will read it: rows of a matrix that lies in main memory. Eight rows read
/// side by side, four bytes at a time, are too slow a pattern for the hardware to run ahead of.
/// </summary>
/// <param name="first">Where the first row begins; null for nothing.</param>
/// <param name="stride">Bytes from one row to the next.</param>
/// <param name="rows">How many rows.</param>
/// <param name="step">Bytes of each row that are fetched while a tile goes <see cref="Interval"/> deep.</param>
internal readonly unsafe struct Ahead(byte* first, nint stride, int rows, int step)
{
    /// <summary>Terms of a tile's sums between two looks ahead: of float32, a cache line.</summary>
    public const int Interval = 16;

    private const int Line = 64;

    private readonly byte* _first = first;
    private readonly nint _stride = stride;
    private readonly int _rows = rows, _step = step;

    /// <summary>Fetches what belongs to the terms from <paramref name="k"/> on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Fetch(nint k)
    {
        byte* at = _first + k / Interval * _step;
        for (int i = 0; i < _rows; i++, at += _stride)
            Sse.Prefetch1(at);
    }
}
