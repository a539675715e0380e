using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

// Products with one vector, and widening. What a row's elements are is a type parameter; the loops are written once.
internal readonly unsafe partial struct Avx2Kernels
{
    /// <summary>Eight stored elements as floats.</summary>
    private interface IElements
    {
        static abstract ElementType Type { get; }

        static abstract int Bytes { get; }

        static abstract Vector256<float> Load(byte* source);
    }

    /// <summary>A block of 32 quantised elements: their integers as floats, eight to a part; they share a scale.</summary>
    private interface IBlocks
    {
        static abstract int Bytes { get; }

        static abstract Vector256<float> Load(byte* block, int part);
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

    // Compiled by itself, never into a caller that a profile has changed.
    private const MethodImplOptions AsWritten = MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining;

    private static void ElementDots<T, THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y)
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        switch (matrix.Columns)
        {
            case 2 * Width: RowDots<TwoVectors<T>>(in matrix, first, rows, x, y); break;
            case 8 * Width: RowDots<EightVectors<T, THint>>(in matrix, first, rows, x, y); break;
            default: LongDots<T, THint>(in matrix, first, rows, x, y); break;
        }
    }

    /// <summary>Short rows: four of them share a reduction. Every row is summed in the same way wherever it falls.</summary>
    [MethodImpl(AsWritten)]
    private static void RowDots<TRow>(in WeightMatrix matrix, int first, int rows, float* vector, float* y) where TRow : struct, IRowVector<TRow>
    {
        TRow x = TRow.Of(vector);
        nint stride = matrix.RowBytes;
        byte* row = matrix.Row(first);
        int r = 0;
        for (; r + 4 <= rows; r += 4, row += 4 * stride)
            Sums(x.Times(row), x.Times(row + stride), x.Times(row + 2 * stride), x.Times(row + 3 * stride)).Store(y + r);
        for (; r < rows; r++, row += stride)
            y[r] = Sums(x.Times(row), default, default, default).ToScalar();
    }

    /// <summary>The sum of each vector's elements, added in the same order for all four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sums(Vector256<float> s0, Vector256<float> s1, Vector256<float> s2, Vector256<float> s3)
    {
        Vector256<float> sums = Avx.HorizontalAdd(Avx.HorizontalAdd(s0, s1), Avx.HorizontalAdd(s2, s3));
        return sums.GetLower() + sums.GetUpper();
    }

    /// <summary>What every row of a matrix is multiplied with.</summary>
    private interface IRowVector<TSelf>
    {
        static abstract TSelf Of(float* x);

        /// <summary>Eight sums, which added are the product with a row.</summary>
        Vector256<float> Times(byte* row);
    }

    /// <summary>Sixteen columns: the keys of a head no wider, of which nothing is fetched ahead: they are a small model's.</summary>
    private readonly struct TwoVectors<T> : IRowVector<TwoVectors<T>>
        where T : struct, IElements
    {
        private readonly Vector256<float> _x0, _x1;

        private TwoVectors(float* x) => (_x0, _x1) = (Vector256.Load(x), Vector256.Load(x + Width));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TwoVectors<T> Of(float* x) => new(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> Times(byte* row) => Fma.MultiplyAdd(T.Load(row + T.Bytes), _x1, T.Load(row) * _x0);
    }

    /// <summary>Sixty-four columns: most models' keys, and a small model's weights.</summary>
    private readonly struct EightVectors<T, THint> : IRowVector<EightVectors<T, THint>>
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        private readonly float* _x;

        private EightVectors(float* x) => _x = x;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static EightVectors<T, THint> Of(float* x) => new(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> Times(byte* row)
        {
            Streaming.Fetch<THint>(row + Streaming.OnePage, 8 * T.Bytes);
            Vector256<float> s0 = T.Load(row) * Vector256.Load(_x), s1 = T.Load(row + T.Bytes) * Vector256.Load(_x + Width);
            Vector256<float> s2 = T.Load(row + 2 * T.Bytes) * Vector256.Load(_x + 2 * Width), s3 = T.Load(row + 3 * T.Bytes) * Vector256.Load(_x + 3 * Width);
            s0 = Fma.MultiplyAdd(T.Load(row + 4 * T.Bytes), Vector256.Load(_x + 4 * Width), s0);
            s1 = Fma.MultiplyAdd(T.Load(row + 5 * T.Bytes), Vector256.Load(_x + 5 * Width), s1);
            s2 = Fma.MultiplyAdd(T.Load(row + 6 * T.Bytes), Vector256.Load(_x + 6 * Width), s2);
            s3 = Fma.MultiplyAdd(T.Load(row + 7 * T.Bytes), Vector256.Load(_x + 7 * Width), s3);
            return (s0 + s1) + (s2 + s3);
        }
    }

    [MethodImpl(AsWritten)]
    private static void LongDots<T, THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y)
        where T : struct, IElements
        where THint : struct, Streaming.IHint
    {
        int columns = matrix.Columns;
        float* tail = stackalloc float[Width];
        for (int r = 0; r < rows; r++)
        {
            byte* row = matrix.Row(first + r);
            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            int k = 0;
            for (; k + 4 * Width <= columns; k += 4 * Width, row += 4 * T.Bytes)
            {
                Streaming.Fetch<THint>(row + Streaming.OnePage, 4 * T.Bytes);
                s0 = Fma.MultiplyAdd(T.Load(row), Vector256.Load(x + k), s0);
                s1 = Fma.MultiplyAdd(T.Load(row + T.Bytes), Vector256.Load(x + k + Width), s1);
                s2 = Fma.MultiplyAdd(T.Load(row + 2 * T.Bytes), Vector256.Load(x + k + 2 * Width), s2);
                s3 = Fma.MultiplyAdd(T.Load(row + 3 * T.Bytes), Vector256.Load(x + k + 3 * Width), s3);
            }

            for (; k + Width <= columns; k += Width, row += T.Bytes)
                s0 = Fma.MultiplyAdd(T.Load(row), Vector256.Load(x + k), s0);
            float sum = Vector256.Sum((s0 + s1) + (s2 + s3));
            if (k < columns)
                ScalarKernels.Widen(T.Type, row, columns - k, tail);
            for (int i = 0; k < columns; k++, i++)
                sum += tail[i] * x[k];
            y[r] = sum;
        }
    }

    [MethodImpl(AsWritten)]
    private static void BlockDots<T, THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y)
        where T : struct, IBlocks
        where THint : struct, Streaming.IHint
    {
        float* scales = HalfTable.Floats;
        for (int r = 0; r < rows; r++)
        {
            byte* block = matrix.Row(first + r);
            Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            for (int k = 0; k < matrix.Columns; k += 4 * Width, block += T.Bytes)
            {
                Streaming.Fetch<THint>(block + Streaming.OnePage, T.Bytes);
                var scale = Vector256.Create(scales[*(ushort*)block]);
                s0 = Fma.MultiplyAdd(T.Load(block, 0) * scale, Vector256.Load(x + k), s0);
                s1 = Fma.MultiplyAdd(T.Load(block, 1) * scale, Vector256.Load(x + k + Width), s1);
                s2 = Fma.MultiplyAdd(T.Load(block, 2) * scale, Vector256.Load(x + k + 2 * Width), s2);
                s3 = Fma.MultiplyAdd(T.Load(block, 3) * scale, Vector256.Load(x + k + 3 * Width), s3);
            }

            y[r] = Vector256.Sum((s0 + s1) + (s2 + s3));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenElements<T>(byte* source, int count, float* destination) where T : struct, IElements
    {
        int i = 0;
        for (; i + Width <= count; i += Width, source += T.Bytes)
            T.Load(source).Store(destination + i);
        ScalarKernels.Widen(T.Type, source, count - i, destination + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenBlocks<T>(byte* source, int count, float* destination) where T : struct, IBlocks
    {
        float* scales = HalfTable.Floats;
        for (int i = 0; i < count; i += 4 * Width, source += T.Bytes)
        {
            var scale = Vector256.Create(scales[*(ushort*)source]);
            for (int part = 0; part < 4; part++)
                (T.Load(source, part) * scale).Store(destination + i + part * Width);
        }
    }

    private readonly struct F32 : IElements
    {
        public static ElementType Type => ElementType.F32;

        public static int Bytes => Width * 4;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Load(byte* source) => Vector256.Load((float*)source);
    }

    private readonly struct BF16 : IElements
    {
        public static ElementType Type => ElementType.BF16;

        public static int Bytes => Width * 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Load(byte* source) =>
            (Avx2.ConvertToVector256Int32((ushort*)source).AsUInt32() << 16).AsSingle();
    }

    private readonly struct F16 : IElements
    {
        public static ElementType Type => ElementType.F16;

        public static int Bytes => Width * 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Load(byte* source) => HalfPrecision.ToSingle(Avx2.ConvertToVector256Int32((short*)source));
    }

    private readonly struct Q8 : IBlocks
    {
        public static int Bytes => 34;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Load(byte* block, int part) =>
            Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((sbyte*)block + 2 + part * Width));
    }

    private readonly struct Q4 : IBlocks
    {
        public static int Bytes => 18;

        // Elements 0–15 are the low nibbles of the sixteen bytes, 16–31 the high ones.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Load(byte* block, int part)
        {
            Vector256<int> packed = Avx2.ConvertToVector256Int32(block + 2 + part % 2 * Width);
            Vector256<int> nibbles = part < 2 ? packed & Vector256.Create(15) : packed >> 4;
            return Vector256.ConvertToSingle(nibbles - Vector256.Create(8));
        }
    }
}
