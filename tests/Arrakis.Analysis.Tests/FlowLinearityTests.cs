using Arrakis.Analysis.Numerics;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The frozen network is linear, it is the real run, and a flow is what would be missing without it.</summary>
public sealed unsafe class FlowLinearityTests
{
    // Rounding of the two sweeps, as in FlowPropertyTests.
    private const double Tolerance = 1e-5;

    [Fact]
    public void Doubling_the_source_doubles_everything_bit_for_bit() => FlowCases.Random(17).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        float[] x = [.. run.Frozen.Residual(question.From, question.Src).ToArray().Select(v => (float)v)];
        FlowTrace plain = question.Trace(run, o => o with { Paths = 50 });
        FlowTrace once = question.Trace(run, o => o with { Paths = 50, SourceVector = x });
        FlowTrace twice = question.Trace(run, o => o with { Paths = 50, SourceVector = x.Select(v => 2 * v).ToArray() });

        // Without a vector it is the residual that starts; and a power of two changes no rounding, whatever is added to what.
        Assert.Equal(Numbers(plain), Numbers(once));
        Assert.Equal(Numbers(once).Select(v => 2 * v), Numbers(twice));
        Assert.Equal(once.Edges.Select(e => e with { Flow = 2 * e.Flow }), twice.Edges);
        Assert.Equal(once.Paths.Select(p => p.Steps), twice.Paths.Select(p => p.Steps));
        Assert.Equal(once.Coverage, twice.Coverage);
    }, iter: 60);

    [Fact]
    public void Second_differences_are_zero_and_sums_are_sums() => Gen.Select(FlowCases.Random(17), Gen.Int[0, int.MaxValue]).Sample((question, seed) =>
    {
        using Analysed run = Analysed.Of(question.Input);
        var random = new Random(seed);
        // Multiples of 1/64 below 16, so that x + 2d is exact.
        float[] x = Vector(), d = Vector();
        FlowTrace Of(Func<int, float> vector) => question.Trace(run, o => o with { SourceVector = Enumerable.Range(0, x.Length).Select(vector).ToArray() });
        FlowTrace atX = Of(i => x[i]), atD = Of(i => d[i]), atXd = Of(i => x[i] + d[i]), atX2d = Of(i => x[i] + 2 * d[i]);

        (_, double[] covector) = question.Over(run.Frozen);
        double[] ofX = Numbers(atX), ofD = Numbers(atD), ofXd = Numbers(atXd), ofX2d = Numbers(atX2d);
        double scale = Math.Max(Vec.Norm(covector) * (Vec.Norm(Engine.Widen(x)) + 2 * Vec.Norm(Engine.Widen(d))), ofX.Concat(ofD).Max(Math.Abs));
        for (int i = 0; i < ofX.Length; i++)
        {
            // The rounding of four flows.
            Close.To(0, ofX2d[i] - 2 * ofXd[i] + ofX[i], 4 * Tolerance, $"second difference {i}", scale);
            Close.To(ofX[i] + ofD[i], ofXd[i], 4 * Tolerance, $"flow {i} of a sum", scale);
        }

        float[] Vector() => [.. Enumerable.Range(0, question.Input.Config.HiddenSize).Select(_ => random.Next(-512, 512) / 64f)];
    }, iter: 60);

    /// <summary>All positions together, through the engine's own frozen network: resid_pre in, and what really stood there out.</summary>
    [Fact]
    public void The_frozen_network_is_the_real_run() => FlowCases.Random(67).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        int d = question.Input.Config.HiddenSize, rows = question.Dst + 1, tokens = question.Input.Ids.Length;
        using Compute compute = Compute.Rent(run.Model, question.Compute, tokens, Residuals.Depth(question.Input.Config), 0);
        var network = new FrozenNetwork(compute, run.Cache, throughMlp: true, rows);
        var sweeps = new FlowSweeps(compute, run.Cache, network, question.From, question.Layers, 0, question.Dst, question.Dst);
        for (int t = 0; t < rows; t++)
        {
            for (int i = 0; i < d; i++)
                sweeps.Pre(0)[t * d + i] = (float)run.Frozen.Residual(question.From, t)[i];
        }

        sweeps.Forward(CancellationToken.None);
        double[] expected = run.Frozen.Residual(question.From + question.Layers, question.Dst).ToArray();
        double[] actual = Engine.Widen(Compute.Row(sweeps.Pre(question.Layers), 0, d));
        Close.ToLargest(expected, actual, Tolerance, "what stands at the destination");
    }, iter: 100);

    /// <summary>The whole run, frozen, with the source's share left out at one edge: the target is less by that edge's flow.</summary>
    [Fact]
    public void Without_the_sources_share_along_an_edge_its_flow_is_missing() => Gen.Select(FlowCases.Random(7), Gen.Int[0, int.MaxValue]).Sample((question, seed) =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run);
        (ReferenceFlow flow, double[] covector) = question.Over(run.Frozen);
        double scale = Math.Max(question.Scale(run.Frozen, covector), trace.Edges.Select(e => Math.Abs(e.Flow)).DefaultIfEmpty().Max());
        double total = flow.Total(question.Src, question.Dst, covector);
        double[][][] shares = flow.Shares(question.Src);
        double whole = Target(null);
        var random = new Random(seed);
        foreach (FlowEdge edge in trace.Edges.OrderBy(_ => random.Next()).Take(5))
        {
            Close.To(edge.Flow, whole - Target(edge), Tolerance, $"what {edge} takes away", scale);
            Close.To(edge.Flow, total - flow.Total(question.Src, question.Dst, covector, (edge.Layer, edge.Head, edge.Query, edge.Key)), Tolerance, $"{edge} cut", scale);
        }

        double Target(FlowEdge? without)
        {
            double[][] y = [.. Enumerable.Range(0, run.Frozen.Tokens).Select(t => run.Frozen.Residual(question.From, t).ToArray())];
            for (int l = question.From; l < question.From + question.Layers; l++)
            {
                double[][] mid = flow.PassAttention(l, y);
                if (without is { } e && e.Layer == l)
                    Vec.AddTo(mid[e.Query], flow.AlongEdge(l, e.Head, e.Query, e.Key, shares[l - question.From][e.Key]), -1);
                y = flow.PassMlp(l, mid);
            }

            return Vec.Dot(y[question.Dst], covector);
        }
    }, iter: 60);

    /// <summary>The total, every part of every cut, and every edge in the order of its place.</summary>
    private static double[] Numbers(FlowTrace trace)
    {
        int tokens = trace.Destination + 1, heads = trace.PerLayer[0].Heads.Count;
        double[] edges = new double[trace.Layers * heads * tokens * tokens];
        foreach (FlowEdge e in trace.Edges)
            edges[(((e.Layer - trace.From) * heads + e.Head) * tokens + e.Query) * tokens + e.Key] = e.Flow;
        return [trace.Total, .. trace.PerLayer.SelectMany(l => l.Heads.Append(l.Residual).Append(l.Mlp).Append(l.Bypass)), .. trace.Paths.Select(p => p.Flow), .. edges];
    }
}
