using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

/// <summary>AVX2 with FMA: 16 registers of 8 floats.</summary>
internal readonly unsafe partial struct Avx2Kernels : IKernels
{
    private const int Width = 8;

    public static KernelTier Tier => KernelTier.Avx2;

    public static int Lanes => Width;

    public static int TileVectors => 2;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y, bool accumulate)
    {
        int j = 0;
        for (; j + 4 * Width <= columns; j += 4 * Width)
        {
            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
            float* row = rows + j;
            int i = 0;
            for (; i + 2 <= count; i += 2, row += 2 * stride)
            {
                Vector256<float> w = Vector256.Create(weights[i]), v = Vector256.Create(weights[i + 1]);
                s0 = Fma.MultiplyAdd(w, Vector256.Load(row), s0);
                s1 = Fma.MultiplyAdd(w, Vector256.Load(row + Width), s1);
                s2 = Fma.MultiplyAdd(w, Vector256.Load(row + 2 * Width), s2);
                s3 = Fma.MultiplyAdd(w, Vector256.Load(row + 3 * Width), s3);
                t0 = Fma.MultiplyAdd(v, Vector256.Load(row + stride), t0);
                t1 = Fma.MultiplyAdd(v, Vector256.Load(row + stride + Width), t1);
                t2 = Fma.MultiplyAdd(v, Vector256.Load(row + stride + 2 * Width), t2);
                t3 = Fma.MultiplyAdd(v, Vector256.Load(row + stride + 3 * Width), t3);
            }

            if (i < count)
            {
                Vector256<float> w = Vector256.Create(weights[i]);
                s0 = Fma.MultiplyAdd(w, Vector256.Load(row), s0);
                s1 = Fma.MultiplyAdd(w, Vector256.Load(row + Width), s1);
                s2 = Fma.MultiplyAdd(w, Vector256.Load(row + 2 * Width), s2);
                s3 = Fma.MultiplyAdd(w, Vector256.Load(row + 3 * Width), s3);
            }

            Put(y + j, s0 + t0, accumulate);
            Put(y + j + Width, s1 + t1, accumulate);
            Put(y + j + 2 * Width, s2 + t2, accumulate);
            Put(y + j + 3 * Width, s3 + t3, accumulate);
        }

        for (; j + Width <= columns; j += Width)
        {
            // Four chains: one multiply-add waits four cycles for the one before.
            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            float* row = rows + j;
            int i = 0;
            for (; i + 4 <= count; i += 4, row += 4 * stride)
            {
                s0 = Fma.MultiplyAdd(Vector256.Create(weights[i]), Vector256.Load(row), s0);
                s1 = Fma.MultiplyAdd(Vector256.Create(weights[i + 1]), Vector256.Load(row + stride), s1);
                s2 = Fma.MultiplyAdd(Vector256.Create(weights[i + 2]), Vector256.Load(row + 2 * stride), s2);
                s3 = Fma.MultiplyAdd(Vector256.Create(weights[i + 3]), Vector256.Load(row + 3 * stride), s3);
            }

            for (; i < count; i++, row += stride)
                s0 = Fma.MultiplyAdd(Vector256.Create(weights[i]), Vector256.Load(row), s0);
            Put(y + j, (s0 + s1) + (s2 + s3), accumulate);
        }

        ScalarKernels.WeightedSum(weights, count, rows + j, stride, columns - j, y + j, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rotate(float* x, float* y, int headDim, float* cos, float* sin, RotaryLayout layout)
    {
        int half = headDim / 2;
        int i = 0;
        if (layout == RotaryLayout.Halves)
        {
            for (; i + Width <= half; i += Width)
            {
                Vector256<float> a = Vector256.Load(x + i), b = Vector256.Load(x + half + i);
                Vector256<float> c = Vector256.Load(cos + i), s = Vector256.Load(sin + i);
                (a * c - b * s).Store(y + i);
                (b * c + a * s).Store(y + half + i);
            }

            RowOperations.RotateHalves(x, y, half, i, cos, sin);
            return;
        }

        // Eight neighbours are four pairs: every cosine twice, and the sines against the pairs' other halves with alternating signs.
        Vector256<int> twice = Vector256.Create(0, 0, 1, 1, 2, 2, 3, 3);
        Vector256<int> swap = Vector256.Create(1, 0, 3, 2, 5, 4, 7, 6);
        Vector256<float> signs = Vector256.Create(-1f, 1, -1, 1, -1, 1, -1, 1);
        for (; i + Width / 2 <= half; i += Width / 2)
        {
            Vector256<float> pairs = Vector256.Load(x + 2 * i);
            Vector256<float> c = Vector256.Shuffle(Vector256.Create(Vector128.Load(cos + i), default), twice);
            Vector256<float> s = Vector256.Shuffle(Vector256.Create(Vector128.Load(sin + i), default), twice) * signs;
            (pairs * c + Vector256.Shuffle(pairs, swap) * s).Store(y + 2 * i);
        }

        RowOperations.RotatePairs(x, y, half, i, cos, sin);
    }

    public static void TransposeAway(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns) =>
        Transpose(source, sourceStride, destination, destinationStride, rows, columns);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns)
    {
        int i = 0;
        for (; i + 4 <= rows; i += 4)
        {
            int j = 0;
            for (; j + Width <= columns; j += Width)
                Transpose4x8(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride);
            ScalarKernels.Transpose(source + i * sourceStride + j, sourceStride, destination + j * destinationStride + i, destinationStride, 4, columns - j);
        }

        ScalarKernels.Transpose(source + i * sourceStride, sourceStride, destination + i, destinationStride, rows - i, columns);
    }

    // Four rows of eight become eight rows of four: pairs of rows, then fours are interleaved within each 128-bit lane, so that register q holds columns
    // q and 4 + q.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x8(float* source, nint stride, float* destination, nint destinationStride)
    {
        Vector256<float> r0 = Vector256.Load(source), r1 = Vector256.Load(source + stride);
        Vector256<float> r2 = Vector256.Load(source + 2 * stride), r3 = Vector256.Load(source + 3 * stride);
        Vector256<double> low01 = Avx.UnpackLow(r0, r1).AsDouble(), high01 = Avx.UnpackHigh(r0, r1).AsDouble();
        Vector256<double> low23 = Avx.UnpackLow(r2, r3).AsDouble(), high23 = Avx.UnpackHigh(r2, r3).AsDouble();
        StoreColumns(Avx.UnpackLow(low01, low23).AsSingle(), destination, destinationStride);
        StoreColumns(Avx.UnpackHigh(low01, low23).AsSingle(), destination + destinationStride, destinationStride);
        StoreColumns(Avx.UnpackLow(high01, high23).AsSingle(), destination + 2 * destinationStride, destinationStride);
        StoreColumns(Avx.UnpackHigh(high01, high23).AsSingle(), destination + 3 * destinationStride, destinationStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreColumns(Vector256<float> columns, float* destination, nint stride)
    {
        columns.GetLower().Store(destination);
        columns.GetUpper().Store(destination + 4 * stride);
    }
}
