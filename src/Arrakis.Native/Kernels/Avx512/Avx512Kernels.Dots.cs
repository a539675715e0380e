using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

// Products with one vector, and widening. What a row's elements are is a type parameter; the loops are written once.
internal readonly unsafe partial struct Avx512Kernels
{
    /// <summary>Sixteen stored elements as floats.</summary>
    private interface IElements
    {
        static abstract ElementType Type { get; }

        static abstract int Bytes { get; }

        static abstract Vector512<float> Load(byte* source);
    }

    /// <summary>A block of 32 quantised elements: their integers as floats, and the scale they share.</summary>
    private interface IBlocks
    {
        static abstract int Bytes { get; }

        static abstract void Load(byte* block, out Vector512<float> low, out Vector512<float> high);
    }

    public static void Dots(in WeightMatrix matrix, int first, int rows, float* x, float* y)
    {
        switch (matrix.Type)
        {
            case ElementType.F32: ElementDots<F32>(in matrix, first, rows, x, y); break;
            case ElementType.F16: ElementDots<F16>(in matrix, first, rows, x, y); break;
            case ElementType.BF16: ElementDots<BF16>(in matrix, first, rows, x, y); break;
            case ElementType.Q8_0: BlockDots<Q8>(in matrix, first, rows, x, y); break;
            case ElementType.Q4_0: BlockDots<Q4>(in matrix, first, rows, x, y); break;
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

    // Four rows at a time: an x that is loaded serves four products, eight sums cover the latency of a multiply-add, and one reduction serves four rows.
    private const int RowsAtOnce = 4;

    // Of 2, 4, 8 and 16 KB the one that decoded fastest with f16 and q8_0 weights, about level with the next for bf16. A core reads 3 KB while memory answers once, and more than
    // that must be on its way.
    private const int AheadBytes = 8192;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ElementDots<T>(in WeightMatrix matrix, int first, int rows, float* x, float* y) where T : struct, IElements
    {
        int columns = matrix.Columns, rest = columns % Width;
        if (columns < Width)
        {
            ScalarKernels.Dots(in matrix, first, rows, x, y);
            return;
        }

        // The last, partial vector is loaded so that it ends with the row; what it shares with the one before is taken out of both factors.
        Vector512<float> kept = Vector512.GreaterThanOrEqual(Vector512<int>.Indices, Vector512.Create(Width - rest)).AsSingle();
        Vector512<float> lastX = Vector512.Load(x + columns - Width) & kept;
        nint lastAt = (nint)T.Type.RowBytes(columns) - T.Bytes;
        for (int r = 0; r < rows; r += RowsAtOnce)
        {
            Rows(in matrix, first, r, rows, out byte* row0, out byte* row1, out byte* row2, out byte* row3);
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
            nint at = 0;
            int k = 0;
            for (; k + 2 * Width <= columns; k += 2 * Width, at += 2 * T.Bytes)
            {
                // Rows of float32 are long enough for the hardware, and fetching them as well takes more than it gives.
                if (T.Type != ElementType.F32)
                    FetchAhead(row0, at, 2 * T.Bytes);
                Vector512<float> x0 = Vector512.Load(x + k), x1 = Vector512.Load(x + k + Width);
                s0 = Vector512.FusedMultiplyAdd(T.Load(row0 + at), x0, s0);
                s1 = Vector512.FusedMultiplyAdd(T.Load(row1 + at), x0, s1);
                s2 = Vector512.FusedMultiplyAdd(T.Load(row2 + at), x0, s2);
                s3 = Vector512.FusedMultiplyAdd(T.Load(row3 + at), x0, s3);
                t0 = Vector512.FusedMultiplyAdd(T.Load(row0 + at + T.Bytes), x1, t0);
                t1 = Vector512.FusedMultiplyAdd(T.Load(row1 + at + T.Bytes), x1, t1);
                t2 = Vector512.FusedMultiplyAdd(T.Load(row2 + at + T.Bytes), x1, t2);
                t3 = Vector512.FusedMultiplyAdd(T.Load(row3 + at + T.Bytes), x1, t3);
            }

            if (k + Width <= columns)
            {
                Vector512<float> x0 = Vector512.Load(x + k);
                s0 = Vector512.FusedMultiplyAdd(T.Load(row0 + at), x0, s0);
                s1 = Vector512.FusedMultiplyAdd(T.Load(row1 + at), x0, s1);
                s2 = Vector512.FusedMultiplyAdd(T.Load(row2 + at), x0, s2);
                s3 = Vector512.FusedMultiplyAdd(T.Load(row3 + at), x0, s3);
            }

            if (rest > 0)
            {
                t0 = Vector512.FusedMultiplyAdd(T.Load(row0 + lastAt) & kept, lastX, t0);
                t1 = Vector512.FusedMultiplyAdd(T.Load(row1 + lastAt) & kept, lastX, t1);
                t2 = Vector512.FusedMultiplyAdd(T.Load(row2 + lastAt) & kept, lastX, t2);
                t3 = Vector512.FusedMultiplyAdd(T.Load(row3 + lastAt) & kept, lastX, t3);
            }

            Put(Sums(s0 + t0, s1 + t1, s2 + t2, s3 + t3), y + r, rows - r);
        }
    }

    /// <summary>
    /// Brings into cache what the loop comes to some groups of rows later. Rows that are read four side by side, and end within a page, are too short a pattern for the
    /// hardware to run ahead of; a group's rows lie behind each other, so that the same count of bytes is fetched as is read.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FetchAhead(byte* group, nint at, int bytes)
    {
        byte* from = group + AheadBytes + RowsAtOnce * at;
        for (int line = 0; line < RowsAtOnce * bytes; line += 64)
            Sse.Prefetch0(from + line);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BlockDots<T>(in WeightMatrix matrix, int first, int rows, float* x, float* y) where T : struct, IBlocks
    {
        for (int r = 0; r < rows; r += RowsAtOnce)
        {
            Rows(in matrix, first, r, rows, out byte* row0, out byte* row1, out byte* row2, out byte* row3);
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            nint at = 0;
            for (int k = 0; k < matrix.Columns; k += 2 * Width, at += T.Bytes)
            {
                FetchAhead(row0, at, T.Bytes);
                Vector512<float> x0 = Vector512.Load(x + k), x1 = Vector512.Load(x + k + Width);
                Vector128<float> scales = HalfPrecision.ToSingle(
                    Vector128.Create(*(short*)(row0 + at), *(short*)(row1 + at), *(short*)(row2 + at), *(short*)(row3 + at)).ToVector256Unsafe()).GetLower();
                s0 = AddBlock<T>(row0 + at, x0, x1, scales[0], s0);
                s1 = AddBlock<T>(row1 + at, x0, x1, scales[1], s1);
                s2 = AddBlock<T>(row2 + at, x0, x1, scales[2], s2);
                s3 = AddBlock<T>(row3 + at, x0, x1, scales[3], s3);
            }

            Put(Sums(s0, s1, s2, s3), y + r, rows - r);
        }
    }

    // The block's integers are multiplied first and its scale last: one multiplication by the scale for the two halves.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> AddBlock<T>(byte* block, Vector512<float> x0, Vector512<float> x1, float scale, Vector512<float> sum) where T : struct, IBlocks
    {
        T.Load(block, out Vector512<float> low, out Vector512<float> high);
        return Vector512.FusedMultiplyAdd(Vector512.FusedMultiplyAdd(high, x1, low * x0), Vector512.Create(scale), sum);
    }

    // Past the last row the last one is read again, so that every row is summed in the same way wherever it falls.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rows(in WeightMatrix matrix, int first, int r, int rows, out byte* row0, out byte* row1, out byte* row2, out byte* row3)
    {
        int last = first + rows - 1;
        row0 = matrix.Row(first + r);
        row1 = matrix.Row(Math.Min(first + r + 1, last));
        row2 = matrix.Row(Math.Min(first + r + 2, last));
        row3 = matrix.Row(Math.Min(first + r + 3, last));
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenBlocks<T>(byte* source, int count, float* destination) where T : struct, IBlocks
    {
        for (int i = 0; i < count; i += 2 * Width, source += T.Bytes)
        {
            T.Load(source, out Vector512<float> low, out Vector512<float> high);
            Vector512<float> scale = HalfPrecision.ToSingle(Vector512.Create((int)*(short*)source));
            (low * scale).Store(destination + i);
            (high * scale).Store(destination + i + Width);
        }
    }

    private readonly struct F32 : IElements
    {
        public static ElementType Type => ElementType.F32;

        public static int Bytes => Width * 4;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) => Vector512.Load((float*)source);
    }

    private readonly struct BF16 : IElements
    {
        public static ElementType Type => ElementType.BF16;

        public static int Bytes => Width * 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) =>
            (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)source)) << 16).AsSingle();
    }

    private readonly struct F16 : IElements
    {
        public static ElementType Type => ElementType.F16;

        public static int Bytes => Width * 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source) =>
            HalfPrecision.ToSingle(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)));
    }

    private readonly struct Q8 : IBlocks
    {
        public static int Bytes => 34;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Load(byte* block, out Vector512<float> low, out Vector512<float> high)
        {
            low = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load((sbyte*)block + 2)));
            high = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load((sbyte*)block + 18)));
        }
    }

    private readonly struct Q4 : IBlocks
    {
        public static int Bytes => 18;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Load(byte* block, out Vector512<float> low, out Vector512<float> high)
        {
            Vector128<byte> packed = Vector128.Load(block + 2);
            low = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(packed & Vector128.Create((byte)15)) - Vector512.Create(8));
            high = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(packed >>> 4) - Vector512.Create(8));
        }
    }
}
