using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

// Six rows by two vectors: 12 of the 16 registers hold sums, two a row of the panel, one the broadcast element.
internal readonly unsafe partial struct Avx2Kernels
{
    public static void Tile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
    {
        switch (vectors)
        {
            case 1:
                Tile1(depth, a, aStride, aStep, panel, panelStride, c, accumulate);
                return;
            case 2:
                Tile2(depth, a, aStride, aStep, panel, panelStride, c, accumulate);
                return;
            default:
                throw new ArgumentOutOfRangeException(nameof(vectors), vectors, null);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2(int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate)
    {
        float* a1 = a + aStride;
        float* a2 = a1 + aStride;
        float* a3 = a2 + aStride;
        float* a4 = a3 + aStride;
        float* a5 = a4 + aStride;
        Vector256<float> c00 = Vector256<float>.Zero, c01 = Vector256<float>.Zero;
        Vector256<float> c10 = Vector256<float>.Zero, c11 = Vector256<float>.Zero;
        Vector256<float> c20 = Vector256<float>.Zero, c21 = Vector256<float>.Zero;
        Vector256<float> c30 = Vector256<float>.Zero, c31 = Vector256<float>.Zero;
        Vector256<float> c40 = Vector256<float>.Zero, c41 = Vector256<float>.Zero;
        Vector256<float> c50 = Vector256<float>.Zero, c51 = Vector256<float>.Zero;
        for (nint k = 0, at = 0; k < depth; k++, at += aStep)
        {
            Vector256<float> x0 = Vector256.Load(panel);
            Vector256<float> x1 = Vector256.Load(panel + Width);
            Vector256<float> w0 = Vector256.Create(a[at]);
            c00 = Fma.MultiplyAdd(w0, x0, c00);
            c01 = Fma.MultiplyAdd(w0, x1, c01);
            Vector256<float> w1 = Vector256.Create(a1[at]);
            c10 = Fma.MultiplyAdd(w1, x0, c10);
            c11 = Fma.MultiplyAdd(w1, x1, c11);
            Vector256<float> w2 = Vector256.Create(a2[at]);
            c20 = Fma.MultiplyAdd(w2, x0, c20);
            c21 = Fma.MultiplyAdd(w2, x1, c21);
            Vector256<float> w3 = Vector256.Create(a3[at]);
            c30 = Fma.MultiplyAdd(w3, x0, c30);
            c31 = Fma.MultiplyAdd(w3, x1, c31);
            Vector256<float> w4 = Vector256.Create(a4[at]);
            c40 = Fma.MultiplyAdd(w4, x0, c40);
            c41 = Fma.MultiplyAdd(w4, x1, c41);
            Vector256<float> w5 = Vector256.Create(a5[at]);
            c50 = Fma.MultiplyAdd(w5, x0, c50);
            c51 = Fma.MultiplyAdd(w5, x1, c51);
            panel += panelStride;
        }

        Put(c, c00, c01, accumulate);
        Put(c + 2 * Width, c10, c11, accumulate);
        Put(c + 4 * Width, c20, c21, accumulate);
        Put(c + 6 * Width, c30, c31, accumulate);
        Put(c + 8 * Width, c40, c41, accumulate);
        Put(c + 10 * Width, c50, c51, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1(int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate)
    {
        float* a1 = a + aStride;
        float* a2 = a1 + aStride;
        float* a3 = a2 + aStride;
        float* a4 = a3 + aStride;
        float* a5 = a4 + aStride;
        Vector256<float> c00 = Vector256<float>.Zero;
        Vector256<float> c10 = Vector256<float>.Zero;
        Vector256<float> c20 = Vector256<float>.Zero;
        Vector256<float> c30 = Vector256<float>.Zero;
        Vector256<float> c40 = Vector256<float>.Zero;
        Vector256<float> c50 = Vector256<float>.Zero;
        for (nint k = 0, at = 0; k < depth; k++, at += aStep)
        {
            Vector256<float> x0 = Vector256.Load(panel);
            Vector256<float> w0 = Vector256.Create(a[at]);
            c00 = Fma.MultiplyAdd(w0, x0, c00);
            Vector256<float> w1 = Vector256.Create(a1[at]);
            c10 = Fma.MultiplyAdd(w1, x0, c10);
            Vector256<float> w2 = Vector256.Create(a2[at]);
            c20 = Fma.MultiplyAdd(w2, x0, c20);
            Vector256<float> w3 = Vector256.Create(a3[at]);
            c30 = Fma.MultiplyAdd(w3, x0, c30);
            Vector256<float> w4 = Vector256.Create(a4[at]);
            c40 = Fma.MultiplyAdd(w4, x0, c40);
            Vector256<float> w5 = Vector256.Create(a5[at]);
            c50 = Fma.MultiplyAdd(w5, x0, c50);
            panel += panelStride;
        }

        Put(c, c00, accumulate);
        Put(c + Width, c10, accumulate);
        Put(c + 2 * Width, c20, accumulate);
        Put(c + 3 * Width, c30, accumulate);
        Put(c + 4 * Width, c40, accumulate);
        Put(c + 5 * Width, c50, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector256<float> v0, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector256.Load(c);
        }

        v0.Store(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector256<float> v0, Vector256<float> v1, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector256.Load(c);
            v1 += Vector256.Load(c + Width);
        }

        v0.Store(c);
        v1.Store(c + Width);
    }
}
