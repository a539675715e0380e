using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

// Eight rows by three vectors, or six by four: 24 of the 32 registers hold sums, three or four a row of the panel, one the broadcast element. A step of k is 24 multiply-adds
// (12 cycles on a core that starts two a cycle) over 11 or 10 loads (5.5 cycles), and 24 independent sums cover the latency of four cycles three times over.
// All else is kept small: in minutes in which another thread seems to run on the same core, a load beside the multiply-adds costs most, and other instructions something,
// though the multiply-adds alone are as fast as ever. So steps are written out by four, and rows are found from two pointers and two strides, all in registers, where eight
// pointers had three of them on the stack.
internal readonly unsafe partial struct Avx512Kernels
{
    public static void Tile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead) =>
        Tile<Eight>(vectors, depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);

    public static void WideTile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead) =>
        Tile<Six>(vectors, depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);

    public static void BF16Tile(int vectors, int depth, byte* a, nint aStride, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead) =>
        Tile<Eight, Fetching, BF16>(vectors, depth, a, aStride, sizeof(ushort), panel, panelStride, c, accumulate, in ahead);

    private static void Tile<THeight>(
        int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where THeight : struct, IHeight
    {
        nint stride = aStride * sizeof(float), step = aStep * sizeof(float);
        if (ahead.To != null)
            Tile<THeight, WideningF16, F32>(vectors, depth, (byte*)a, stride, step, panel, panelStride, c, accumulate, in ahead);
        else
            Tile<THeight, Fetching, F32>(vectors, depth, (byte*)a, stride, step, panel, panelStride, c, accumulate, in ahead);
    }

    private static void Tile<THeight, TLook, TElement>(
        int vectors, int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where THeight : struct, IHeight
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        switch (vectors)
        {
            case 1:
                Tile<THeight, One, TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            case 2:
                Tile<THeight, Two, TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            case 3:
                Tile<THeight, Three, TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            case 4 when !THeight.Eight:
                Tile<THeight, Four, TLook, TElement>(depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
                return;
            default:
                throw new ArgumentOutOfRangeException(nameof(vectors), vectors, null);
        }
    }

    [MethodImpl(AsWritten)]
    private static void Tile<THeight, TRow, TLook, TElement>(
        int depth, byte* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
        where THeight : struct, IHeight
        where TRow : struct, IRow<TRow>
        where TLook : struct, ILook
        where TElement : struct, IBroadcast
    {
        TRow c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        byte* a5 = a + 5 * aStride;
        nint three = 3 * aStride;
        // Rows stored as rows: the next elements are found by constants.
        bool dense = aStep == TElement.Size;
        for (int k = 0; k < depth; k += Ahead.Interval)
        {
            TLook.Look(in ahead, k);
            int left = Math.Min(Ahead.Interval, depth - k);
            if (dense)
            {
                for (; left >= 4; left -= 4)
                {
                    Step<THeight, TRow, TElement>(a, a5, 0, aStride, three, panel, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5, ref c6, ref c7);
                    panel += panelStride;
                    Step<THeight, TRow, TElement>(a, a5, TElement.Size, aStride, three, panel, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5, ref c6, ref c7);
                    panel += panelStride;
                    Step<THeight, TRow, TElement>(a, a5, 2 * TElement.Size, aStride, three, panel, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5, ref c6, ref c7);
                    panel += panelStride;
                    Step<THeight, TRow, TElement>(a, a5, 3 * TElement.Size, aStride, three, panel, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5, ref c6, ref c7);
                    panel += panelStride;
                    a += 4 * TElement.Size;
                    a5 += 4 * TElement.Size;
                }
            }

            for (; left > 0; left--)
            {
                Step<THeight, TRow, TElement>(a, a5, 0, aStride, three, panel, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5, ref c6, ref c7);
                panel += panelStride;
                a += aStep;
                a5 += aStep;
            }
        }

        int row = TRow.Vectors * Width;
        if (accumulate)
        {
            c0.Add(c);
            c1.Add(c + row);
            c2.Add(c + 2 * row);
            c3.Add(c + 3 * row);
            c4.Add(c + 4 * row);
            c5.Add(c + 5 * row);
            if (THeight.Eight)
            {
                c6.Add(c + 6 * row);
                c7.Add(c + 7 * row);
            }
        }

        c0.Store(c);
        c1.Store(c + row);
        c2.Store(c + 2 * row);
        c3.Store(c + 3 * row);
        c4.Store(c + 4 * row);
        c5.Store(c + 5 * row);
        if (THeight.Eight)
        {
            c6.Store(c + 6 * row);
            c7.Store(c + 7 * row);
        }
    }

    /// <summary>One k: an element of each row, the sixth of which begins at <paramref name="a5"/>, times a row of the panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<THeight, TRow, TElement>(
        byte* a, byte* a5, nint at, nint stride, nint three, float* panel,
        ref TRow c0, ref TRow c1, ref TRow c2, ref TRow c3, ref TRow c4, ref TRow c5, ref TRow c6, ref TRow c7)
        where THeight : struct, IHeight
        where TRow : struct, IRow<TRow>
        where TElement : struct, IBroadcast
    {
        TRow x = TRow.Load(panel);
        c0.Add(TElement.Broadcast(a + at), x);
        c1.Add(TElement.Broadcast(a + stride + at), x);
        c2.Add(TElement.Broadcast(a + 2 * stride + at), x);
        c3.Add(TElement.Broadcast(a + three + at), x);
        c4.Add(TElement.Broadcast(a + 4 * stride + at), x);
        c5.Add(TElement.Broadcast(a5 + at), x);
        if (THeight.Eight)
        {
            c6.Add(TElement.Broadcast(a5 + stride + at), x);
            c7.Add(TElement.Broadcast(a5 + 2 * stride + at), x);
        }
    }

    /// <summary>What a tile does for those that come after it. Each kind has loops of its own: no register that holds a sum is given up for what another kind would need.</summary>
    private interface ILook
    {
        static abstract void Look(in Ahead ahead, int k);
    }

    private readonly struct Fetching : ILook
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Look(in Ahead ahead, int k) => ahead.Fetch(k);
    }

    private readonly struct WideningF16 : ILook
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Look(in Ahead ahead, int k)
        {
            for (nint i = 0; i < ahead.Rows; i++)
            {
                Vector512<int> halves = Avx512F.ConvertToVector512Int32(Vector256.Load((short*)ahead.At(i, k)));
                HalfPrecision.ToSingle(halves, in ahead.Half).Store(ahead.To + i * ahead.ToStride + k);
            }
        }
    }

    /// <summary>Rows of a tile: eight, or else six.</summary>
    private interface IHeight
    {
        static abstract bool Eight { get; }
    }

    private readonly struct Eight : IHeight
    {
        static bool IHeight.Eight => true;
    }

    private readonly struct Six : IHeight
    {
        static bool IHeight.Eight => false;
    }

    /// <summary>
    /// A row of a tile in registers: sums, or a row of the panel. Every width is written out: of rows that are made of narrower rows the compiler keeps nothing in registers, and a
    /// tile has a third of its speed.
    /// </summary>
    private interface IRow<TSelf>
    {
        static abstract int Vectors { get; }

        static abstract TSelf Load(float* source);

        /// <summary>Adds w · x.</summary>
        void Add(Vector512<float> w, in TSelf x);

        /// <summary>Adds what is stored there.</summary>
        void Add(float* stored);

        void Store(float* destination);
    }

    private struct One : IRow<One>
    {
        private Vector512<float> _v0;

        public static int Vectors => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static One Load(float* source) => new() { _v0 = Vector512.Load(source) };

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(Vector512<float> w, in One x)
        {
            _v0 = Avx512F.FusedMultiplyAdd(w, x._v0, _v0);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(float* stored)
        {
            _v0 += Vector512.Load(stored);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Store(float* destination)
        {
            _v0.Store(destination);
        }
    }

    private struct Two : IRow<Two>
    {
        private Vector512<float> _v0, _v1;

        public static int Vectors => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Two Load(float* source) => new() { _v0 = Vector512.Load(source), _v1 = Vector512.Load(source + Width) };

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(Vector512<float> w, in Two x)
        {
            _v0 = Avx512F.FusedMultiplyAdd(w, x._v0, _v0);
            _v1 = Avx512F.FusedMultiplyAdd(w, x._v1, _v1);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(float* stored)
        {
            _v0 += Vector512.Load(stored);
            _v1 += Vector512.Load(stored + Width);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Store(float* destination)
        {
            _v0.Store(destination);
            _v1.Store(destination + Width);
        }
    }

    private struct Three : IRow<Three>
    {
        private Vector512<float> _v0, _v1, _v2;

        public static int Vectors => 3;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Three Load(float* source) => new() { _v0 = Vector512.Load(source), _v1 = Vector512.Load(source + Width), _v2 = Vector512.Load(source + 2 * Width) };

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(Vector512<float> w, in Three x)
        {
            _v0 = Avx512F.FusedMultiplyAdd(w, x._v0, _v0);
            _v1 = Avx512F.FusedMultiplyAdd(w, x._v1, _v1);
            _v2 = Avx512F.FusedMultiplyAdd(w, x._v2, _v2);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(float* stored)
        {
            _v0 += Vector512.Load(stored);
            _v1 += Vector512.Load(stored + Width);
            _v2 += Vector512.Load(stored + 2 * Width);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Store(float* destination)
        {
            _v0.Store(destination);
            _v1.Store(destination + Width);
            _v2.Store(destination + 2 * Width);
        }
    }

    private struct Four : IRow<Four>
    {
        private Vector512<float> _v0, _v1, _v2, _v3;

        public static int Vectors => 4;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Four Load(float* source) =>
            new() { _v0 = Vector512.Load(source), _v1 = Vector512.Load(source + Width), _v2 = Vector512.Load(source + 2 * Width), _v3 = Vector512.Load(source + 3 * Width) };

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(Vector512<float> w, in Four x)
        {
            _v0 = Avx512F.FusedMultiplyAdd(w, x._v0, _v0);
            _v1 = Avx512F.FusedMultiplyAdd(w, x._v1, _v1);
            _v2 = Avx512F.FusedMultiplyAdd(w, x._v2, _v2);
            _v3 = Avx512F.FusedMultiplyAdd(w, x._v3, _v3);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(float* stored)
        {
            _v0 += Vector512.Load(stored);
            _v1 += Vector512.Load(stored + Width);
            _v2 += Vector512.Load(stored + 2 * Width);
            _v3 += Vector512.Load(stored + 3 * Width);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void Store(float* destination)
        {
            _v0.Store(destination);
            _v1.Store(destination + Width);
            _v2.Store(destination + 2 * Width);
            _v3.Store(destination + 3 * Width);
        }
    }

    // A vector of sums.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* c, Vector512<float> sums, bool accumulate)
    {
        if (accumulate)
            sums += Vector512.Load(c);
        sums.Store(c);
    }
}
