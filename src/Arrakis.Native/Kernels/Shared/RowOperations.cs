using System.Numerics.Tensors;

namespace Arrakis.Native.Kernels;

/// <summary>
/// The operations on one row that every vector tier shares: System.Numerics.Tensors does them at the speed of the memory they pass over,
/// so there is nothing to gain by hand.
/// </summary>
internal static unsafe class RowOperations
{
    // Rows are taken in pieces whose intermediate stays in L1.
    private const int Piece = 1024;

    // The widest vector that TensorPrimitives may use.
    private const int Lanes = 16;

    public static float Normalize(float* x, float* y, int length, float epsilon)
    {
        var source = new ReadOnlySpan<float>(x, length);
        float r = MathF.Sqrt(TensorPrimitives.SumOfSquares(source) / length + epsilon);
        TensorPrimitives.Divide(source, r, new Span<float>(y, length));
        return r;
    }

    public static void Multiply(float* x, float* w, float* y, int length) =>
        TensorPrimitives.Multiply(new ReadOnlySpan<float>(x, length), new ReadOnlySpan<float>(w, length), new Span<float>(y, length));

    public static void Add(float* a, float* b, float* y, int length) =>
        TensorPrimitives.Add(new ReadOnlySpan<float>(a, length), new ReadOnlySpan<float>(b, length), new Span<float>(y, length));

    public static void Scale(float* x, float factor, float* y, int length) =>
        TensorPrimitives.Multiply(new ReadOnlySpan<float>(x, length), factor, new Span<float>(y, length));

    public static void SiluMultiply(float* gate, float* up, float* y, int length)
    {
        float* scratch = stackalloc float[2 * Piece];
        for (int start = 0; start < length; start += Piece)
        {
            int count = Math.Min(Piece, length - start), whole = (count + Lanes - 1) / Lanes * Lanes;
            var gates = new Span<float>(scratch, whole);
            var silu = new Span<float>(scratch + Piece, whole);
            // Fewer numbers than a vector would be computed one by one, in other bits: a value's bits must not depend on what lies beside it.
            new ReadOnlySpan<float>(gate + start, count).CopyTo(gates);
            gates[count..].Clear();
            TensorPrimitives.Sigmoid(gates, silu);
            TensorPrimitives.Multiply(silu, gates, silu);
            TensorPrimitives.Multiply(silu[..count], new ReadOnlySpan<float>(up + start, count), new Span<float>(y + start, count));
        }
    }

    public static void Softmax(float* x, float* y, int length)
    {
        var source = new ReadOnlySpan<float>(x, length);
        var result = new Span<float>(y, length);
        TensorPrimitives.Subtract(source, TensorPrimitives.Max(source), result);
        TensorPrimitives.Exp(result, result);
        TensorPrimitives.Divide(result, TensorPrimitives.Sum(result), result);
    }

    /// <summary>The pairs (i, half + i) from <paramref name="first"/> on, one at a time.</summary>
    public static void RotateHalves(float* x, float* y, int half, int first, float* cos, float* sin)
    {
        for (int i = first; i < half; i++)
            (y[i], y[half + i]) = (x[i] * cos[i] - x[half + i] * sin[i], x[half + i] * cos[i] + x[i] * sin[i]);
    }

    /// <summary>The pairs (2i, 2i + 1) from <paramref name="first"/> on, one at a time.</summary>
    public static void RotatePairs(float* x, float* y, int half, int first, float* cos, float* sin)
    {
        for (int i = first; i < half; i++)
            (y[2 * i], y[2 * i + 1]) = (x[2 * i] * cos[i] - x[2 * i + 1] * sin[i], x[2 * i + 1] * cos[i] + x[2 * i] * sin[i]);
    }
}
