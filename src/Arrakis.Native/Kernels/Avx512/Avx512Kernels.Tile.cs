using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

// Eight rows by three vectors: 24 of the 32 registers hold sums, three a row of the panel, one the broadcast element. A step of k is 24 multiply-adds
// (12 cycles on a core that starts two a cycle) over 11 loads (5.5 cycles), and 24 independent sums cover the latency of four cycles three times over.
internal readonly unsafe partial struct Avx512Kernels
{
    public static void Tile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
    {
        nint stride = aStride * sizeof(float), step = aStep * sizeof(float);
        if (ahead.To == null)
            Tile<Fetching, F32>(vectors, depth, (byte*)a, stride, step, panel, panelStride, c, accumulate, in ahead);
        else
            Tile<WideningF16, F32>(vectors, depth, (byte*)a, stride, step, panel, panelStride, c, accumulate, in ahead);
    }

    public static void BF16Tile(int vectors, int depth, byte* a, nint aStride, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead) =>
        Tile<Fetching, BF16>(vectors, depth, a, aStride, sizeof(ushort), panel, panelStride, c, accumulate, in ahead);

    private static void Tile<TLook, TElement>(
        int vectors, int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        switch (vectors)
        {
            case 1:
                Tile1<TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            case 2:
                Tile2<TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            case 3:
                Tile3<TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            default:
                throw new ArgumentOutOfRangeException(nameof(vectors), vectors, null);
        }
    }

    /// <summary>What a tile does for those that come after it. Each kind has loops of its own: no register that holds a sum is given up for what another kind would need.</summary>
    private interface ILook
    {
        static abstract void Look(in Ahead ahead, nint k);
    }

    private readonly struct Fetching : ILook
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Look(in Ahead ahead, nint k) => ahead.Fetch(k);
    }

    private readonly struct WideningF16 : ILook
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Look(in Ahead ahead, nint k)
        {
            for (nint i = 0; i < ahead.Rows; i++)
            {
                Vector512<int> halves = Avx512F.ConvertToVector512Int32(Vector256.Load((short*)ahead.At(i, k)));
                HalfPrecision.ToSingle(halves, in ahead.Half).Store(ahead.To + i * ahead.ToStride + k);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile3<TLook, TElement>(int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        byte* a1 = a + aStride;
        byte* a2 = a1 + aStride;
        byte* a3 = a2 + aStride;
        byte* a4 = a3 + aStride;
        byte* a5 = a4 + aStride;
        byte* a6 = a5 + aStride;
        byte* a7 = a6 + aStride;
        Vector512<float> c00 = Vector512<float>.Zero, c01 = Vector512<float>.Zero, c02 = Vector512<float>.Zero;
        Vector512<float> c10 = Vector512<float>.Zero, c11 = Vector512<float>.Zero, c12 = Vector512<float>.Zero;
        Vector512<float> c20 = Vector512<float>.Zero, c21 = Vector512<float>.Zero, c22 = Vector512<float>.Zero;
        Vector512<float> c30 = Vector512<float>.Zero, c31 = Vector512<float>.Zero, c32 = Vector512<float>.Zero;
        Vector512<float> c40 = Vector512<float>.Zero, c41 = Vector512<float>.Zero, c42 = Vector512<float>.Zero;
        Vector512<float> c50 = Vector512<float>.Zero, c51 = Vector512<float>.Zero, c52 = Vector512<float>.Zero;
        Vector512<float> c60 = Vector512<float>.Zero, c61 = Vector512<float>.Zero, c62 = Vector512<float>.Zero;
        Vector512<float> c70 = Vector512<float>.Zero, c71 = Vector512<float>.Zero, c72 = Vector512<float>.Zero;
        nint at = 0;
        for (nint k = 0; k < depth;)
        {
            TLook.Look(in ahead, k);
            for (nint end = Math.Min(k + Ahead.Interval, depth); k < end; k++)
            {
                Vector512<float> x0 = Vector512.Load(panel);
                Vector512<float> x1 = Vector512.Load(panel + Width);
                Vector512<float> x2 = Vector512.Load(panel + 2 * Width);
                Vector512<float> w0 = TElement.Broadcast(a + at);
                c00 = Avx512F.FusedMultiplyAdd(w0, x0, c00);
                c01 = Avx512F.FusedMultiplyAdd(w0, x1, c01);
                c02 = Avx512F.FusedMultiplyAdd(w0, x2, c02);
                Vector512<float> w1 = TElement.Broadcast(a1 + at);
                c10 = Avx512F.FusedMultiplyAdd(w1, x0, c10);
                c11 = Avx512F.FusedMultiplyAdd(w1, x1, c11);
                c12 = Avx512F.FusedMultiplyAdd(w1, x2, c12);
                Vector512<float> w2 = TElement.Broadcast(a2 + at);
                c20 = Avx512F.FusedMultiplyAdd(w2, x0, c20);
                c21 = Avx512F.FusedMultiplyAdd(w2, x1, c21);
                c22 = Avx512F.FusedMultiplyAdd(w2, x2, c22);
                Vector512<float> w3 = TElement.Broadcast(a3 + at);
                c30 = Avx512F.FusedMultiplyAdd(w3, x0, c30);
                c31 = Avx512F.FusedMultiplyAdd(w3, x1, c31);
                c32 = Avx512F.FusedMultiplyAdd(w3, x2, c32);
                Vector512<float> w4 = TElement.Broadcast(a4 + at);
                c40 = Avx512F.FusedMultiplyAdd(w4, x0, c40);
                c41 = Avx512F.FusedMultiplyAdd(w4, x1, c41);
                c42 = Avx512F.FusedMultiplyAdd(w4, x2, c42);
                Vector512<float> w5 = TElement.Broadcast(a5 + at);
                c50 = Avx512F.FusedMultiplyAdd(w5, x0, c50);
                c51 = Avx512F.FusedMultiplyAdd(w5, x1, c51);
                c52 = Avx512F.FusedMultiplyAdd(w5, x2, c52);
                Vector512<float> w6 = TElement.Broadcast(a6 + at);
                c60 = Avx512F.FusedMultiplyAdd(w6, x0, c60);
                c61 = Avx512F.FusedMultiplyAdd(w6, x1, c61);
                c62 = Avx512F.FusedMultiplyAdd(w6, x2, c62);
                Vector512<float> w7 = TElement.Broadcast(a7 + at);
                c70 = Avx512F.FusedMultiplyAdd(w7, x0, c70);
                c71 = Avx512F.FusedMultiplyAdd(w7, x1, c71);
                c72 = Avx512F.FusedMultiplyAdd(w7, x2, c72);
                panel += panelStride;
                at += aStep;
            }
        }

        Put(c, c00, c01, c02, accumulate);
        Put(c + 3 * Width, c10, c11, c12, accumulate);
        Put(c + 6 * Width, c20, c21, c22, accumulate);
        Put(c + 9 * Width, c30, c31, c32, accumulate);
        Put(c + 12 * Width, c40, c41, c42, accumulate);
        Put(c + 15 * Width, c50, c51, c52, accumulate);
        Put(c + 18 * Width, c60, c61, c62, accumulate);
        Put(c + 21 * Width, c70, c71, c72, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2<TLook, TElement>(int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        byte* a1 = a + aStride;
        byte* a2 = a1 + aStride;
        byte* a3 = a2 + aStride;
        byte* a4 = a3 + aStride;
        byte* a5 = a4 + aStride;
        byte* a6 = a5 + aStride;
        byte* a7 = a6 + aStride;
        Vector512<float> c00 = Vector512<float>.Zero, c01 = Vector512<float>.Zero;
        Vector512<float> c10 = Vector512<float>.Zero, c11 = Vector512<float>.Zero;
        Vector512<float> c20 = Vector512<float>.Zero, c21 = Vector512<float>.Zero;
        Vector512<float> c30 = Vector512<float>.Zero, c31 = Vector512<float>.Zero;
        Vector512<float> c40 = Vector512<float>.Zero, c41 = Vector512<float>.Zero;
        Vector512<float> c50 = Vector512<float>.Zero, c51 = Vector512<float>.Zero;
        Vector512<float> c60 = Vector512<float>.Zero, c61 = Vector512<float>.Zero;
        Vector512<float> c70 = Vector512<float>.Zero, c71 = Vector512<float>.Zero;
        nint at = 0;
        for (nint k = 0; k < depth;)
        {
            TLook.Look(in ahead, k);
            for (nint end = Math.Min(k + Ahead.Interval, depth); k < end; k++)
            {
                Vector512<float> x0 = Vector512.Load(panel);
                Vector512<float> x1 = Vector512.Load(panel + Width);
                Vector512<float> w0 = TElement.Broadcast(a + at);
                c00 = Avx512F.FusedMultiplyAdd(w0, x0, c00);
                c01 = Avx512F.FusedMultiplyAdd(w0, x1, c01);
                Vector512<float> w1 = TElement.Broadcast(a1 + at);
                c10 = Avx512F.FusedMultiplyAdd(w1, x0, c10);
                c11 = Avx512F.FusedMultiplyAdd(w1, x1, c11);
                Vector512<float> w2 = TElement.Broadcast(a2 + at);
                c20 = Avx512F.FusedMultiplyAdd(w2, x0, c20);
                c21 = Avx512F.FusedMultiplyAdd(w2, x1, c21);
                Vector512<float> w3 = TElement.Broadcast(a3 + at);
                c30 = Avx512F.FusedMultiplyAdd(w3, x0, c30);
                c31 = Avx512F.FusedMultiplyAdd(w3, x1, c31);
                Vector512<float> w4 = TElement.Broadcast(a4 + at);
                c40 = Avx512F.FusedMultiplyAdd(w4, x0, c40);
                c41 = Avx512F.FusedMultiplyAdd(w4, x1, c41);
                Vector512<float> w5 = TElement.Broadcast(a5 + at);
                c50 = Avx512F.FusedMultiplyAdd(w5, x0, c50);
                c51 = Avx512F.FusedMultiplyAdd(w5, x1, c51);
                Vector512<float> w6 = TElement.Broadcast(a6 + at);
                c60 = Avx512F.FusedMultiplyAdd(w6, x0, c60);
                c61 = Avx512F.FusedMultiplyAdd(w6, x1, c61);
                Vector512<float> w7 = TElement.Broadcast(a7 + at);
                c70 = Avx512F.FusedMultiplyAdd(w7, x0, c70);
                c71 = Avx512F.FusedMultiplyAdd(w7, x1, c71);
                panel += panelStride;
                at += aStep;
            }
        }

        Put(c, c00, c01, accumulate);
        Put(c + 2 * Width, c10, c11, accumulate);
        Put(c + 4 * Width, c20, c21, accumulate);
        Put(c + 6 * Width, c30, c31, accumulate);
        Put(c + 8 * Width, c40, c41, accumulate);
        Put(c + 10 * Width, c50, c51, accumulate);
        Put(c + 12 * Width, c60, c61, accumulate);
        Put(c + 14 * Width, c70, c71, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<TLook, TElement>(int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        byte* a1 = a + aStride;
        byte* a2 = a1 + aStride;
        byte* a3 = a2 + aStride;
        byte* a4 = a3 + aStride;
        byte* a5 = a4 + aStride;
        byte* a6 = a5 + aStride;
        byte* a7 = a6 + aStride;
        Vector512<float> c00 = Vector512<float>.Zero;
        Vector512<float> c10 = Vector512<float>.Zero;
        Vector512<float> c20 = Vector512<float>.Zero;
        Vector512<float> c30 = Vector512<float>.Zero;
        Vector512<float> c40 = Vector512<float>.Zero;
        Vector512<float> c50 = Vector512<float>.Zero;
        Vector512<float> c60 = Vector512<float>.Zero;
        Vector512<float> c70 = Vector512<float>.Zero;
        nint at = 0;
        for (nint k = 0; k < depth;)
        {
            TLook.Look(in ahead, k);
            for (nint end = Math.Min(k + Ahead.Interval, depth); k < end; k++)
            {
                Vector512<float> x0 = Vector512.Load(panel);
                Vector512<float> w0 = TElement.Broadcast(a + at);
                c00 = Avx512F.FusedMultiplyAdd(w0, x0, c00);
                Vector512<float> w1 = TElement.Broadcast(a1 + at);
                c10 = Avx512F.FusedMultiplyAdd(w1, x0, c10);
                Vector512<float> w2 = TElement.Broadcast(a2 + at);
                c20 = Avx512F.FusedMultiplyAdd(w2, x0, c20);
                Vector512<float> w3 = TElement.Broadcast(a3 + at);
                c30 = Avx512F.FusedMultiplyAdd(w3, x0, c30);
                Vector512<float> w4 = TElement.Broadcast(a4 + at);
                c40 = Avx512F.FusedMultiplyAdd(w4, x0, c40);
                Vector512<float> w5 = TElement.Broadcast(a5 + at);
                c50 = Avx512F.FusedMultiplyAdd(w5, x0, c50);
                Vector512<float> w6 = TElement.Broadcast(a6 + at);
                c60 = Avx512F.FusedMultiplyAdd(w6, x0, c60);
                Vector512<float> w7 = TElement.Broadcast(a7 + at);
                c70 = Avx512F.FusedMultiplyAdd(w7, x0, c70);
                panel += panelStride;
                at += aStep;
            }
        }

        Put(c, c00, accumulate);
        Put(c + Width, c10, accumulate);
        Put(c + 2 * Width, c20, accumulate);
        Put(c + 3 * Width, c30, accumulate);
        Put(c + 4 * Width, c40, accumulate);
        Put(c + 5 * Width, c50, accumulate);
        Put(c + 6 * Width, c60, accumulate);
        Put(c + 7 * Width, c70, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector512<float> v0, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector512.Load(c);
        }

        v0.Store(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector512<float> v0, Vector512<float> v1, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector512.Load(c);
            v1 += Vector512.Load(c + Width);
        }

        v0.Store(c);
        v1.Store(c + Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector512<float> v0, Vector512<float> v1, Vector512<float> v2, bool accumulate)
    {
        if (accumulate)
        {
            v0 += Vector512.Load(c);
            v1 += Vector512.Load(c + Width);
            v2 += Vector512.Load(c + 2 * Width);
        }

        v0.Store(c);
        v1.Store(c + Width);
        v2.Store(c + 2 * Width);
    }
}
