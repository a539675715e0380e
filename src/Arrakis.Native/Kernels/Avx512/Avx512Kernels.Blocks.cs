using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

// Products of quantised rows with one vector, and their widening.
internal readonly unsafe partial struct Avx512Kernels
{
    /// <summary>A block of 32 quantised elements: their integers as floats, and the scale they share.</summary>
    private interface IBlocks
    {
        static abstract int Bytes { get; }

        /// <summary>How far ahead of a row's product rows are fetched, in bytes.</summary>
        static abstract int Ahead { get; }

        /// <summary>
        /// Whether two rows are multiplied side by side, sharing what is loaded of x. Half a byte a number, memory brings rows faster than one at a time can be multiplied;
        /// of twice the bytes it does not, and two rows side by side only disturb what the hardware fetches (0.9 of the speed, where these have 1.15).
        /// </summary>
        static abstract bool InPairs { get; }

        static abstract void Load(byte* block, out Vector512<float> low, out Vector512<float> high);
    }

    [MethodImpl(AsWritten)]
    private static void BlockDots<T, THint>(in WeightMatrix matrix, int first, int rows, float* x, float* y)
        where T : struct, IBlocks
        where THint : struct, Streaming.IHint
    {
        int blocks = matrix.Columns / (2 * Width);
        float* scales = HalfTable.Floats;
        nint stride = matrix.RowBytes;
        byte* row = matrix.Row(first);
        for (int left = rows; left > 0; left -= RowsAtOnce, row += RowsAtOnce * stride, y += RowsAtOnce)
        {
            Rows(row, stride, left, out byte* row1, out byte* row2, out byte* row3);
            TimesTwo<T, THint>(row, row1, x, blocks, scales, out Vector512<float> sums0, out Vector512<float> sums1);
            TimesTwo<T, THint>(row2, row3, x, blocks, scales, out Vector512<float> sums2, out Vector512<float> sums3);
            Put(Sums(sums0, sums1, sums2, sums3), y, left);
        }
    }

    /// <summary>Two rows: side by side, or one after the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TimesTwo<T, THint>(byte* a, byte* b, float* x, int blocks, float* scales, out Vector512<float> sumsA, out Vector512<float> sumsB)
        where T : struct, IBlocks
        where THint : struct, Streaming.IHint
    {
        if (T.InPairs)
        {
            TimesPair<T, THint>(a, b, x, blocks, scales, out sumsA, out sumsB);
            return;
        }

        sumsA = Times<T, THint>(a, x, blocks, scales);
        sumsB = Times<T, THint>(b, x, blocks, scales);
    }

    /// <summary>Sixteen sums, which added are the product of x with a row of blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Times<T, THint>(byte* block, float* x, int blocks, float* scales)
        where T : struct, IBlocks
        where THint : struct, Streaming.IHint
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        byte* end = block + (nint)blocks * T.Bytes - 4 * T.Bytes;
        for (; block <= end; x += 8 * Width, block += 4 * T.Bytes)
        {
            Streaming.Fetch<THint>(block + T.Ahead, 4 * T.Bytes);
            s0 = AddBlock<T>(block, Vector512.Load(x), Vector512.Load(x + Width), scales, s0);
            s1 = AddBlock<T>(block + T.Bytes, Vector512.Load(x + 2 * Width), Vector512.Load(x + 3 * Width), scales, s1);
            s2 = AddBlock<T>(block + 2 * T.Bytes, Vector512.Load(x + 4 * Width), Vector512.Load(x + 5 * Width), scales, s2);
            s3 = AddBlock<T>(block + 3 * T.Bytes, Vector512.Load(x + 6 * Width), Vector512.Load(x + 7 * Width), scales, s3);
        }

        for (end += 4 * T.Bytes; block < end; x += 2 * Width, block += T.Bytes)
        {
            Streaming.Fetch<THint>(block + T.Ahead, T.Bytes);
            s0 = AddBlock<T>(block, Vector512.Load(x), Vector512.Load(x + Width), scales, s0);
        }

        return (s0 + s1) + (s2 + s3);
    }

    /// <summary>The same for two rows that lie one after the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TimesPair<T, THint>(byte* a, byte* b, float* x, int blocks, float* scales, out Vector512<float> sumsA, out Vector512<float> sumsB)
        where T : struct, IBlocks
        where THint : struct, Streaming.IHint
    {
        Vector512<float> a0 = Vector512<float>.Zero, a1 = a0, b0 = a0, b1 = a0;
        byte* end = a + (nint)blocks * T.Bytes, ahead = a + T.Ahead;
        for (; a + 2 * T.Bytes <= end; x += 4 * Width, a += 2 * T.Bytes, b += 2 * T.Bytes, ahead += 4 * T.Bytes)
        {
            Streaming.Fetch<THint>(ahead, 4 * T.Bytes);
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + Width), x2 = Vector512.Load(x + 2 * Width), x3 = Vector512.Load(x + 3 * Width);
            a0 = AddBlock<T>(a, x0, x1, scales, a0);
            b0 = AddBlock<T>(b, x0, x1, scales, b0);
            a1 = AddBlock<T>(a + T.Bytes, x2, x3, scales, a1);
            b1 = AddBlock<T>(b + T.Bytes, x2, x3, scales, b1);
        }

        if (a < end)
        {
            Streaming.Fetch<THint>(ahead, 2 * T.Bytes);
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + Width);
            a0 = AddBlock<T>(a, x0, x1, scales, a0);
            b0 = AddBlock<T>(b, x0, x1, scales, b0);
        }

        sumsA = a0 + a1;
        sumsB = b0 + b1;
    }

    // The block's integers are multiplied first and its scale last: one multiplication by the scale for the two halves.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> AddBlock<T>(byte* block, Vector512<float> xLow, Vector512<float> xHigh, float* scales, Vector512<float> sum) where T : struct, IBlocks
    {
        T.Load(block, out Vector512<float> low, out Vector512<float> high);
        return Vector512.FusedMultiplyAdd(
            Vector512.FusedMultiplyAdd(high, xHigh, low * xLow), Vector512.Create(scales[*(ushort*)block]), sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenBlocks<T>(byte* source, int count, float* destination) where T : struct, IBlocks
    {
        float* scales = HalfTable.Floats;
        for (int i = 0; i < count; i += 2 * Width, source += T.Bytes)
        {
            T.Load(source, out Vector512<float> low, out Vector512<float> high);
            Vector512<float> scale = Vector512.Create(scales[*(ushort*)source]);
            (low * scale).Store(destination + i);
            (high * scale).Store(destination + i + Width);
        }
    }

    private readonly struct Q8 : IBlocks
    {
        public static int Bytes => 34;

        public static int Ahead => Streaming.TwoPages;

        public static bool InPairs => false;

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

        public static int Ahead => Streaming.OnePage;

        public static bool InPairs => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Load(byte* block, out Vector512<float> low, out Vector512<float> high)
        {
            // Looked up: the four low bits of an index are all that counts.
            Vector512<float> values = Vector512.CreateSequence(-8f, 1f);
            Vector512<int> packed = Avx512F.ConvertToVector512Int32(Vector128.Load(block + 2));
            low = Avx512F.PermuteVar16x32(values, packed);
            high = Avx512F.PermuteVar16x32(values, packed >>> 4);
        }
    }
}
