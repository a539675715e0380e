using System.Numerics;
using Arrakis.Analysis.Numerics;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>
/// ‖y‖₁ − ‖f w − y‖₁ against its definition in double precision, at every length and number of parts, and where the plain difference has no digit left.
/// </summary>
public sealed unsafe class ProximityTests
{
    [Fact]
    public void Equals_the_definition_at_every_length() =>
        Gen.Select(Gen.Int[1, 70], Gen.Int[0, 9], Gen.Int[0, int.MaxValue]).Sample((columns, count, seed) => Check(columns, count, seed, whole: 1), iter: 500);

    // 1e6 has an ulp of 0.06: in the difference of the two sums parts of 0.01 would be lost.
    [Fact]
    public void Small_parts_of_a_large_whole_keep_their_digits() =>
        Gen.Select(Gen.Int[1, 70], Gen.Int[1, 9], Gen.Int[0, int.MaxValue]).Sample((columns, count, seed) => Check(columns, count, seed, whole: 1e6f), iter: 200);

    [Fact]
    public void A_parts_bits_do_not_depend_on_its_neighbours()
    {
        const int columns = 50, count = 7;
        int width = Proximity.Width(columns);
        float[] y = Padded(1, columns, width, 3, 1), parts = Padded(count, columns, width, 4, 1), factors = Padded(1, count, count, 5, 1), together = new float[count];
        fixed (float* yp = y, pp = parts, fp = factors, to = together)
        {
            Proximity.Of(yp, pp, fp, count, width, to);
            for (int j = 0; j < count; j++)
                Assert.Equal(Proximity.Of(yp, pp + j * width, fp[j], width), together[j]);
        }
    }

    private static void Check(int columns, int count, int seed, float whole)
    {
        int width = Proximity.Width(columns);
        Assert.Equal(0, width % Vector<float>.Count);
        float[] y = Padded(1, columns, width, seed, whole), parts = Padded(count, columns, width, seed + 1, 1), factors = Padded(1, count, count, seed + 2, 0.01f);
        // Zeros of either sign, in the whole and in the parts.
        y[0] = seed % 3 == 0 ? -0f : y[0];
        // One past the end shows a write too far.
        float[] near = new float[count + 1];
        near[count] = 42;
        fixed (float* yp = y, pp = parts, fp = factors, to = near)
            Proximity.Of(yp, pp, fp, count, width, to);
        Assert.Equal(42, near[count]);
        for (int j = 0; j < count; j++)
        {
            double expected = 0, size = 0;
            for (int d = 0; d < columns; d++)
            {
                double part = (double)factors[j] * parts[j * width + d];
                expected += Math.Abs((double)y[d]) - Math.Abs(part - y[d]);
                size += Math.Abs(part);
            }

            // 70 float32 terms, each rounded three times: 1e-6 of the sum of their sizes is some ten times what they come to. The expected value is itself a
            // difference of large doubles.
            Assert.Equal(expected, near[j], 1e-6 * size + 1e-15 * whole * columns);
        }
    }

    private static float[] Padded(int rows, int columns, int width, int seed, float scale)
    {
        var random = new Random(seed);
        float[] values = new float[rows * width];
        for (int i = 0; i < values.Length; i++)
            values[i] = i % width < columns ? scale * (float)(random.NextDouble() * 2 - 1) : 0;
        return values;
    }
}
