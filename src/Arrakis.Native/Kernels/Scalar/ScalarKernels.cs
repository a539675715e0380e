using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

/// <summary>Every operation as a plain loop in float32: slow, and the meaning of all the others.</summary>
internal readonly unsafe struct ScalarKernels : IKernels
{
    public static KernelTier Tier => KernelTier.Scalar;

    public static int Lanes => 1;

    public static int TileVectors => 1;

    public static int TileRows => 1;

    public static void Tile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead)
    {
        float sum = 0;
        for (int k = 0; k < depth; k++)
            sum += a[k * aStep] * panel[k * panelStride];
        c[0] = accumulate ? c[0] + sum : sum;
    }

    public static void Transpose(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns)
    {
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
                destination[j * destinationStride + i] = source[i * sourceStride + j];
        }
    }

    public static void Dots(in WeightMatrix matrix, int first, int rows, float* x, float* y)
    {
        int length = matrix.Type.BlockLength();
        int bytes = matrix.Type.BlockBytes();
        float* block = stackalloc float[length];
        for (int r = 0; r < rows; r++)
        {
            byte* row = matrix.Row(first + r);
            float sum = 0;
            for (int k = 0; k < matrix.Columns; k += length, row += bytes)
            {
                Widen(matrix.Type, row, length, block);
                for (int i = 0; i < length; i++)
                    sum += block[i] * x[k + i];
            }

            y[r] = sum;
        }
    }

    public static void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y, bool accumulate)
    {
        for (int j = 0; j < columns; j++)
        {
            float sum = 0;
            for (int i = 0; i < count; i++)
                sum += weights[i] * rows[i * stride + j];
            y[j] = accumulate ? y[j] + sum : sum;
        }
    }

    public static void Widen(ElementType type, byte* source, int count, float* destination) =>
        BlockFormats.Widen(type, new ReadOnlySpan<byte>(source, checked((int)type.RowBytes(count))), new Span<float>(destination, count));

    public static void Rotate(float* x, float* y, int headDim, float* cos, float* sin, RotaryLayout layout)
    {
        int half = headDim / 2;
        for (int i = 0; i < half; i++)
        {
            int first = layout == RotaryLayout.Halves ? i : 2 * i;
            int second = layout == RotaryLayout.Halves ? i + half : 2 * i + 1;
            float a = x[first];
            float b = x[second];
            y[first] = a * cos[i] - b * sin[i];
            y[second] = b * cos[i] + a * sin[i];
        }
    }

    public static float Normalize(float* x, float* y, int length, float epsilon)
    {
        float squares = 0;
        for (int i = 0; i < length; i++)
            squares += x[i] * x[i];
        float r = MathF.Sqrt(squares / length + epsilon);
        for (int i = 0; i < length; i++)
            y[i] = x[i] / r;
        return r;
    }

    public static void Multiply(float* x, float* w, float* y, int length)
    {
        for (int i = 0; i < length; i++)
            y[i] = x[i] * w[i];
    }

    public static void Add(float* a, float* b, float* y, int length)
    {
        for (int i = 0; i < length; i++)
            y[i] = a[i] + b[i];
    }

    public static void Scale(float* x, float factor, float* y, int length)
    {
        for (int i = 0; i < length; i++)
            y[i] = x[i] * factor;
    }

    public static void SiluMultiply(float* gate, float* up, float* y, int length)
    {
        for (int i = 0; i < length; i++)
            y[i] = gate[i] / (1 + MathF.Exp(-gate[i])) * up[i];
    }

    public static void Softmax(float* x, float* y, int length)
    {
        float max = x[0];
        for (int i = 1; i < length; i++)
            max = MathF.Max(max, x[i]);
        float sum = 0;
        for (int i = 0; i < length; i++)
        {
            y[i] = MathF.Exp(x[i] - max);
            sum += y[i];
        }

        for (int i = 0; i < length; i++)
            y[i] /= sum;
    }

    public static void TransposeAway(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns) =>
        Transpose(source, sourceStride, destination, destinationStride, rows, columns);

    public static void ScaleAndMask(float* x, int keys, int width, float scale, int diagonal, float* most)
    {
        for (int i = 0; i < width; i++)
        {
            most[i] = float.NegativeInfinity;
            for (nint s = 0; s < keys; s++)
            {
                x[s * width + i] = s <= diagonal + i ? x[s * width + i] * scale : float.NegativeInfinity;
                most[i] = MathF.Max(most[i], x[s * width + i]);
            }
        }
    }

    public static void SoftmaxColumns(float* x, int keys, int width, float* most)
    {
        for (int i = 0; i < width; i++)
        {
            float sum = 0;
            for (nint s = 0; s < keys; s++)
            {
                x[s * width + i] = MathF.Exp(x[s * width + i] - most[i]);
                sum += x[s * width + i];
            }

            for (nint s = 0; s < keys; s++)
                x[s * width + i] /= sum;
        }
    }
}
