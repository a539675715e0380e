using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Write norms, shares and OV norms against the double-precision reference on awkward shapes.</summary>
public sealed class HeadWritesTests
{
    // Float32 sums of a few hundred terms behind a few layers: 1e-6 of the largest; norms are roots of sums of squares, which doubles nothing but
    // small ones: a norm that is a thousandth of the largest has a root of 1e-6 · ‖z‖²‖W‖² in it.
    private const double Tolerance = 1e-4;

    [Fact]
    public void Equal_the_reference_on_random_models() => RandomShapes.Inputs(mostTokens: 40).Sample(input =>
    {
        using Analysed run = Analysed.Of(input);
        int layer = input.Config.NumHiddenLayers - 1;
        HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, layer);
        Close.ToLargest(Flat(ReferenceAnalysis.WriteNorms(run.Reference, layer)), ByHead(writes.Heads, h => writes.Norms(h)), Tolerance, "norms");
        Close.ToLargest(Flat(ReferenceAnalysis.WriteShares(run.Reference, layer)), ByHead(writes.Heads, h => writes.Shares(h)), Tolerance, "shares");
        Close.ToLargest(ReferenceAnalysis.WriteStrengths(run.Reference, layer), writes.Strengths, Tolerance, "strengths");
        double[] ov = [.. Enumerable.Range(0, writes.Heads).Select(h => ReferenceAnalysis.OvNorm(run.Reference.Weights, layer, h))];
        Close.ToLargest(ov, writes.OvNorms, Tolerance, "OV norms");
        Assert.True(writes.ShareError < 1e-4, $"shares are off by {writes.ShareError}");
    }, iter: 60);

    internal static double[] Flat(double[][] rows) => [.. rows.SelectMany(row => row)];

    internal delegate ReadOnlySpan<float> Row(int head);

    internal static double[] ByHead(int heads, Row row) => [.. Enumerable.Range(0, heads).SelectMany(h => Engine.Widen(row(h)))];
}
