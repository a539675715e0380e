using System.Numerics.Tensors;

namespace Arrakis.Analysis.Numerics;

/// <summary>Signed shares of a whole.</summary>
internal static class Shares
{
    // Between these a sum in float32 has neither lost small terms to underflow nor left the range.
    private const float Least = 1e-30f, Most = 1e30f;

    /// <summary>⟨part, whole⟩ / ‖whole‖²: signed, additive over the parts of a whole. <paramref name="ofNothing"/> where the whole is zero.</summary>
    public static double Of(ReadOnlySpan<float> part, ReadOnlySpan<float> whole, double ofNothing = 0)
    {
        double square = Dot(whole, whole);
        return square == 0 ? ofNothing : Dot(part, whole) / square;
    }

    /// <summary>⟨a, b⟩; in double where single precision has no room for it.</summary>
    public static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        float fast = TensorPrimitives.Dot(a, b);
        if (Math.Abs(fast) is > Least and < Most)
            return fast;
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
            sum += (double)a[i] * b[i];
        return sum;
    }
}
