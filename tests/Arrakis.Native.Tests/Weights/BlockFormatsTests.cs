using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class BlockFormatsTests
{
    [Theory]
    [InlineData(0x3F800000u, 0x3F80)] // 1
    [InlineData(0x3F808000u, 0x3F80)] // half way: to even
    [InlineData(0x3F818000u, 0x3F82)] // half way: to even
    [InlineData(0x3F808001u, 0x3F81)] // above half way
    [InlineData(0x7F7FFFFFu, 0x7F80)] // the largest single rounds to infinity
    [InlineData(0xFF800000u, 0xFF80)] // −infinity
    [InlineData(0x7F800001u, 0x7FC0)] // a NaN stays one
    [InlineData(0xFFFFFFFFu, 0xFFFF)]
    [InlineData(0x80000000u, 0x8000)] // −0
    public void BFloat16_rounds_to_even(uint single, int expected)
    {
        var bytes = new byte[2];
        BlockFormats.Encode(ElementType.BF16, [BitConverter.UInt32BitsToSingle(single)], bytes);
        Assert.Equal(expected, bytes[0] | bytes[1] << 8);
    }

    [Fact]
    public void Every_half_and_bfloat16_comes_back()
    {
        foreach (ElementType type in new[] { ElementType.F16, ElementType.BF16 })
        {
            for (int bits = 0; bits < 1 << 16; bits++)
            {
                byte[] bytes = [(byte)bits, (byte)(bits >> 8)], back = new byte[2];
                var number = new float[1];
                BlockFormats.Widen(type, bytes, number);
                BlockFormats.Encode(type, number, back);
                if (!float.IsNaN(number[0]))
                    Assert.Equal(bytes, back);
            }
        }
    }

    [Fact]
    public void Q8_0_is_as_ggml_stores_it()
    {
        var x = new float[32];
        for (int i = 0; i < 32; i++)
            x[i] = i - 12.5f;
        x[31] = -127;
        var block = new byte[34];
        BlockFormats.Encode(ElementType.Q8_0, x, block);
        Assert.Equal([0x00, 0x3C], block[..2]); // d = 1
        Assert.Equal(-13, (sbyte)block[2]); // −12.5: away from zero
        Assert.Equal(3, (sbyte)block[2 + 15]); // 2.5: away from zero
        Assert.Equal(-127, (sbyte)block[33]);
        BlockFormats.Widen(ElementType.Q8_0, block, x);
        Assert.Equal(-13, x[0]);
        Assert.Equal(-127, x[31]);
    }

    [Fact]
    public void Q4_0_is_as_ggml_stores_it()
    {
        var x = new float[32];
        x[0] = 8; // the largest: d = −1, q = 0
        x[1] = -7; // q = 15
        x[2] = -8; // 16.5, held at 15
        x[16] = 0.5f; // −0.5 + 8.5 = 8
        x[17] = -0.5f; // 0.5 + 8.5 = 9
        var block = new byte[18];
        BlockFormats.Encode(ElementType.Q4_0, x, block);
        Assert.Equal([0x00, 0xBC, 0x80, 0x9F, 0x8F, 0x88], block[..6]);
        BlockFormats.Widen(ElementType.Q4_0, block, x);
        Assert.Equal([8, -7, -7, 0], x[..4]);
        Assert.Equal([0, -1, 0], x[16..19]);
    }

    [Theory]
    [InlineData(ElementType.Q8_0)]
    [InlineData(ElementType.Q4_0)]
    public void Blocks_hold_what_is_awkward(ElementType type)
    {
        var block = new byte[type.BlockBytes()];
        var back = new float[32];
        Assert.All(RoundTrip(new float[32]), x => Assert.Equal(0, x));
        foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            var x = new float[32];
            x[17] = bad;
            Assert.All(RoundTrip(x), y => Assert.True(float.IsNaN(y)));
        }

        float[] tiny = new float[32], huge = new float[32];
        tiny[3] = float.Epsilon;
        huge[3] = float.MaxValue;
        Assert.All(RoundTrip(tiny), x => Assert.Equal(0, x));
        Assert.All(RoundTrip(huge), x => Assert.True(float.IsFinite(x)));
        Assert.True(back[3] > 100_000);

        float[] RoundTrip(float[] x)
        {
            BlockFormats.Encode(type, x, block);
            BlockFormats.Widen(type, block, back);
            return back;
        }
    }

    [Fact]
    public void Lengths_that_are_no_row_are_refused()
    {
        Assert.Throws<ArgumentException>(() => BlockFormats.Widen(ElementType.F32, new byte[7], new float[2]));
        Assert.Throws<ArgumentException>(() => BlockFormats.Widen(ElementType.Q8_0, new byte[34], new float[31]));
        Assert.Throws<ArgumentException>(() => BlockFormats.Encode(ElementType.Q4_0, new float[33], new byte[18]));
    }
}
