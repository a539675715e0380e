using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

// Products with one vector, and widening. What a row's elements are is a type parameter; the loops are written once. Quantised blocks have a file of their own.
internal readonly unsafe partial struct Avx512Kernels
{
    /// <summary>Sixteen stored elements as floats.</summary>
    private interface IElements
    {
        static abstract ElementType Type { get; }

        static abstract int Bytes { get; }

        /// <summary>How far ahead of a row's product rows are fetched, in bytes.</summary>
        static abstract int Ahead { get; }

        static abstract Vector512<float> Load(byte* source);
    }

    /// <summary>One stored element, as a float in every lane.</summary>
    private interface IBroadcast
    {
        /// <summary>Its bytes.</summary>
        static abstract int Size { get; }

        static abstract Vector512<float> Broadcast(byte* source);
    }

    public static void Dots(in WeightMatrix matrix, int first, int rows, float* x, float* y)
    {
        if (KernelTiers.IsAmd)
            Dots<Streaming.PastL2>(in matrix, first, rows, x, y);
        else
            Dots<Streaming.IntoAll>(in matrix, first, rows, x, y);
    }

    private static void Dots<THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y) where THint : struct, Streaming.IHint
    {
        switch (matrix.Type)
        {
            case ElementType.F32: ElementDots<F32, THint>(in matrix, first, rows, x, y); break;
            case ElementType.F16: ElementDots<F16, THint>(in matrix, first, rows, x, y); break;
            case ElementType.BF16: ElementDots<BF16, THint>(in matrix, first, rows, x, y); break;
            case ElementType.Q8_0: BlockDots<Q8, THint>(in matrix, first, rows, x, y); break;
            case ElementType.Q4_0: BlockDots<Q4, THint>(in matrix, first, rows, x, y); break;
            default: throw new ArgumentOutOfRangeException(nameof(matrix), matrix.Type, null);
        }
    }

    public static void Widen(ElementType type, byte* source, int count, float* destination)
    {
        switch (type)
        {
            case ElementType.F32: WidenElements<F32>(source, count, destination); break;
            case ElementType.F16: WidenElements<F16>(source, count, destination); break;
            case ElementType.BF16: WidenElements<BF16>(source, count, destination); break;
            case ElementType.Q8_0: WidenBlocks<Q8>(source, count, destination); break;
            case ElementType.Q4_0: WidenBlocks<Q4>(source, count, destination); break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, null);
        }
    }

    // Compiled by itself: a profile that has seen another kind of run would inline the loops into their callers, and there they lose their registers (a small model decoded
    // at two thirds of the speed after a large one).
    private const MethodImplOptions AsWritten = MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining;

    // One reduction serves four rows; they are read one after the other, as memory likes it (27 GB/s of float32 where four side by side had 22).
    private const int RowsAtOnce = 4;

    private static void ElementDots<T, THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y)
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        switch (matrix.Columns)
        {
            case < Width: ScalarKernels.Dots(in matrix, first, rows, x, y); break;
            case Width: RowDots<OneVector<T>>(in matrix, first, rows, x, y); break;
            case 4 * Width: RowDots<FourVectors<T, THint>>(in matrix, first, rows, x, y); break;
            default: RowDots<LongRow<T, THint>>(in matrix, first, rows, x, y); break;
        }
    }

    [MethodImpl(AsWritten)]
    private static void RowDots<TRow>(in WeightMatrix matrix, int first, int rows, float* vector, float* y) where TRow : struct, IRowVector<TRow>
    {
        TRow x = TRow.Of(vector, matrix.Columns);
        nint stride = matrix.RowBytes;
        byte* row = matrix.Row(first);
        for (int left = rows; left > 0; left -= RowsAtOnce, row += RowsAtOnce * stride, y += RowsAtOnce)
        {
            Rows(row, stride, left, out byte* row1, out byte* row2, out byte* row3);
            Put(Sums(x.Times(row), x.Times(row1), x.Times(row2), x.Times(row3)), y, left);
        }
    }

    /// <summary>What every row of a matrix is multiplied with.</summary>
    private interface IRowVector<TSelf>
    {
        static abstract TSelf Of(float* x, int columns);

        /// <summary>Sixteen sums, which added are the product with a row.</summary>
        Vector512<float> Times(byte* row);
    }

    /// <summary>Sixteen columns: the keys of a head no wider, of which nothing is fetched ahead: they are a small model's.</summary>
    private readonly struct OneVector<T> : IRowVector<OneVector<T>>
        where T : struct, IElements
    {
        private readonly Vector512<float> _x;

        private OneVector(float* x) => _x = Vector512.Load(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static OneVector<T> Of(float* x, int columns) => new(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector512<float> Times(byte* row) => T.Load(row) * _x;
    }

    /// <summary>Sixty-four columns: most models' keys, and a small model's weights. Their loop would be gone through once, and cost more than what is in it.</summary>
    private readonly struct FourVectors<T, THint> : IRowVector<FourVectors<T, THint>>
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        private readonly Vector512<float> _x0, _x1, _x2, _x3;

        private FourVectors(float* x)
        {
            _x0 = Vector512.Load(x);
            _x1 = Vector512.Load(x + Width);
            _x2 = Vector512.Load(x + 2 * Width);
            _x3 = Vector512.Load(x + 3 * Width);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static FourVectors<T, THint> Of(float* x, int columns) => new(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector512<float> Times(byte* row)
        {
            Streaming.Fetch<THint>(row + T.Ahead, 4 * T.Bytes);
            return (T.Load(row) * _x0 + T.Load(row + T.Bytes) * _x1) + (T.Load(row + 2 * T.Bytes) * _x2 + T.Load(row + 3 * T.Bytes) * _x3);
        }
    }

    /// <summary>Any number of columns from sixteen on.</summary>
    private readonly struct LongRow<T, THint> : IRowVector<LongRow<T, THint>>
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        private readonly float* _x;
        private readonly int _columns;
        private readonly nint _lastAt;
        private readonly Vector512<float> _lastX, _kept;

        private LongRow(float* x, int columns)
        {
            _x = x;
            _columns = columns;
            // Here, once: a call in the loop over rows would have every sum go through memory.
            _lastAt = (nint)T.Type.RowBytes(columns) - T.Bytes;
            // The last, partial vector is loaded so that it ends with the row; what it shares with the one before is taken out of both factors.
            _kept = Vector512.GreaterThanOrEqual(Vector512<int>.Indices, Vector512.Create(Width - columns % Width)).AsSingle();
            _lastX = Vector512.Load(x + columns - Width) & _kept;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static LongRow<T, THint> Of(float* x, int columns) => new(x, columns);

        // Four chains of sums cover the latency of a multiply-add.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector512<float> Times(byte* row)
        {
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            float* x = _x, end = _x + _columns - 4 * Width;
            byte* at = row;
            for (; x <= end; x += 4 * Width, at += 4 * T.Bytes)
            {
                Streaming.Fetch<THint>(at + T.Ahead, 4 * T.Bytes);
                s0 = Vector512.FusedMultiplyAdd(T.Load(at), Vector512.Load(x), s0);
                s1 = Vector512.FusedMultiplyAdd(T.Load(at + T.Bytes), Vector512.Load(x + Width), s1);
                s2 = Vector512.FusedMultiplyAdd(T.Load(at + 2 * T.Bytes), Vector512.Load(x + 2 * Width), s2);
                s3 = Vector512.FusedMultiplyAdd(T.Load(at + 3 * T.Bytes), Vector512.Load(x + 3 * Width), s3);
            }

            for (end += 3 * Width; x <= end; x += Width, at += T.Bytes)
                s0 = Vector512.FusedMultiplyAdd(T.Load(at), Vector512.Load(x), s0);
            if (_columns % Width > 0)
                s1 = Vector512.FusedMultiplyAdd(T.Load(row + _lastAt) & _kept, _lastX, s1);
            return (s0 + s1) + (s2 + s3);
        }
    }

    // Past the last row the last one is read again, so that every row is summed in the same way wherever it falls.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rows(byte* row, nint stride, int left, out byte* row1, out byte* row2, out byte* row3)
    {
        row1 = left > 1 ? row + stride : row;
        row2 = left > 2 ? row1 + stride : row1;
        row3 = left > 3 ? row2 + stride : row2;
    }

    /// <summary>The sum of each vector's elements, added in the same order for all four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sums(Vector512<float> s0, Vector512<float> s1, Vector512<float> s2, Vector512<float> s3)
    {
        Vector512<float> s01 = Avx512F.UnpackLow(s0, s1) + Avx512F.UnpackHigh(s0, s1);
        Vector512<float> s23 = Avx512F.UnpackLow(s2, s3) + Avx512F.UnpackHigh(s2, s3);
        Vector512<float> sums = Avx512F.UnpackLow(s01.AsDouble(), s23.AsDouble()).AsSingle() + Avx512F.UnpackHigh(s01.AsDouble(), s23.AsDouble()).AsSingle();
        Vector256<float> half = sums.GetLower() + sums.GetUpper();
        return half.GetLower() + half.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector128<float> sums, float* y, int rows)
    {
        if (rows >= RowsAtOnce)
        {
            sums.Store(y);
            return;
        }

        for (int i = 0; i < rows; i++)
            y[i] = sums[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenElements<T>(byte* source, int count, float* destination) where T : struct, IElements
    {
        int i = 0;
        for (; i + Width <= count; i += Width, source += T.Bytes)
            T.Load(source).Store(destination + i);
        ScalarKernels.Widen(T.Type, source, count - i, destination + i);
    }

    private readonly struct F32 : IElements, IBroadcast
    {
        public static ElementType Type => ElementType.F32;

        public static int Size => sizeof(float);

        public static int Bytes => Width * 4;

        public static int Ahead => Streaming.OnePage;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) => Vector512.Load((float*)source);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Broadcast(byte* source) => Vector512.Create(*(float*)source);
    }

    private readonly struct BF16 : IElements, IBroadcast
    {
        public static ElementType Type => ElementType.BF16;

        public static int Size => sizeof(ushort);

        public static int Bytes => Width * 2;

        public static int Ahead => Streaming.OnePage;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) =>
            (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)source)) << 16).AsSingle();

        // The element is the upper half of four bytes that begin before it, which one instruction broadcasts and masks. What lies before a matrix may be read
        // (see WeightMatrix); after a file's last element there may be nothing.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Broadcast(byte* source) => (Vector512.Create(*(uint*)(source - sizeof(ushort))) & Vector512.Create(0xFFFF_0000)).AsSingle();
    }

    private readonly struct F16 : IElements
    {
        public static ElementType Type => ElementType.F16;

        public static int Bytes => Width * 2;

        public static int Ahead => Streaming.TwoPages;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) =>
            HalfPrecision.ToSingle(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)));
    }
}
