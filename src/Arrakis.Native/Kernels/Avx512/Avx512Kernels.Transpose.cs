using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

// Sixteen rows of sixteen, so that every store is a whole cache line: what a store past the caches needs, and half the stores otherwise.
internal readonly unsafe partial struct Avx512Kernels
{
    private const int LineBytes = Width * sizeof(float);

    public static void Transpose(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns) =>
        Transpose<Near>(source, sourceStride, destination, destinationStride, rows, columns);

    public static void TransposeAway(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns)
    {
        if ((nint)destination % LineBytes != 0 || destinationStride % Width != 0)
        {
            Transpose<Near>(source, sourceStride, destination, destinationStride, rows, columns);
            return;
        }

        int paired = rows / (2 * Width) * (2 * Width);
        TransposePairs(source, sourceStride, destination, destinationStride, paired, columns);
        Transpose<Away>(source + paired * sourceStride, sourceStride, destination + paired, destinationStride, rows - paired, columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FillAway(float* y, float value, int length)
    {
        int i = Math.Min(length, (int)((-(nint)y & (LineBytes - 1)) / sizeof(float)));
        new Span<float>(y, i).Fill(value);
        Vector512<float> line = Vector512.Create(value);
        for (; i + Width <= length; i += Width)
            Away.Store(line, y + i);
        new Span<float>(y + i, length - i).Fill(value);
    }

    /// <summary>
    /// Two lines of a row of the result, one right after the other: past the caches, lines side by side leave an Emerald Rapids at 18 GB/s, single ones of sixteen rows in
    /// turn at 13. <paramref name="rows"/> is a multiple of 32.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization), SkipLocalsInit]
    private static void TransposePairs(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns)
    {
        byte* room = stackalloc byte[(2 * Width + 1) * LineBytes];
        float* both = (float*)(((nint)room + LineBytes - 1) / LineBytes * LineBytes);
        for (int i = 0; i < rows; i += 2 * Width)
        {
            float* from = source + i * sourceStride, to = destination + i;
            int j = 0;
            for (; j + Width <= columns; j += Width)
            {
                Transpose16x16<Near>(from + j, sourceStride, both, 2 * Width);
                Transpose16x16<Near>(from + Width * sourceStride + j, sourceStride, both + Width, 2 * Width);
                for (int row = 0; row < Width; row++, to += destinationStride)
                {
                    Away.Store(Vector512.Load(both + row * 2 * Width), to);
                    Away.Store(Vector512.Load(both + row * 2 * Width + Width), to + Width);
                }
            }

            ScalarKernels.Transpose(from + j, sourceStride, to, destinationStride, 2 * Width, columns - j);
        }
    }

    /// <summary>How a transposed row is stored.</summary>
    private interface IStore
    {
        static abstract void Store(Vector512<float> row, float* destination);
    }

    private readonly struct Near : IStore
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector512<float> row, float* destination) => row.Store(destination);
    }

    private readonly struct Away : IStore
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector512<float> row, float* destination) => row.StoreAlignedNonTemporal(destination);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose<TStore>(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns)
        where TStore : struct, IStore
    {
        int i = 0;
        for (; i + Width <= rows; i += Width)
        {
            int j = 0;
            for (; j + Width <= columns; j += Width)
                Transpose16x16<TStore>(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride);
            ScalarKernels.Transpose(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride, Width, columns - j);
        }

        for (; i + 8 <= rows; i += 8)
        {
            int j = 0;
            for (; j + Width <= columns; j += Width)
                Transpose8x16(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride);
            ScalarKernels.Transpose(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride, 8, columns - j);
        }

        ScalarKernels.Transpose(source + i * sourceStride, sourceStride, destination + i, destinationStride, rows - i, columns);
    }

    // Fours of rows are interleaved within each 128-bit lane, so that register q of a four holds column 4·lane + q of its rows; then lane l of the four
    // fours is column 4·l + q of all sixteen rows.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose16x16<TStore>(float* source, nint stride, float* destination, nint destinationStride)
        where TStore : struct, IStore
    {
        Interleave(source, stride, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Interleave(source + 4 * stride, stride, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        Interleave(source + 8 * stride, stride, out Vector512<float> c0, out Vector512<float> c1, out Vector512<float> c2, out Vector512<float> c3);
        Interleave(source + 12 * stride, stride, out Vector512<float> d0, out Vector512<float> d1, out Vector512<float> d2, out Vector512<float> d3);
        StoreLanes<TStore>(a0, b0, c0, d0, destination, 4 * destinationStride);
        StoreLanes<TStore>(a1, b1, c1, d1, destination + destinationStride, 4 * destinationStride);
        StoreLanes<TStore>(a2, b2, c2, d2, destination + 2 * destinationStride, 4 * destinationStride);
        StoreLanes<TStore>(a3, b3, c3, d3, destination + 3 * destinationStride, 4 * destinationStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreLanes<TStore>(
        Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d, float* destination, nint laneStride)
        where TStore : struct, IStore
    {
        Lanes4(a, b, c, d, out Vector512<float> lane0, out Vector512<float> lane1, out Vector512<float> lane2, out Vector512<float> lane3);
        TStore.Store(lane0, destination);
        TStore.Store(lane1, destination + laneStride);
        TStore.Store(lane2, destination + 2 * laneStride);
        TStore.Store(lane3, destination + 3 * laneStride);
    }

    // The lanes of four registers, themselves transposed: two shuffles pair the lanes of a and b, of c and d, two more make whole rows.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Lanes4(
        Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d,
        out Vector512<float> lane0, out Vector512<float> lane1, out Vector512<float> lane2, out Vector512<float> lane3)
    {
        Vector512<float> ab01 = Avx512F.Shuffle4x128(a, b, 0b01_00_01_00), ab23 = Avx512F.Shuffle4x128(a, b, 0b11_10_11_10);
        Vector512<float> cd01 = Avx512F.Shuffle4x128(c, d, 0b01_00_01_00), cd23 = Avx512F.Shuffle4x128(c, d, 0b11_10_11_10);
        lane0 = Avx512F.Shuffle4x128(ab01, cd01, 0b10_00_10_00);
        lane1 = Avx512F.Shuffle4x128(ab01, cd01, 0b11_01_11_01);
        lane2 = Avx512F.Shuffle4x128(ab23, cd23, 0b10_00_10_00);
        lane3 = Avx512F.Shuffle4x128(ab23, cd23, 0b11_01_11_01);
    }

    // Eight rows of sixteen become sixteen rows of eight.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8x16(float* source, nint stride, float* destination, nint destinationStride)
    {
        Interleave(source, stride, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Interleave(source + 4 * stride, stride, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        StoreColumns(a0, b0, destination, 4 * destinationStride);
        StoreColumns(a1, b1, destination + destinationStride, 4 * destinationStride);
        StoreColumns(a2, b2, destination + 2 * destinationStride, 4 * destinationStride);
        StoreColumns(a3, b3, destination + 3 * destinationStride, 4 * destinationStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Interleave(
        float* source, nint stride, out Vector512<float> q0, out Vector512<float> q1, out Vector512<float> q2, out Vector512<float> q3)
    {
        Vector512<float> r0 = Vector512.Load(source), r1 = Vector512.Load(source + stride);
        Vector512<float> r2 = Vector512.Load(source + 2 * stride), r3 = Vector512.Load(source + 3 * stride);
        Vector512<double> low01 = Avx512F.UnpackLow(r0, r1).AsDouble();
        Vector512<double> high01 = Avx512F.UnpackHigh(r0, r1).AsDouble();
        Vector512<double> low23 = Avx512F.UnpackLow(r2, r3).AsDouble();
        Vector512<double> high23 = Avx512F.UnpackHigh(r2, r3).AsDouble();
        q0 = Avx512F.UnpackLow(low01, low23).AsSingle();
        q1 = Avx512F.UnpackHigh(low01, low23).AsSingle();
        q2 = Avx512F.UnpackLow(high01, high23).AsSingle();
        q3 = Avx512F.UnpackHigh(high01, high23).AsSingle();
    }

    // Lane l of a holds a column's rows 0–3, lane l of b the same column's rows 4–7.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreColumns(Vector512<float> a, Vector512<float> b, float* destination, nint laneStride)
    {
        Vector256<float> aLow = a.GetLower(), aHigh = a.GetUpper(), bLow = b.GetLower(), bHigh = b.GetUpper();
        Vector256.Create(aLow.GetLower(), bLow.GetLower()).Store(destination);
        Vector256.Create(aLow.GetUpper(), bLow.GetUpper()).Store(destination + laneStride);
        Vector256.Create(aHigh.GetLower(), bHigh.GetLower()).Store(destination + 2 * laneStride);
        Vector256.Create(aHigh.GetUpper(), bHigh.GetUpper()).Store(destination + 3 * laneStride);
    }
}
