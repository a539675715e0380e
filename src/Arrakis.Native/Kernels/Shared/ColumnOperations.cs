using System.Numerics;
using System.Numerics.Tensors;

namespace Arrakis.Native.Kernels;

/// <summary>The operations on columns of scores, [keys, queries], for every vector tier that has none of its own.</summary>
internal static unsafe class ColumnOperations
{
    public static void ScaleAndMask(float* x, int keys, int width, float scale, int diagonal, float* most)
    {
        new Span<float>(most, width).Fill(float.NegativeInfinity);
        for (int s = 0; s < keys; s++, x += width)
        {
            // Queries before s − diagonal do not see this key.
            int hidden = Math.Clamp(s - diagonal, 0, width);
            new Span<float>(x, hidden).Fill(float.NegativeInfinity);
            int i = hidden;
            for (; i + Vector<float>.Count <= width; i += Vector<float>.Count)
            {
                Vector<float> scaled = Vector.Load(x + i) * scale;
                scaled.Store(x + i);
                Vector.Max(Vector.Load(most + i), scaled).Store(most + i);
            }

            for (; i < width; i++)
            {
                x[i] *= scale;
                most[i] = MathF.Max(most[i], x[i]);
            }
        }
    }

    public static void SoftmaxColumns(float* x, int keys, int width, float* most)
    {
        var all = new Span<float>(x, checked(keys * width));
        var row = new ReadOnlySpan<float>(most, width);
        for (int start = 0; start < all.Length; start += width)
            TensorPrimitives.Subtract(all.Slice(start, width), row, all.Slice(start, width));
        TensorPrimitives.Exp(all, all);
        var sums = new Span<float>(most, width);
        sums.Clear();
        for (int start = 0; start < all.Length; start += width)
            TensorPrimitives.Add(sums, all.Slice(start, width), sums);
        for (int start = 0; start < all.Length; start += width)
            TensorPrimitives.Divide(all.Slice(start, width), sums, all.Slice(start, width));
    }
}
