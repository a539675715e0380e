using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

/// <summary>
/// <see cref="Vector{T}"/>: whatever vectors the machine has, at whatever width. What cannot be said without naming an instruction
/// (interleaving, quantised blocks) is done a piece at a time in cache.
/// </summary>
internal readonly unsafe partial struct VectorKernels : IKernels
{
    // Elements widened at a time: whole blocks of every type, and 1 KiB of stack.
    private const int Piece = 256;

    private static int Width
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector<float>.Count;
    }

    public static KernelTier Tier => KernelTier.Vector;

    public static int Lanes => Width;

    public static int TileVectors => 2;

    public static int TileRows => 4;

    public static void TransposeAway(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns) =>
        Transpose(source, sourceStride, destination, destinationStride, rows, columns);

    public static void Transpose(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns) =>
        ScalarKernels.Transpose(source, sourceStride, destination, destinationStride, rows, columns);

    public static void Dots(in WeightMatrix matrix, int first, int rows, float* x, float* y)
    {
        float* piece = stackalloc float[Piece];
        for (int r = 0; r < rows; r++)
        {
            byte* row = matrix.Row(first + r);
            if (matrix.Type == ElementType.F32)
            {
                y[r] = Dot((float*)row, x, matrix.Columns);
                continue;
            }

            float sum = 0;
            for (int k = 0; k < matrix.Columns; k += Piece)
            {
                int count = Math.Min(Piece, matrix.Columns - k);
                Widen(matrix.Type, row + matrix.Type.RowBytes(k), count, piece);
                sum += Dot(piece, x + k, count);
            }

            y[r] = sum;
        }
    }

    public static void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y, bool accumulate)
    {
        int j = 0;
        for (; j + Width <= columns; j += Width)
        {
            Vector<float> sum = Vector<float>.Zero;
            for (int i = 0; i < count; i++)
                sum = Vector.MultiplyAddEstimate(Vector.Create(weights[i]), Vector.Load(rows + i * stride + j), sum);
            Vector.Store(accumulate ? Vector.Load(y + j) + sum : sum, y + j);
        }

        ScalarKernels.WeightedSum(weights, count, rows + j, stride, columns - j, y + j, accumulate);
    }

    public static void Widen(ElementType type, byte* source, int count, float* destination)
    {
        if (type == ElementType.F16)
        {
            TensorPrimitives.ConvertToSingle(new ReadOnlySpan<Half>(source, count), new Span<float>(destination, count));
            return;
        }

        int i = 0;
        if (type == ElementType.BF16)
        {
            for (; i + 2 * Width <= count; i += 2 * Width)
            {
                Vector.Widen(Vector.Load((ushort*)source + i), out Vector<uint> low, out Vector<uint> high);
                Vector.Store(Vector.AsVectorSingle(low << 16), destination + i);
                Vector.Store(Vector.AsVectorSingle(high << 16), destination + i + Width);
            }
        }

        ScalarKernels.Widen(type, source + type.RowBytes(i), count - i, destination + i);
    }

    public static void Rotate(float* x, float* y, int headDim, float* cos, float* sin, RotaryLayout layout)
    {
        int half = headDim / 2;
        if (layout == RotaryLayout.Pairs)
        {
            RowOperations.RotatePairs(x, y, half, 0, cos, sin);
            return;
        }

        int i = 0;
        for (; i + Width <= half; i += Width)
        {
            Vector<float> a = Vector.Load(x + i), b = Vector.Load(x + half + i);
            Vector<float> c = Vector.Load(cos + i), s = Vector.Load(sin + i);
            Vector.Store(a * c - b * s, y + i);
            Vector.Store(b * c + a * s, y + half + i);
        }

        RowOperations.RotateHalves(x, y, half, i, cos, sin);
    }

    private static float Dot(float* a, float* b, int length)
    {
        Vector<float> s0 = Vector<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int k = 0;
        for (; k + 4 * Width <= length; k += 4 * Width)
        {
            s0 = Vector.MultiplyAddEstimate(Vector.Load(a + k), Vector.Load(b + k), s0);
            s1 = Vector.MultiplyAddEstimate(Vector.Load(a + k + Width), Vector.Load(b + k + Width), s1);
            s2 = Vector.MultiplyAddEstimate(Vector.Load(a + k + 2 * Width), Vector.Load(b + k + 2 * Width), s2);
            s3 = Vector.MultiplyAddEstimate(Vector.Load(a + k + 3 * Width), Vector.Load(b + k + 3 * Width), s3);
        }

        for (; k + Width <= length; k += Width)
            s0 = Vector.MultiplyAddEstimate(Vector.Load(a + k), Vector.Load(b + k), s0);
        float sum = Vector.Sum((s0 + s1) + (s2 + s3));
        for (; k < length; k++)
            sum += a[k] * b[k];
        return sum;
    }
}
