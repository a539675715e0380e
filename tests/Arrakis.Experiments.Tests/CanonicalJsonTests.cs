using System.Globalization;
using System.Text.Json;

namespace Arrakis.Experiments.Tests;

public sealed class CanonicalJsonTests
{
    /// <summary>The samples of RFC 8785, appendix B, by their bits.</summary>
    [Theory]
    [InlineData(0x0000000000000000, "0")]
    [InlineData(0x8000000000000000, "0")]
    [InlineData(0x0000000000000001, "5e-324")]
    [InlineData(0x8000000000000001, "-5e-324")]
    [InlineData(0x7fefffffffffffff, "1.7976931348623157e+308")]
    [InlineData(0x4340000000000000, "9007199254740992")]
    [InlineData(0x4430000000000000, "295147905179352830000")]
    [InlineData(0x44b52d02c7e14af5, "9.999999999999997e+22")]
    [InlineData(0x44b52d02c7e14af6, "1e+23")]
    [InlineData(0x44b52d02c7e14af7, "1.0000000000000001e+23")]
    [InlineData(0x444b1ae4d6e2ef4e, "999999999999999700000")]
    [InlineData(0x444b1ae4d6e2ef4f, "999999999999999900000")]
    [InlineData(0x444b1ae4d6e2ef50, "1e+21")]
    [InlineData(0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7")]
    [InlineData(0x3eb0c6f7a0b5ed8d, "0.000001")]
    [InlineData(0x41b3de4355555553, "333333333.3333332")]
    [InlineData(0x41b3de4355555557, "333333333.33333343")]
    [InlineData(0xbecbf647612f3696, "-0.0000033333333333333333")]
    [InlineData(0x43143ff3c1cb0959, "1424953923781206.2")]
    public void Numbers_are_written_as_ECMAScript_writes_them(ulong bits, string expected) =>
        Assert.Equal(expected, CanonicalJson.Number(BitConverter.UInt64BitsToDouble(bits)));

    [Fact]
    public void Numbers_come_back()
    {
        var random = new Random(1);
        for (int i = 0; i < 100_000; i++)
        {
            double value = BitConverter.Int64BitsToDouble(random.NextInt64());
            if (double.IsFinite(value))
                Assert.Equal(value, double.Parse(CanonicalJson.Number(value), CultureInfo.InvariantCulture));
        }
    }

    [Theory]
    [InlineData("""{ "b" : [ 1.0, 1e0, 10 ] , "a":{"z":null,"y":true} }""", """{"a":{"y":true,"z":null},"b":[1,1,10]}""")]
    [InlineData("\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\"", "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"")]
    [InlineData("""{"\u20ac":1,"\r":2,"1":3,"\ud83d\ude00":4,"\u0080":5,"\u00f6":6}""", "{\"\\r\":2,\"1\":3,\"\u0080\":5,\"ö\":6,\"€\":1,\"😀\":4}")]
    [InlineData("[18446744073709551615, -0, 0.10]", "[18446744073709551615,0,0.1]")]
    public void One_text_for_every_way_of_writing(string written, string expected) =>
        Assert.Equal(expected, CanonicalJson.Write(JsonDocument.Parse(written).RootElement));

    [Fact]
    public void The_hash_is_that_of_the_text()
    {
        // printf '{"a":1}' | sha256sum
        Assert.Equal(
            "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862", CanonicalJson.Hash(JsonDocument.Parse("""{ "a": 1.0 }""").RootElement));
    }
}
