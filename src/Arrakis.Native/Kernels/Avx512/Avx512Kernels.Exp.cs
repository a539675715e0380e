using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

// What rests on e^x. TensorPrimitives.Exp widens to double and takes a pass over memory for every step; here the steps of a row stay in registers,
// which is several times faster.
internal readonly unsafe partial struct Avx512Kernels
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SiluMultiply(float* gate, float* up, float* y, int length)
    {
        int i = 0;
        for (; i + Width <= length; i += Width)
            Silu(Vector512.Load(gate + i), Vector512.Load(up + i)).Store(y + i);
        if (i == length)
            return;
        Vector512<float> rest = First(length - i);
        Avx512F.MaskStore(y + i, rest, Silu(LoadFirst(gate + i, rest), LoadFirst(up + i, rest)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax(float* x, float* y, int length)
    {
        int whole = length / Width * Width;
        Vector512<float> rest = First(length - whole);
        Vector512<float> most = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < whole; i += Width)
            most = Avx512F.Max(most, Vector512.Load(x + i));
        most = Avx512F.Max(most, Avx512F.MaskLoad(x + whole, rest, most));
        most = Vector512.Create(MaxOf(most));
        Vector512<float> sum = Vector512<float>.Zero;
        for (int i = 0; i < whole; i += Width)
        {
            Vector512<float> e = Exp(Vector512.Load(x + i) - most);
            e.Store(y + i);
            sum += e;
        }

        Vector512<float> last = Exp(LoadFirst(x + whole, rest) - most) & rest;
        sum = Vector512.Create(Vector512.Sum(sum + last));
        for (int i = 0; i < whole; i += Width)
            (Vector512.Load(y + i) / sum).Store(y + i);
        Avx512F.MaskStore(y + whole, rest, last / sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScaleAndMask(float* x, int keys, int width, float scale, int diagonal, float* most)
    {
        Vector512<float> factor = Vector512.Create(scale), hidden = Vector512.Create(float.NegativeInfinity);
        for (int j = 0; j < width; j += Width)
        {
            Vector512<float> largest = hidden;
            float* row = x + j;
            int s = 0;
            // Up to here all sixteen queries see the key.
            for (int open = Math.Min(keys, diagonal + j + 1); s < open; s++, row += width)
            {
                Vector512<float> scaled = Vector512.Load(row) * factor;
                scaled.Store(row);
                largest = Avx512F.Max(largest, scaled);
            }

            for (; s < keys; s++, row += width)
            {
                Vector512<float> scaled = Vector512.ConditionalSelect(First(s - diagonal - j), hidden, Vector512.Load(row) * factor);
                scaled.Store(row);
                largest = Avx512F.Max(largest, scaled);
            }

            largest.Store(most + j);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SoftmaxColumns(float* x, int keys, int width, float* most)
    {
        for (int j = 0; j < width; j += Width)
        {
            Vector512<float> largest = Vector512.Load(most + j), sum = Vector512<float>.Zero;
            float* row = x + j;
            for (int s = 0; s < keys; s++, row += width)
            {
                Vector512<float> e = Exp(Vector512.Load(row) - largest);
                e.Store(row);
                sum += e;
            }

            Vector512<float> share = Vector512<float>.One / sum;
            row = x + j;
            for (int s = 0; s < keys; s++, row += width)
                (Vector512.Load(row) * share).Store(row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Silu(Vector512<float> gate, Vector512<float> up) => gate / (Vector512<float>.One + Exp(-gate)) * up;

    /// <summary>
    /// e^x to about one unit in the last place: x = n ln 2 + r with |r| ≤ ln 2 / 2, e^r by its Taylor series to r⁷ (the next term is below 2⁻²⁷ of it), times
    /// 2ⁿ. Overflows to infinity; what is below 2⁻¹²⁶, the smallest normal number, is zero; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Exp(Vector512<float> x)
    {
        // Subnormal results, and a scale that ends below them, cost an Intel core a call of microcode, some 300 cycles: a mask's −∞ would cost twenty times what a score does.
        Vector512<float> least = Vector512.Create(-87.33654f), visible = Avx512F.CompareNotLessThan(x, least);
        // Beyond these bounds the result is 0 or infinity, and n stays finite. Of two operands the instruction returns the second where one is NaN.
        x = Avx512F.Min(Vector512.Create(130f), Avx512F.Max(least, x));
        Vector512<float> n = Avx512F.RoundScale(x * Vector512.Create(1.44269504f), 0);
        // ln 2 in two parts: the first has few enough digits that n times it is exact.
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693359375f), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> e = Vector512.Create(1f / 5040);
        e = Vector512.FusedMultiplyAdd(e, r, Vector512.Create(1f / 720));
        e = Vector512.FusedMultiplyAdd(e, r, Vector512.Create(1f / 120));
        e = Vector512.FusedMultiplyAdd(e, r, Vector512.Create(1f / 24));
        e = Vector512.FusedMultiplyAdd(e, r, Vector512.Create(1f / 6));
        e = Vector512.FusedMultiplyAdd(e, r, Vector512.Create(0.5f));
        e = Vector512.FusedMultiplyAdd(e, r, Vector512<float>.One);
        e = Vector512.FusedMultiplyAdd(e, r, Vector512<float>.One);
        return Vector512.ConditionalSelect(visible, Avx512F.Scale(e, n), Vector512<float>.Zero);
    }

    /// <summary>The lanes below <paramref name="count"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> First(int count) => Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(count)).AsSingle();

    /// <summary>The lanes of a mask, zero elsewhere; nothing else is read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> LoadFirst(float* x, Vector512<float> mask) => Avx512F.MaskLoad(x, mask, Vector512<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float MaxOf(Vector512<float> x)
    {
        Vector256<float> half = Avx.Max(x.GetLower(), x.GetUpper());
        Vector128<float> quarter = Sse.Max(half.GetLower(), half.GetUpper());
        quarter = Sse.Max(quarter, Sse.MoveHighToLow(quarter, quarter));
        return Sse.MaxScalar(quarter, Sse.Shuffle(quarter, quarter, 1)).ToScalar();
    }
}
