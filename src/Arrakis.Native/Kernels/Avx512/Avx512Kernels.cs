using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Arrakis.Native.Kernels;

/// <summary>AVX-512: 32 registers of 16 floats, multiply-add in one instruction.</summary>
internal readonly unsafe partial struct Avx512Kernels : IKernels
{
    private const int Width = 16;

    public static KernelTier Tier => KernelTier.Avx512;

    public static int Lanes => Width;

    public static int TileVectors => 3;

    public static int TileRows => 8;

    public static int FewTokens => 8;

    public static bool WidensAhead => true;

    /// <summary>
    /// Masking takes eight more vector operations a step than the 24 multiply-adds. AMD's cores start four vector operations a cycle, of which two may be multiply-adds, and
    /// it costs nothing (measured on a Zen 5); Intel's start two in all, by which count a quarter would be lost, more than widening costs.
    /// </summary>
    public static bool TilesBF16 => KernelTiers.IsAmd;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y)
    {
        int j = 0;
        for (; j + 4 * Width <= columns; j += 4 * Width)
        {
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            float* row = rows + j;
            for (int i = 0; i < count; i++, row += stride)
            {
                Vector512<float> w = Vector512.Create(weights[i]);
                s0 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row), s0);
                s1 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + Width), s1);
                s2 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 2 * Width), s2);
                s3 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 3 * Width), s3);
            }

            s0.Store(y + j);
            s1.Store(y + j + Width);
            s2.Store(y + j + 2 * Width);
            s3.Store(y + j + 3 * Width);
        }

        for (; j + Width <= columns; j += Width)
        {
            Vector512<float> sum = Vector512<float>.Zero;
            for (int i = 0; i < count; i++)
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i]), Vector512.Load(rows + i * stride + j), sum);
            sum.Store(y + j);
        }

        ScalarKernels.WeightedSum(weights, count, rows + j, stride, columns - j, y + j);
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
                Vector512<float> a = Vector512.Load(x + i), b = Vector512.Load(x + half + i);
                Vector512<float> c = Vector512.Load(cos + i), s = Vector512.Load(sin + i);
                (a * c - b * s).Store(y + i);
                (b * c + a * s).Store(y + half + i);
            }

            RowOperations.RotateHalves(x, y, half, i, cos, sin);
            return;
        }

        // Sixteen neighbours are eight pairs: every cosine twice, and the sines against the pairs' other halves with alternating signs.
        Vector512<int> twice = Vector512.Create(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        Vector512<int> swap = Vector512.Create(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
        Vector512<float> signs = Vector512.Create(Vector256.Create(-1f, 1, -1, 1, -1, 1, -1, 1), Vector256.Create(-1f, 1, -1, 1, -1, 1, -1, 1));
        for (; i + Width / 2 <= half; i += Width / 2)
        {
            Vector512<float> pairs = Vector512.Load(x + 2 * i);
            Vector512<float> c = Vector512.Shuffle(Vector512.Create(Vector256.Load(cos + i), default), twice);
            Vector512<float> s = Vector512.Shuffle(Vector512.Create(Vector256.Load(sin + i), default), twice) * signs;
            (pairs * c + Vector512.Shuffle(pairs, swap) * s).Store(y + 2 * i);
        }

        RowOperations.RotatePairs(x, y, half, i, cos, sin);
    }
}
