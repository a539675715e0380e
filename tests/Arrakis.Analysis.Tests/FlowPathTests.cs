using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The search for paths against walking every path there is.</summary>
public sealed class FlowPathTests
{
    // As for totals (see FlowPropertyTests): a path is one product of the same matrices. Measured: below 1e-6.
    private const double Tolerance = 1e-5;

    // More than the (2 (1 + 2 · 3))³ = 2744 paths of three layers, two heads and three tokens.
    private const int All = 4000;

    [Fact]
    public void All_paths_are_found_and_carry_what_they_carry() => FlowCases.Tiny.Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run, o => o with { Paths = All });
        (Dictionary<string, double> expected, double scale) = Walk(question, run);
        Dictionary<string, double> found = trace.Paths.ToDictionary(Key, p => p.Flow);
        foreach ((string path, double flow) in expected)
        {
            // What carries nothing is no path of the search, and may be too small a number for float32.
            Assert.True(found.Remove(path, out double actual) || Math.Abs(flow) <= 1e-30 * scale, $"{path} of {flow} was not found");
            Close.To(flow, actual, Tolerance, path, scale);
        }

        Assert.Empty(found);
        Assert.True(trace.PathsExhaustive);
        Assert.Equal(trace.Paths.OrderByDescending(p => Math.Abs(p.Flow)).Select(p => p.Flow), trace.Paths.Select(p => p.Flow));
        Close.To(trace.Total, trace.Coverage * trace.Total, Tolerance, "coverage of all", scale);
        Close.To(trace.Total, trace.Paths.Sum(p => p.Flow), Tolerance, "Σ paths", scale);
    }, iter: 60);

    /// <summary>The two ways in which the trace knows a flow: by its sweeps, and by its paths.</summary>
    [Fact]
    public void Paths_over_an_edge_add_up_to_its_flow() => FlowCases.Tiny.Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run, o => o with { Paths = All });
        (_, double scale) = Walk(question, run);
        double Through(Func<FlowStep, bool> step) => trace.Paths.Where(p => p.Steps.Any(step)).Sum(p => p.Flow);
        foreach (FlowEdge e in trace.Edges)
            Close.To(e.Flow, Through(s => (s.Layer, s.Head, s.To, s.From) == (e.Layer, e.Head, e.Query, e.Key)), Tolerance, $"{e}", scale);
        HashSet<(int, int, int, int)> edges = [.. trace.Edges.Select(e => (e.Layer, e.Head, e.Query, e.Key))];
        Assert.All(trace.Paths.SelectMany(p => p.Steps).Where(s => s.Head is not null), s => Assert.Contains((s.Layer, s.Head!.Value, s.To, s.From), edges));
        foreach (FlowLayer cut in trace.PerLayer)
        {
            Close.To(cut.Residual, Through(s => s.Layer == cut.Layer && s.Head is null), Tolerance, $"residual {cut.Layer}", scale);
            Close.To(cut.Mlp, Through(s => s.Layer == cut.Layer && s.Mlp), Tolerance, $"MLP {cut.Layer}", scale);
            Close.To(cut.Bypass, Through(s => s.Layer == cut.Layer && !s.Mlp), Tolerance, $"bypass {cut.Layer}", scale);
        }
    }, iter: 60);

    [Fact]
    public void A_narrow_search_says_so_and_still_tells_the_truth()
    {
        int narrow = 0;
        Gen.Select(FlowCases.Tiny, Gen.Int[1, 9], Gen.Int[1, 9]).Sample((question, paths, breadth) =>
        {
            using Analysed run = Analysed.Of(question.Input);
            FlowTrace trace = question.Trace(run, o => o with { Paths = paths, PathBreadth = breadth });
            (Dictionary<string, double> expected, double scale) = Walk(question, run);
            Assert.True(trace.Paths.Count <= paths);
            foreach (FlowPath path in trace.Paths)
                Close.To(expected[Key(path)], path.Flow, Tolerance, Key(path), scale);
            Assert.Equal(trace.Paths.Count, trace.Paths.Select(Key).Distinct().Count());
            Assert.Equal(trace.Paths.Sum(p => p.Flow) / trace.Total, trace.Coverage);

            // Beginnings are never more than the paths that they lead to, so that these fit where all of those would.
            int most = Math.Max(paths, breadth);
            if (expected.Count <= most)
                Assert.True(trace.PathsExhaustive);
            if (!trace.PathsExhaustive)
                Interlocked.Increment(ref narrow);
            else
                Strongest(expected, trace, scale);
        }, iter: 100);
        Assert.NotEqual(0, narrow);
    }

    [Theory]
    [InlineData(MlpTreatment.Frozen)]
    [InlineData(MlpTreatment.Source)]
    public void A_breadth_of_two_over_three_layers_is_not_exhaustive(MlpTreatment mlp)
    {
        RandomInput input = ResidualsTests.Small with { Config = ResidualsTests.Small.Config with { NumHiddenLayers = 3 } };
        var question = new FlowCase(input, 0, 3, 0, 4, mlp, FlowTarget.Residual);
        using Analysed run = Analysed.Of(input);
        FlowTrace trace = question.Trace(run, o => o with { Paths = 2, PathBreadth = 2 });
        Assert.False(trace.PathsExhaustive);
        Assert.Equal(2, trace.Paths.Count);
        (Dictionary<string, double> expected, double scale) = Walk(question, run);
        foreach (FlowPath path in trace.Paths)
            Close.To(expected[Key(path)], path.Flow, Tolerance, Key(path), scale);
        Assert.Equal(trace.Paths.Sum(p => p.Flow) / trace.Total, trace.Coverage);
    }

    [Fact]
    public void Paths_read_as_they_go()
    {
        var path = new FlowPath([new FlowStep(0, 3, 1, 2, false), new FlowStep(1, null, 2, 2, true), new FlowStep(2, 5, 2, 3, false)], -0.21449);
        Assert.Equal("1 -> L0H3 -> 2 -> L1MLP -> L2H5 -> 3   -0.214", path.ToString());
    }

    /// <summary>Where the search was exhaustive the k listed are the k strongest; those that are equal within rounding may stand for each other.</summary>
    private static void Strongest(Dictionary<string, double> expected, FlowTrace trace, double scale)
    {
        double[] strongest = [.. expected.Values.Select(Math.Abs).OrderDescending().Take(trace.Paths.Count)];
        for (int i = 0; i < strongest.Length; i++)
            Close.To(strongest[i], Math.Abs(trace.Paths[i].Flow), Tolerance, $"the flow of path {i}", scale);
    }

    private static (Dictionary<string, double> Paths, double Scale) Walk(FlowCase question, Analysed run)
    {
        (ReferenceFlow flow, double[] covector) = question.Over(run.Frozen);
        Dictionary<string, double> paths = flow.AllPaths(question.Src, question.Dst, covector).ToDictionary(Key, p => p.Flow);
        return (paths, Math.Max(question.Scale(run.Frozen, covector), paths.Values.Max(Math.Abs)));
    }

    private static string Key(ReferencePath path) => string.Join(' ', path.Steps.Select(s => Key(s.Layer, s.Head, s.From, s.To, s.Mlp)));

    private static string Key(FlowPath path) => string.Join(' ', path.Steps.Select(s => Key(s.Layer, s.Head, s.From, s.To, s.Mlp)));

    private static string Key(int layer, int? head, int from, int to, bool mlp) => $"{layer}:{from}-{head}->{to}{(mlp ? "+mlp" : "")}";
}
