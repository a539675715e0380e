using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The reference flow three ways (two sweeps, cutting one edge, every path), and its conservation.</summary>
public sealed class ReferenceFlowTests
{
    // Double precision over three layers. Relative to the largest flow in play, for a total may be the small remainder of large ones.
    private const double Tolerance = 1e-10;

    [Fact]
    public void The_frozen_network_is_the_real_one() => RandomShapes.Inputs(7).Sample(input =>
    {
        ReferenceRun run = Run(input);
        ReferenceFlow flow = Whole(run, throughMlp: true);
        double[][] all = [.. Enumerable.Range(0, run.Tokens).Select(t => run.Residual(0, t).ToArray())];
        Close.ToLargest(run[$"blocks.{run.Config.NumHiddenLayers - 1}.hook_resid_post"], [.. flow.Propagate(all, 0).SelectMany(y => y)], Tolerance, "resid_post");
    }, iter: 20);

    [Fact]
    public void All_sources_add_up() => RandomShapes.Inputs(7).Sample(input =>
    {
        ReferenceRun run = Run(input);
        int dst = run.Tokens - 1, token = input.Ids[0];
        foreach (bool throughMlp in new[] { true, false })
        {
            ReferenceFlow flow = Whole(run, throughMlp);
            (double[] Target, double Expected)[] targets =
                [(flow.ResidualTarget(dst), 1), (flow.TokenTarget(dst, token), run.Row("logits", dst)[token])];
            foreach ((double[] target, double expected) in targets)
            {
                double[] flows = [.. flow.AllSources(dst, target), .. throughMlp ? [] : flow.MlpSources(dst, target).SelectMany(f => f)];
                Close.To(expected, flows.Sum(), Tolerance, $"Σ flows, MLP {throughMlp}", flows.Max(Math.Abs));
            }
        }
    }, iter: 15);

    [Fact]
    public void Cutting_an_edge_takes_away_its_flow() => RandomShapes.TinyInputs.Sample(input =>
    {
        ReferenceRun run = Run(input);
        int dst = run.Tokens - 1;
        foreach (bool throughMlp in new[] { true, false })
        {
            ReferenceFlow flow = Whole(run, throughMlp);
            double[] target = flow.ResidualTarget(dst);
            ReferenceTrace trace = flow.Trace(0, dst, target);
            double scale = Largest(trace);
            Close.To(flow.Total(0, dst, target), trace.Total, Tolerance, "total", scale);
            foreach (ReferenceEdge e in trace.Edges)
            {
                double without = flow.Total(0, dst, target, (e.Layer, e.Head, e.Query, e.Key));
                Close.To(trace.Total - without, e.Flow, Tolerance, $"{e}", scale);
            }

            foreach (ReferenceLayerFlow cut in trace.Layers)
                Close.To(trace.Total, cut.Residual + cut.Heads.Sum(), Tolerance, $"the cut at layer {cut.Layer}", scale);
        }
    }, iter: 20);

    [Fact]
    public void All_paths_add_up_edge_by_edge() => RandomShapes.TinyInputs.Sample(input =>
    {
        ReferenceRun run = Run(input);
        int dst = run.Tokens - 1;
        foreach (bool throughMlp in new[] { true, false })
        {
            ReferenceFlow flow = Whole(run, throughMlp);
            double[] target = flow.ResidualTarget(dst);
            ReferenceTrace trace = flow.Trace(0, dst, target);
            ReferencePath[] paths = [.. flow.AllPaths(0, dst, target)];
            double scale = Math.Max(Largest(trace), paths.Max(p => Math.Abs(p.Flow)));
            Close.To(trace.Total, paths.Sum(p => p.Flow), Tolerance, "Σ paths", scale);

            double Through(Func<ReferenceStep, bool> step) => paths.Where(p => p.Steps.Any(step)).Sum(p => p.Flow);
            foreach (ReferenceEdge e in trace.Edges)
                Close.To(Through(s => (s.Layer, s.Head, s.To, s.From) == (e.Layer, e.Head, e.Query, e.Key)), e.Flow, Tolerance, $"{e}", scale);
            foreach (ReferenceLayerFlow cut in trace.Layers)
            {
                Close.To(Through(s => s.Layer == cut.Layer && s.Head is null), cut.Residual, Tolerance, $"residual {cut.Layer}", scale);
                Close.To(Through(s => s.Layer == cut.Layer && s.Mlp), cut.Mlp, Tolerance, $"mlp {cut.Layer}", scale);
            }
        }
    }, iter: 15);

    /// <summary>Flow within the model, between two layers in its middle.</summary>
    [Fact]
    public void A_flow_may_start_and_end_at_any_layer()
    {
        ReferenceRun run = Golden.Load("mqa-llama3-bf16-sharded").Run();
        foreach ((int from, int layers) in new[] { (1, 2), (2, 1), (3, 1) })
        {
            var flow = new ReferenceFlow(run, from, layers, throughMlp: true);
            double[] flows = flow.AllSources(9, flow.ResidualTarget(9));
            Close.To(1, flows.Sum(), Tolerance, "Σ flows", flows.Max(Math.Abs));
            Assert.All(flows[10..], f => Assert.Equal(0, f));
        }
    }

    /// <summary>The source's shares over all positions are the residual stream, so what heads read of them adds up to 1.</summary>
    [Fact]
    public void What_heads_read_of_all_sources_adds_up_to_one()
    {
        ReferenceRun run = Golden.Load("gqa-f32").Run();
        ReferenceFlow flow = Whole(run, throughMlp: true);
        double[][][][] shares = [.. Enumerable.Range(0, run.Tokens).Select(flow.Shares)];
        for (int l = 0; l < run.Config.NumHiddenLayers; l++)
        {
            foreach (ReferenceVia via in Enum.GetValues<ReferenceVia>())
            {
                double[][][] read = [.. shares.Select(s => ReferenceAnalysis.ReadSharesOf(run, l, via, s[l]))];
                for (int h = 0; h < run.Config.NumAttentionHeads; h++)
                    Close.To(1, read.Sum(r => r[h][^1]), Tolerance, $"Σ read by {via} of L{l}H{h}", read.Max(r => Math.Abs(r[h][^1])));
            }
        }
    }

    private static ReferenceRun Run(RandomInput input) => new ReferenceModel(ReferenceWeights.Random(input.Config, input.Seed)).Run(input.Ids);

    private static ReferenceFlow Whole(ReferenceRun run, bool throughMlp) => new(run, 0, run.Config.NumHiddenLayers, throughMlp);

    private static double Largest(ReferenceTrace trace) =>
        trace.Edges.Select(e => Math.Abs(e.Flow)).Append(Math.Abs(trace.Total)).Concat(trace.Layers.Select(l => Math.Max(Math.Abs(l.Residual), Math.Abs(l.Mlp)))).Max();
}
