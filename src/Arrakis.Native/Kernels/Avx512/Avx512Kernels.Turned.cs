using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Arrakis.Native.Kernels;

// Sixteen rows of sixteen weights are turned in registers, so that a vector holds one input's weights to sixteen outputs; a token's sixteen multiply-adds, one chain of
// 64 cycles, run beside the 64 shuffles of the next sixteen inputs. For one token that is half of what a broadcast and a load for every weight take.
internal readonly unsafe partial struct Avx512Kernels
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TurnedTile(int tokens, int depth, float* a, nint aStride, float* x, nint xStride, float* c, nint cStride, bool accumulate, in Ahead ahead)
    {
        float* sums = stackalloc float[FewTokens * Width];
        for (int t = 0; t < tokens; t++)
            Vector512<float>.Zero.Store(sums + t * Width);
        int k = 0;
        for (; k + Width <= depth; k += Width, x += Width * xStride)
        {
            ahead.Fetch(k);
            AddSixteen(tokens, a + k, aStride, x, xStride, sums);
        }

        if (k < depth)
            AddLast(tokens, depth - k, a + k, aStride, x, xStride, sums);
        for (int t = 0; t < tokens; t++)
            Put(c + t * cStride, Vector512.Load(sums + t * Width), accumulate);
    }

    // As much as is inlined into one method, and so a call.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddSixteen(int tokens, float* a, nint aStride, float* x, nint xStride, float* sums)
    {
        Interleave(a, aStride, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Interleave(a + 4 * aStride, aStride, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        Interleave(a + 8 * aStride, aStride, out Vector512<float> c0, out Vector512<float> c1, out Vector512<float> c2, out Vector512<float> c3);
        Interleave(a + 12 * aStride, aStride, out Vector512<float> d0, out Vector512<float> d1, out Vector512<float> d2, out Vector512<float> d3);
        Lanes4(a0, b0, c0, d0, out Vector512<float> k0, out Vector512<float> k4, out Vector512<float> k8, out Vector512<float> k12);
        Lanes4(a1, b1, c1, d1, out Vector512<float> k1, out Vector512<float> k5, out Vector512<float> k9, out Vector512<float> k13);
        Lanes4(a2, b2, c2, d2, out Vector512<float> k2, out Vector512<float> k6, out Vector512<float> k10, out Vector512<float> k14);
        Lanes4(a3, b3, c3, d3, out Vector512<float> k3, out Vector512<float> k7, out Vector512<float> k11, out Vector512<float> k15);
        for (nint t = 0; t < tokens; t++)
        {
            Vector512<float> sum = Vector512.Load(sums + t * Width);
            sum = Vector512.FusedMultiplyAdd(k0, Vector512.Create(x[t]), sum);
            sum = Vector512.FusedMultiplyAdd(k1, Vector512.Create(x[t + xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k2, Vector512.Create(x[t + 2 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k3, Vector512.Create(x[t + 3 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k4, Vector512.Create(x[t + 4 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k5, Vector512.Create(x[t + 5 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k6, Vector512.Create(x[t + 6 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k7, Vector512.Create(x[t + 7 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k8, Vector512.Create(x[t + 8 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k9, Vector512.Create(x[t + 9 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k10, Vector512.Create(x[t + 10 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k11, Vector512.Create(x[t + 11 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k12, Vector512.Create(x[t + 12 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k13, Vector512.Create(x[t + 13 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k14, Vector512.Create(x[t + 14 * xStride]), sum);
            sum = Vector512.FusedMultiplyAdd(k15, Vector512.Create(x[t + 15 * xStride]), sum);
            sum.Store(sums + t * Width);
        }
    }

    // Fewer than sixteen inputs: nothing is read past a row's end, which may be the file's.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddLast(int tokens, int depth, float* a, nint aStride, float* x, nint xStride, float* sums)
    {
        float* turned = stackalloc float[Width * Width];
        ScalarKernels.Transpose(a, aStride, turned, Width, Width, depth);
        for (nint t = 0; t < tokens; t++)
        {
            Vector512<float> sum = Vector512.Load(sums + t * Width);
            for (nint k = 0; k < depth; k++)
                sum = Vector512.FusedMultiplyAdd(Vector512.Load(turned + k * Width), Vector512.Create(x[t + k * xStride]), sum);
            sum.Store(sums + t * Width);
        }
    }
}
