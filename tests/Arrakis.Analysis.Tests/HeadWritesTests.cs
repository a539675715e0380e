using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Write norms, shares and OV norms against the double-precision reference on awkward shapes.</summary>
public sealed class HeadWritesTests
{
    // Float32 sums of a few hundred terms, from the very z that the reference is given, relative to the largest. Measured: below 1e-6.
    private const double Tolerance = 1e-5;

    [Fact]
    public void Equal_the_reference_on_random_models() => RandomShapes.Inputs(mostTokens: 40).Sample(input =>
    {
        using Analysed run = Analysed.Of(input);
        Same(run, run.Frozen, input.Config.NumHiddenLayers - 1);
    }, iter: 60);

    /// <summary>From z alone, and wherever the sequence begins: nothing else is needed for what was written.</summary>
    [Fact]
    public void Need_z_alone_and_no_beginning()
    {
        RandomInput input = ResidualsTests.Small;
        using Analysed run = Analysed.Of(input);
        HeadWrites whole = HeadWrites.Measure(run.Model, run.Cache, 1);
        using LlamaSession session = run.Model.CreateSession(RecordingPlan.Parse("z"), Engine.Options());
        session.Forward(input.Ids.AsSpan(0, 2));
        session.Append(input.Ids.AsSpan(2));
        Assert.Equal(2, session.Cache.Past);
        HeadWrites rest = HeadWrites.Measure(run.Model, session.Cache, 1);
        for (int h = 0; h < whole.Heads; h++)
        {
            // The engine's chunks change no bit, and tokens are independent of each other here.
            Assert.Equal(whole.Norms(h)[2..].ToArray(), rest.Norms(h).ToArray());
            Assert.Equal(whole.Shares(h)[2..].ToArray(), rest.Shares(h).ToArray());
        }
    }

    internal static void Same(Analysed run, ReferenceRun expected, int layer, AnalysisOptions? options = null)
    {
        HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, layer, options);
        Close.ToLargest(Flat(ReferenceAnalysis.WriteNorms(expected, layer)), ByHead(writes.Heads, h => writes.Norms(h)), Tolerance, "norms");
        Close.ToLargest(Flat(ReferenceAnalysis.WriteShares(expected, layer)), ByHead(writes.Heads, h => writes.Shares(h)), Tolerance, "shares");
        Close.ToLargest(ReferenceAnalysis.WriteStrengths(expected, layer), writes.Strengths, Tolerance, "strengths");
        double[] ov = [.. Enumerable.Range(0, writes.Heads).Select(h => ReferenceAnalysis.OvNorm(expected.Weights, layer, h))];
        Close.ToLargest(ov, writes.OvNorms, Tolerance, "OV norms");
        Close.ToLargest(ov, HeadWrites.FromWeights(run.Model, layer, options).Strengths, Tolerance, "OV norms from the weights alone");
        // The project's bound. Measured: below 1e-6.
        Assert.True(writes.ShareError < 1e-5, $"shares are off by {writes.ShareError}");
    }

    internal static double[] Flat(double[][] rows) => [.. rows.SelectMany(row => row)];

    internal delegate ReadOnlySpan<float> Row(int head);

    internal static double[] ByHead(int heads, Row row) => [.. Enumerable.Range(0, heads).SelectMany(h => Engine.Widen(row(h)))];
}
