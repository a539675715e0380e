using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Totals, cuts, edges, sources and roles against the double-precision reference, on random models, windows and questions.</summary>
public sealed class FlowPropertyTests
{
    // Two sweeps of float32 products of at most 72 terms over at most three layers, frozen at the same values as the reference.
    // Relative to the largest part, and no less than to ‖g‖‖x‖. Measured over thousands of cases: below 1e-6.
    private const double Tolerance = 1e-5;

    [Fact]
    public void Totals_cuts_and_every_edge_equal_the_reference() => FlowCases.Random(11).Sample(SameTrace, iter: 150);

    // Past one block of queries and several tiles of every tier.
    [Fact]
    public void So_they_do_over_long_windows() => FlowCases.Random(67).Sample(SameTrace, iter: 12);

    /// <summary>Σ flows − 1, and Σ flows − logit: with what the MLPs add as sources of their own, where they pass nothing on.</summary>
    [Fact]
    public void All_sources_equal_the_reference_and_add_up() => FlowCases.Random(7).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run, o => o with { AllSources = true });
        (ReferenceFlow flow, double[] covector) = question.Over(run.Frozen);
        double[] expected = flow.AllSources(question.Dst, covector);
        double scale = Math.Max(question.Scale(run.Frozen, covector), expected.Max(Math.Abs));
        Assert.Equal(expected.Length, trace.Sources!.Count);
        for (int t = 0; t < expected.Length; t++)
            Close.To(expected[t], trace.Sources[t], Tolerance, $"source {t}", scale);
        Close.To(trace.Total, trace.Sources[question.Src], Tolerance, "the source among all", scale);

        double[]? mlps = question.Mlp == MlpTreatment.Frozen ? null : [.. flow.MlpSources(question.Dst, covector).Select(f => f.Sum())];
        Assert.Equal(mlps is null, trace.MlpSources is null);
        for (int i = 0; i < (mlps?.Length ?? 0); i++)
            Close.To(mlps![i], trace.MlpSources![i], Tolerance, $"MLP source {i}", Math.Max(scale, mlps.Max(Math.Abs)));

        FlowConservation sum = trace.Conservation!.Value;
        Close.To(question.Whole(run.Reference), sum.Expected, 1e-4, "the whole", scale);
        Close.To(trace.Sources.Sum() + (trace.MlpSources?.Sum() ?? 0), sum.Sum, 1e-12, "the sum", scale);
        AddsUp(question, run, trace);
    }, iter: 150);

    // Hundreds of positions carried back at once, and the project's bound alone: the reference would walk every pair of them for every source.
    [Fact]
    public void All_sources_of_long_windows_add_up() => FlowCases.Random(67).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run, o => o with { AllSources = true });
        AddsUp(question, run, trace);
    }, iter: 40);

    /// <summary>Nothing shared with the engine but weights and ids: what the engine recorded wrongly would show here.</summary>
    [Fact]
    public void So_does_the_whole_chain_equal_a_run_of_the_references_own() => FlowCases.Random(7).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run);
        (double expected, double scale) = Total(run.Reference);
        // How far the exact result moves if every weight moves by half a unit in its last place: what rounding in the run may do (see EnginePropertyTests).
        double spread = Enumerable.Range(0, 3)
            .Max(seed => Math.Abs(Total(new ReferenceModel(run.Reference.Weights.Perturbed(Math.Pow(2, -24), seed)).Run(question.Input.Ids)).Total - expected));
        Assert.True(Math.Abs(trace.Total - expected) <= 2e-5 * scale + 100 * spread, $"{trace.Total:R} is not {expected:R}; scale {scale:E1}, spread {spread:E1}");

        (double Total, double Scale) Total(ReferenceRun reference)
        {
            (ReferenceFlow flow, double[] covector) = question.Over(reference);
            return (flow.Total(question.Src, question.Dst, covector), question.Scale(reference, covector));
        }
    }, iter: 40);

    /// <summary>What a head writes and reads where its strongest edge ends, and which heads of the layer that makes writers and readers.</summary>
    [Fact]
    public void Roles_are_what_heads_write_and_read_of_the_sources_share() => FlowCases.Random(7).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        FlowTrace trace = question.Trace(run);
        ReferenceRun frozen = run.Frozen;
        (ReferenceFlow flow, double[] covector) = question.Over(frozen);
        double[][][] shares = flow.Shares(question.Src);
        Assert.Equal(question.Layers * question.Input.Config.NumAttentionHeads, trace.Heads.Count);
        foreach (IGrouping<int, FlowHead> layer in trace.Heads.GroupBy(h => h.Layer))
        {
            double[][] part = shares[layer.Key - question.From];
            double[][] norms = ReferenceAnalysis.WriteNorms(frozen, layer.Key), z = ReferenceAnalysis.PatternWeightedReadSharesOf(frozen, layer.Key, part);
            double[][] q = ReferenceAnalysis.ReadSharesOf(frozen, layer.Key, ReferenceVia.Q, part), k = ReferenceAnalysis.ReadSharesOf(frozen, layer.Key, ReferenceVia.K, part);
            foreach (FlowHead head in layer)
            {
                FlowEdge[] own = [.. trace.Edges.Where(e => (e.Layer, e.Head) == (head.Layer, head.Head))];
                int t = own.Length == 0 ? question.Dst : own[0].Query;
                Assert.Equal(t, head.Query);
                Assert.Equal(trace.PerLayer[head.Layer - question.From].Heads[head.Head], head.Flow);
                double keys = Enumerable.Range(0, t + 1).Sum(s => frozen.Pattern(head.Layer, head.Head, t, s) * k[head.Head][s]);
                // Shares of a small whole are large and no better than the whole's own rounding: relative to the largest of the layer.
                double[] expected = [q[head.Head][t], keys, z[head.Head][t]];
                double[] actual = [head.QShare, head.KShare, head.VShare];
                double largest = Math.Max(1, q.Concat(k).Concat(z).SelectMany(row => row).Max(Math.Abs));
                for (int i = 0; i < 3; i++)
                    Close.To(expected[i], actual[i], 1e-4, $"{"QKV"[i]} share of {head}", largest);
                Close.To(norms[head.Head][question.Dst], head.WriteNorm, 1e-4, $"write norm of {head}", norms.Max(row => row.Max()));
                Close.To(norms[head.Head][t], head.QueryWriteNorm, 1e-4, $"write norm of {head} where it carries the most", norms.Max(row => row.Max()));
            }

            // The rules themselves are tested elsewhere; here, that they were asked with these numbers.
            int[] writers = HeadSelection.Select([.. layer.Select(h => h.QueryWriteNorm)]);
            int[] readers = HeadSelection.Select([.. layer.Select(h => Math.Sqrt(h.QShare * h.QShare + h.KShare * h.KShare + h.VShare * h.VShare))]);
            Assert.All(layer, h => Assert.Equal(h.Flow != 0 && writers.Contains(h.Head), h.Role.HasFlag(HeadRoles.Writer)));
            Assert.All(layer, h => Assert.Equal(h.Flow != 0 && readers.Contains(h.Head), h.Role.HasFlag(HeadRoles.Reader)));
        }
    }, iter: 60);

    private static void SameTrace(FlowCase question)
    {
        using Analysed run = Analysed.Of(question.Input);
        SameTrace(question, run);
    }

    internal static void SameTrace(FlowCase question, Analysed run)
    {
        FlowTrace trace = question.Trace(run);
        (ReferenceFlow flow, double[] covector) = question.Over(run.Frozen);
        ReferenceTrace expected = flow.Trace(question.Src, question.Dst, covector);
        double scale = Largest(expected, question.Scale(run.Frozen, covector));
        double parts = trace.PerLayer.SelectMany(l => l.Heads.Append(l.Residual).Append(l.Mlp).Append(l.Bypass)).Append(trace.Total).Max(Math.Abs);
        // It is relative to the largest part, and those may be remainders of larger ones.
        Assert.True(trace.ConservationError * parts <= Tolerance * scale, $"the cuts are off by {trace.ConservationError:E1}");

        Close.To(expected.Total, trace.Total, Tolerance, "total", scale);
        foreach ((ReferenceLayerFlow e, FlowLayer a) in expected.Layers.Zip(trace.PerLayer))
        {
            Assert.Equal(e.Layer, a.Layer);
            Close.To(e.Residual, a.Residual, Tolerance, $"residual {e.Layer}", scale);
            Close.To(e.Mlp, a.Mlp, Tolerance, $"MLP {e.Layer}", scale);
            Close.To(expected.Total - e.Mlp, a.Bypass, Tolerance, $"bypass {e.Layer}", scale);
            for (int h = 0; h < e.Heads.Length; h++)
                Close.To(e.Heads[h], a.Heads[h], Tolerance, $"head {e.Layer}.{h}", scale);
        }

        SameEdges(expected, trace, scale);
    }

    private static void SameEdges(ReferenceTrace expected, FlowTrace trace, double scale)
    {
        var listed = trace.Edges.ToDictionary(e => (e.Layer, e.Head, e.Query, e.Key), e => e.Flow);
        foreach (ReferenceEdge e in expected.Edges)
        {
            // An edge that is not listed carries nothing.
            listed.Remove((e.Layer, e.Head, e.Query, e.Key), out double actual);
            Close.To(e.Flow, actual, Tolerance, $"{e}", scale);
        }

        Assert.Empty(listed);
        Assert.Equal(trace.Edges.OrderByDescending(e => Math.Abs(e.Flow)).ThenBy(e => (e.Layer, e.Head, e.Query, e.Key)), trace.Edges);
    }

    /// <summary>The project's bound. A logit may be near zero and its only source with it, but no closer to either than a product of g with x is rounded.</summary>
    private static void AddsUp(FlowCase question, Analysed run, FlowTrace trace)
    {
        FlowConservation sum = trace.Conservation!.Value;
        (_, double[] covector) = question.Over(run.Frozen);
        double error = sum.Error * sum.Scale / Math.Max(sum.Scale, question.Scale(run.Frozen, covector));
        Assert.True(error < 1e-5, $"{sum} is off by {error:E1}");
        Assert.True(trace.ConservationError >= sum.Error, $"{trace.ConservationError} does not count in {sum}");
    }

    private static double Largest(ReferenceTrace trace, double least) =>
        trace.Edges.Select(e => Math.Abs(e.Flow)).Concat(trace.Layers.Select(l => Math.Max(Math.Abs(l.Residual), Math.Abs(l.Mlp)))).Append(least).Max();
}
