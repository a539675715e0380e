using System.Runtime.CompilerServices;

namespace Arrakis.Native.Kernels;

/// <summary>
/// What a tile does while it computes, because the next tiles will read it: it brings rows of a matrix that lies in main memory into cache (eight rows read
/// side by side, four bytes at a time, are too slow a pattern for the hardware to run ahead of), and the next panel where panels do not stay in L2, or widens half-precision
/// rows. Multiply-adds wait for each other, not for the instructions of this.
/// </summary>
/// <param name="first">Where the first row begins; null for nothing.</param>
/// <param name="stride">Bytes from one row to the next.</param>
/// <param name="rows">How many rows.</param>
/// <param name="step">Bytes of each row that are fetched or widened while a tile goes <see cref="Interval"/> deep.</param>
internal readonly unsafe struct Ahead(byte* first, nint stride, int rows, int step)
{
    /// <summary>Terms of a tile's sums between two looks ahead: of float32, a cache line.</summary>
    public const int Interval = 16;

    public readonly int Rows = rows;

    private readonly byte* _first = first;
    private readonly nint _stride = stride;
    private readonly int _step = step;

    /// <summary>Where widened rows go, <see cref="ToStride"/> floats apart; null for rows that are only fetched.</summary>
    public float* To { get; init; }

    /// <summary>See <see cref="To"/>.</summary>
    public nint ToStride { get; init; }

    /// <summary>Where that begins which is fetched of a panel beside the rows.</summary>
    public byte* Panel { get; init; }

    /// <summary>Bytes of the panel that are fetched while a tile goes <see cref="Interval"/> deep.</summary>
    public int PanelBytes { get; init; }

    /// <summary>Bytes from there to what is fetched next.</summary>
    public int PanelStep { get; init; }

    /// <summary>What widens half-precision numbers.</summary>
    public readonly HalfPrecision.Constants Half = HalfPrecision.Constants.All;

    /// <summary>Where the elements for the terms from <paramref name="k"/> on lie in a row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* At(nint row, int k) => _first + row * _stride + (nint)((uint)k / Interval) * _step;

    /// <summary>Fetches what belongs to the terms from <paramref name="k"/> on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Fetch(int k)
    {
        byte* at = At(0, k);
        for (int i = 0; i < Rows; i++, at += _stride)
            Streaming.IntoL2.Prefetch(at);
        Streaming.Fetch<Streaming.IntoL2>(Panel + (nint)((uint)k / Interval) * PanelStep, PanelBytes);
    }
}
