using System.Numerics.Tensors;

namespace Arrakis.Benchmarks.Peers;

/// <summary>The matrix product that .NET's own library offers: one <see cref="TensorPrimitives.Dot{T}"/> for every number of it.</summary>
internal static unsafe class DotProducts
{
    /// <summary>y [tokens, outputs] = x [tokens, inputs] · wᵀ with w [outputs, inputs]; a few rows of w at a time, which stay in cache for all tokens.</summary>
    public static void Multiply(float* x, float* w, float* y, int tokens, int inputs, int outputs)
    {
        const int RowsAtOnce = 32;
        for (int first = 0; first < outputs; first += RowsAtOnce)
        {
            int end = Math.Min(first + RowsAtOnce, outputs);
            for (nint t = 0; t < tokens; t++)
            {
                var token = new ReadOnlySpan<float>(x + t * inputs, inputs);
                for (nint n = first; n < end; n++)
                    y[t * outputs + n] = TensorPrimitives.Dot(token, new ReadOnlySpan<float>(w + n * inputs, inputs));
            }
        }
    }
}
