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

    private static void ElementDots<T>(in WeightMatrix matrix, int first, int rows, float* x, float* y) where T : struct, IElements
    {
        int columns = matrix.Columns;
        float* tail = stackalloc float[Width];
        for (int r = 0; r < rows; r++)
        {
            byte* row = matrix.Row(first + r);
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            int k = 0;
            for (; k + 4 * Width <= columns; k += 4 * Width, row += 4 * T.Bytes)
            {
                s0 = Vector512.FusedMultiplyAdd(T.Load(row), Vector512.Load(x + k), s0);
                s1 = Vector512.FusedMultiplyAdd(T.Load(row + T.Bytes), Vector512.Load(x + k + Width), s1);
                s2 = Vector512.FusedMultiplyAdd(T.Load(row + 2 * T.Bytes), Vector512.Load(x + k + 2 * Width), s2);
                s3 = Vector512.FusedMultiplyAdd(T.Load(row + 3 * T.Bytes), Vector512.Load(x + k + 3 * Width), s3);
            }

            for (; k + Width <= columns; k += Width, row += T.Bytes)
                s0 = Vector512.FusedMultiplyAdd(T.Load(row), Vector512.Load(x + k), s0);
            float sum = Vector512.Sum((s0 + s1) + (s2 + s3));
            ScalarKernels.Widen(T.Type, row, columns - k, tail);
            for (int i = 0; k < columns; k++, i++)
                sum += tail[i] * x[k];
            y[r] = sum;
        }
    }

    private static void BlockDots<T>(in WeightMatrix matrix, int first, int rows, float* x, float* y) where T : struct, IBlocks
    {
        for (int r = 0; r < rows; r++)
        {
            byte* block = matrix.Row(first + r);
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0;
            for (int k = 0; k < matrix.Columns; k += 2 * Width, block += T.Bytes)
            {
                T.Load(block, out Vector512<float> low, out Vector512<float> high);
                Vector512<float> scale = Vector512.Create(ScaleOf(block));
                s0 = Vector512.FusedMultiplyAdd(low * scale, Vector512.Load(x + k), s0);
                s1 = Vector512.FusedMultiplyAdd(high * scale, Vector512.Load(x + k + Width), s1);
            }

            y[r] = Vector512.Sum(s0 + s1);
        }
    }

    private static void WidenElements<T>(byte* source, int count, float* destination) where T : struct, IElements
    {
        int i = 0;
        for (; i + Width <= count; i += Width, source += T.Bytes)
            T.Load(source).Store(destination + i);
        ScalarKernels.Widen(T.Type, source, count - i, destination + i);
    }

    private static void WidenBlocks<T>(byte* source, int count, float* destination) where T : struct, IBlocks
    {
        for (int i = 0; i < count; i += 2 * Width, source += T.Bytes)
        {
            T.Load(source, out Vector512<float> low, out Vector512<float> high);
            Vector512<float> scale = Vector512.Create(ScaleOf(source));
            (low * scale).Store(destination + i);
            (high * scale).Store(destination + i + Width);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float ScaleOf(byte* block) => (float)Unsafe.ReadUnaligned<Half>(block);

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

        // .NET has no class for F16C. A half's exponent and mantissa, moved into a single's place, are an exponent 112 too small. Adding 224 and then
        // multiplying by 2^-112 mends that, and takes an exponent of 31 (infinity, NaN) to 255, which the multiplication leaves alone. A half below
        // 2^-14 has no implicit one: its mantissa m is placed below 0.5 as 0.5 + m·2^-24 and 0.5 taken away, so that no slow subnormal is multiplied.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Load(byte* source)
        {
            Vector512<uint> bits = Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)source)) << 16;
            Vector512<uint> sign = bits & Vector512.Create(0x8000_0000u);
            Vector512<uint> magnitude = bits + bits;
            Vector512<float> normal = ((magnitude >>> 4) + Vector512.Create(224u << 23)).AsSingle() * Vector512.Create(0x0780_0000u).AsSingle();
            Vector512<float> subnormal = ((magnitude >>> 17) | Vector512.Create(126u << 23)).AsSingle() - Vector512.Create(0.5f);
            Vector512<uint> small = Vector512.LessThan(magnitude, Vector512.Create(1u << 27));
            return (Vector512.ConditionalSelect(small, subnormal.AsUInt32(), normal.AsUInt32()) | sign).AsSingle();
        }
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
