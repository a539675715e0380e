using System.Text.Json;

namespace Arrakis.Cli.Tests;

/// <summary><c>arrakis bench</c>: what it reports, and that it reports it of what was asked for; never how fast anything is.</summary>
public sealed class BenchTests
{
    [Theory]
    [InlineData("f32", "none", 0)]
    [InlineData("f16", "heads", 0)]
    [InlineData("bf16", "none", 3)]
    public void Reports_what_was_measured(string type, string record, int decode)
    {
        JsonElement bench = Called.Json("bench", "--shape", "stories-260k", "--tokens", "8", "--dtype", type, "--record", record, "--decode", $"{decode}", "--threads", "1");
        bench.HasKeys(
            "shape", "dtype", "tokens", "threads", "kernels", "record", "median_seconds", "min_seconds", "max_seconds", "runs", "tokens_per_second", "gflops",
            "recorded_bytes", "allocated_bytes", "decode");
        Assert.Equal(("stories-260k", type, record), (bench.GetProperty("shape").GetString(), bench.GetProperty("dtype").GetString(), bench.GetProperty("record").GetString()));
        Assert.Equal((8, 1), (bench.GetProperty("tokens").GetInt32(), bench.GetProperty("threads").GetInt32()));
        double median = bench.GetProperty("median_seconds").GetDouble();
        Assert.InRange(median, bench.GetProperty("min_seconds").GetDouble(), bench.GetProperty("max_seconds").GetDouble());
        Assert.Equal((decode > 0 ? decode : 8) / median, bench.GetProperty("tokens_per_second").GetDouble(), 1e-6 / median);
        // 5 layers of 2·64·64 + 2·64·32 + 3·64·172 weights, two operations each.
        Assert.Equal(453_120 * bench.GetProperty("tokens_per_second").GetDouble() / 1e9, bench.GetProperty("gflops").GetDouble(), 1e-9 / median);
        Assert.Equal(record == "none", bench.GetProperty("recorded_bytes").GetInt64() == 0);
    }

    [Theory]
    [InlineData("bench --shape gpt-2", "--shape is 'gpt-2'")]
    [InlineData("bench --dtype q4", "--dtype is 'q4'")]
    [InlineData("bench --shape stories-260k --tokens 600", "600 + 0 tokens are more than the shape's context of 512")]
    [InlineData("bench --record nonsense", "--record")]
    public void Refuses(string call, string says)
    {
        Called called = Called.With(call.Split(' '));
        Assert.Equal((2, ""), (called.Code, called.Output));
        Assert.Contains(says, called.Error);
    }
}
