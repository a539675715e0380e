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

    /// <summary>
    /// Where another thread runs on the same core, what a tile loads counts: on an Emerald Rapids, loops of nothing else then have 0.82 of the FMA peak with 6 rows of 4 vectors,
    /// 0.80 with 8 of 3 and 0.73 with 8 of 2, and 0.98 to 1 at other times. On AMD's cores it is not known, and tiles stay as they were measured there.
    /// </summary>
    public static int WideVectors => KernelTiers.IsAmd ? 0 : 4;

    public static int WideRows => 6;

    public static int FewTokens => 8;

    // Measured with two workers on a Zen 5: of float32 weights, 64 tokens in two halves take 5 to 11 % less time, 32 a quarter more; of q8_0, 128 take 0 to 4 % less, and 64 as long.
    // On an Emerald Rapids, whose tiles want more tokens side by side, 64 in two halves take 12 to 14 % more, 128 as long, and 128 of bf16 and q8_0 3 % more. With AVX2, where
    // arithmetic takes twice the time and disturbance no more, 64 in two halves take 6 % more.
    public static int LeastAlone => KernelTiers.IsAmd ? 32 : 64;

    public static bool WidensAhead => true;

    /// <summary>
    /// Masking takes eight more vector operations a step than the 24 multiply-adds. AMD's cores start four vector operations a cycle, of which two may be multiply-adds, and
    /// it costs nothing (measured on a Zen 5); Intel's start two in all, and a pass has 7 to 20 % fewer tokens a second than with rows that are widened (an Emerald Rapids, in turns).
    /// </summary>
    public static bool TilesBF16 => KernelTiers.IsAmd;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y, bool accumulate)
    {
        int j = 0;
        for (; j + 4 * Width <= columns; j += 4 * Width)
        {
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
            float* row = rows + j;
            int i = 0;
            for (; i + 2 <= count; i += 2, row += 2 * stride)
            {
                Vector512<float> w = Vector512.Create(weights[i]), v = Vector512.Create(weights[i + 1]);
                s0 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row), s0);
                s1 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + Width), s1);
                s2 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 2 * Width), s2);
                s3 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 3 * Width), s3);
                t0 = Vector512.FusedMultiplyAdd(v, Vector512.Load(row + stride), t0);
                t1 = Vector512.FusedMultiplyAdd(v, Vector512.Load(row + stride + Width), t1);
                t2 = Vector512.FusedMultiplyAdd(v, Vector512.Load(row + stride + 2 * Width), t2);
                t3 = Vector512.FusedMultiplyAdd(v, Vector512.Load(row + stride + 3 * Width), t3);
            }

            if (i < count)
            {
                Vector512<float> w = Vector512.Create(weights[i]);
                s0 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row), s0);
                s1 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + Width), s1);
                s2 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 2 * Width), s2);
                s3 = Vector512.FusedMultiplyAdd(w, Vector512.Load(row + 3 * Width), s3);
            }

            Put(y + j, s0 + t0, accumulate);
            Put(y + j + Width, s1 + t1, accumulate);
            Put(y + j + 2 * Width, s2 + t2, accumulate);
            Put(y + j + 3 * Width, s3 + t3, accumulate);
        }

        for (; j + Width <= columns; j += Width)
        {
            // Four chains: one multiply-add waits four cycles for the one before.
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            float* row = rows + j;
            int i = 0;
            for (; i + 4 <= count; i += 4, row += 4 * stride)
            {
                s0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i]), Vector512.Load(row), s0);
                s1 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i + 1]), Vector512.Load(row + stride), s1);
                s2 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i + 2]), Vector512.Load(row + 2 * stride), s2);
                s3 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i + 3]), Vector512.Load(row + 3 * stride), s3);
            }

            for (; i < count; i++, row += stride)
                s0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[i]), Vector512.Load(row), s0);
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
