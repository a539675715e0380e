using System.Numerics;
using System.Runtime.CompilerServices;

namespace Arrakis.Native.Kernels;

// Four rows by two vectors: eight sums fit any machine's registers and cover a latency of four cycles at two multiply-adds a cycle.
internal readonly unsafe partial struct VectorKernels
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
        Vector<float> c00 = Vector<float>.Zero, c01 = Vector<float>.Zero;
        Vector<float> c10 = Vector<float>.Zero, c11 = Vector<float>.Zero;
        Vector<float> c20 = Vector<float>.Zero, c21 = Vector<float>.Zero;
        Vector<float> c30 = Vector<float>.Zero, c31 = Vector<float>.Zero;
        for (nint k = 0, at = 0; k < depth; k++, at += aStep)
        {
            Vector<float> x0 = Vector.Load(panel);
            Vector<float> x1 = Vector.Load(panel + Width);
            Vector<float> w0 = Vector.Create(a[at]);
            c00 = Vector.MultiplyAddEstimate(w0, x0, c00);
            c01 = Vector.MultiplyAddEstimate(w0, x1, c01);
            Vector<float> w1 = Vector.Create(a1[at]);
            c10 = Vector.MultiplyAddEstimate(w1, x0, c10);
            c11 = Vector.MultiplyAddEstimate(w1, x1, c11);
            Vector<float> w2 = Vector.Create(a2[at]);
            c20 = Vector.MultiplyAddEstimate(w2, x0, c20);
            c21 = Vector.MultiplyAddEstimate(w2, x1, c21);
            Vector<float> w3 = Vector.Create(a3[at]);
            c30 = Vector.MultiplyAddEstimate(w3, x0, c30);
            c31 = Vector.MultiplyAddEstimate(w3, x1, c31);
            panel += panelStride;
        }

        Put(c, c00, c01, accumulate);
        Put(c + 2 * Width, c10, c11, accumulate);
        Put(c + 4 * Width, c20, c21, accumulate);
        Put(c + 6 * Width, c30, c31, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1(int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate)
    {
        float* a1 = a + aStride;
        float* a2 = a1 + aStride;
        float* a3 = a2 + aStride;
        Vector<float> c00 = Vector<float>.Zero;
        Vector<float> c10 = Vector<float>.Zero;
        Vector<float> c20 = Vector<float>.Zero;
        Vector<float> c30 = Vector<float>.Zero;
        for (nint k = 0, at = 0; k < depth; k++, at += aStep)
        {
            Vector<float> x0 = Vector.Load(panel);
            Vector<float> w0 = Vector.Create(a[at]);
            c00 = Vector.MultiplyAddEstimate(w0, x0, c00);
            Vector<float> w1 = Vector.Create(a1[at]);
            c10 = Vector.MultiplyAddEstimate(w1, x0, c10);
            Vector<float> w2 = Vector.Create(a2[at]);
            c20 = Vector.MultiplyAddEstimate(w2, x0, c20);
            Vector<float> w3 = Vector.Create(a3[at]);
            c30 = Vector.MultiplyAddEstimate(w3, x0, c30);
            panel += panelStride;
        }

        Put(c, c00, accumulate);
        Put(c + Width, c10, accumulate);
        Put(c + 2 * Width, c20, accumulate);
        Put(c + 3 * Width, c30, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector<float> v0, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector.Load(c);
        }

        v0.Store(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector<float> v0, Vector<float> v1, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector.Load(c);
            v1 += Vector.Load(c + Width);
        }

        v0.Store(c);
        v1.Store(c + Width);
    }
}
