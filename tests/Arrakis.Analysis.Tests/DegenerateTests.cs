using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>Models and inputs at the edge of what the measures mean: each result is defined, or refused.</summary>
public sealed class DegenerateTests
{
    [Fact]
    public void Heads_that_do_the_same_come_in_the_order_of_their_numbers()
    {
        int k = EditedModel.Config.HeadDim, d = EditedModel.Config.HiddenSize;
        using var run = new EditedModel((name, values) =>
        {
            // Every head is a copy of the first.
            if (name.EndsWith("q_proj.weight", StringComparison.Ordinal) || name.EndsWith("k_proj.weight", StringComparison.Ordinal) || name.EndsWith("v_proj.weight", StringComparison.Ordinal))
                Array.ConvertAll([.. Enumerable.Range(0, values.Length)], at => values[at % (k * d)]).CopyTo(values, 0);
            for (int h = 1; h < 4 && name.EndsWith("o_proj.weight", StringComparison.Ordinal); h++)
                EditedModel.WriteOf(values, h, at => values[at - h * k]);
        });
        HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, 1);
        HeadReads reads = HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Dimension(3));
        Assert.Single(writes.Strengths.ToArray().Distinct());
        Assert.Equal(0.25f, writes.Shares(2)[4], 1e-6f);
        foreach (Func<double, SelectionRule, IReadOnlyList<HeadStrength>> select in new Func<double, SelectionRule, IReadOnlyList<HeadStrength>>[] { writes.Select, reads.Select })
        {
            Assert.Equal([0, 1], select(0.5, SelectionRule.Share).Select(s => s.Head));
            Assert.Equal([0, 1, 2, 3], select(0.8, SelectionRule.Share).Select(s => s.Head));
            Assert.Equal([0, 1, 2, 3], select(1, SelectionRule.Share).Select(s => s.Head));
            Assert.Equal([0, 1, 2], select(0.8, SelectionRule.Top).Select(s => s.Head));
            Assert.Equal([0, 1, 2, 3], select(1, SelectionRule.Max).Select(s => s.Head));
        }

        FlowTrace trace = FlowTracer.Trace(run.Model, run.Cache, 1, 4, new FlowOptions { Edges = 3, Paths = 500 });
        Assert.Equal([0, 1, 2], trace.Edges.Select(e => e.Head));
        Assert.Equal(trace.Heads.Take(4).Select(h => (h.Layer, 0.25 * trace.Heads.Take(4).Sum(o => o.Flow))), trace.Heads.Take(4).Select(h => (h.Layer, h.Flow)));
    }

    [Fact]
    public void A_head_that_writes_nothing_writes_nothing()
    {
        using var run = new EditedModel((name, values) =>
        {
            if (name.EndsWith("o_proj.weight", StringComparison.Ordinal))
                EditedModel.WriteOf(values, 1, _ => 0);
        });
        HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, 0);
        Assert.Equal(new float[5], writes.Norms(1).ToArray());
        Assert.Equal(new float[5], writes.Shares(1).ToArray());
        Assert.Equal((0.0, 0.0), (writes.Strengths[1], writes.OvNorms[1]));
        Assert.Equal([0, 2, 3], writes.Select(1).Select(s => s.Head).Order());
        Assert.Equal([0, 2, 3], HeadWrites.FromWeights(run.Model, 0).Select(1).Select(s => s.Head).Order());
        Assert.True(writes.ShareError < 1e-5);
        Refused.Saying("head 0.1 writes nothing: its write is no direction", () => HeadReads.FromWeights(run.Model, 1, ReadDirection.HeadWrite(0, 1)));
        Refused.Saying("head 0.1 writes nothing: its write is no direction", () => HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.HeadWrite(0, 1)));

        FlowTrace trace = Trace(run, 0, 4);
        Assert.DoesNotContain(trace.Edges, e => e.Head == 1);
        Assert.DoesNotContain(trace.Paths.SelectMany(p => p.Steps), s => s.Head == 1);
        Assert.All(trace.Heads.Where(h => h.Head == 1), h => Assert.Equal((0.0, 4, 0.0, HeadRoles.None), (h.Flow, h.Query, h.WriteNorm, h.Role)));
        AddsUp(trace);
    }

    [Fact]
    public void A_layer_that_writes_nothing_passes_what_was_there()
    {
        using var run = new EditedModel((name, values) =>
        {
            if (name.EndsWith("o_proj.weight", StringComparison.Ordinal))
                Array.Clear(values);
        });
        HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, 1);
        Assert.Equal(new float[20], HeadWritesTests.ByHead(4, h => writes.Shares(h)).Select(v => (float)v));
        Assert.Equal(0, writes.ShareError);
        Assert.Empty(writes.Select(1));
        Assert.Equal(0, Assert.Single(writes.Select(0.1, SelectionRule.Top)).Head);

        FlowTrace nothing = Trace(run, 0, 4);
        Assert.Equal((0.0, 1.0, true), (nothing.Total, nothing.Coverage, nothing.PathsExhaustive));
        Assert.Empty(nothing.Edges);
        Assert.Empty(nothing.Paths);
        Assert.Equal([0.0, 0, 0, 0, 1], nothing.Sources!.Select(s => Math.Round(s, 5)));
        AddsUp(nothing);
        FlowTrace own = Trace(run, 4, 4);
        Close.To(1, own.Total, 1e-5, "what stays");
        Close.To(1, own.Coverage, 1e-5, "coverage");
        Assert.All(own.Paths.SelectMany(p => p.Steps), s => Assert.Null(s.Head));
        AddsUp(own);
    }

    [Fact]
    public void Values_that_are_zero_are_shares_of_nothing()
    {
        using var run = new EditedModel((name, values) =>
        {
            if (name.EndsWith("v_proj.weight", StringComparison.Ordinal))
                Array.Clear(values);
        });
        HeadReads reads = HeadReads.Measure(run.Model, run.Cache, 0, ReadDirection.Dimension(2));
        Assert.Equal(new float[5], reads.VShares(3).ToArray());
        Assert.Equal(new float[5], reads.ZShares(3).ToArray());
        Assert.Equal(0, reads.VWeights[3]);
        Assert.NotEqual(0, reads.QShares(3)[4]);
        Assert.True(reads.ShareError < 1e-5);
        Assert.Equal(new float[16], HeadReads.OverDimensions(run.Model, run.Cache, 0, 3, HeadInputs.V, 2));
        Assert.Equal(new float[5], HeadWrites.Measure(run.Model, run.Cache, 0).Norms(3).ToArray());
    }

    [Fact]
    public void One_token_is_all_there_is()
    {
        using var run = new EditedModel((_, _) => { }, ids: [4]);
        FlowTrace trace = Trace(run, 0, 0);
        Close.To(1, trace.Total, 1e-5, "the only source");
        Close.To(1, trace.Coverage, 1e-5, "coverage of all paths");
        Assert.Single(trace.Sources!);
        AddsUp(trace);
        Assert.Single(HeadWrites.Measure(run.Model, run.Cache, 1).Norms(0).ToArray());
        Assert.Single(HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.HeadWrite(0, 2)).ZShares(0).ToArray());
    }

    [Fact]
    public void Where_nothing_stands_there_is_no_share_of_it()
    {
        // Token 7 is nothing, and nothing is written to it.
        using var run = new EditedModel((name, values) =>
        {
            if (name.EndsWith("o_proj.weight", StringComparison.Ordinal))
                Array.Clear(values);
            if (name.EndsWith("embed_tokens.weight", StringComparison.Ordinal))
                values.AsSpan(7 * 16, 16).Clear();
        });
        Refused.Saying("nothing stands at position 1 before layer 2: there is no share of it; take another destination", () => Trace(run, 0, 1));
        FlowTrace logit = Trace(run, 0, 1, FlowTarget.Token(3));
        Assert.Equal((0.0, 0.0, 0.0), (logit.Total, logit.Conservation!.Value.Error, logit.ConservationError));
        Refused.Saying("embedding:7 is zero: a direction needs a length", () => HeadReads.FromWeights(run.Model, 0, ReadDirection.Embedding(7)));
        Assert.Equal(new float[4], HeadWritesTests.ByHead(4, h => HeadReads.Measure(run.Model, run.Cache, 0, ReadDirection.Dimension(0)).QShares(h)[1..2]).Select(v => (float)v));
    }

    /// <summary>Streams whose squares are at the ends of float32 range, or past them, are still shares of themselves.</summary>
    [Theory]
    [InlineData(1e-24f)]
    [InlineData(1e18f)]
    public void A_stream_may_be_very_small_or_very_large(float size)
    {
        const float Written = 1e-3f;
        using var run = new EditedModel((name, values) =>
        {
            if (name.EndsWith("embed_tokens.weight", StringComparison.Ordinal))
                Array.ConvertAll(values, v => v * size).CopyTo(values, 0);
            if (name.EndsWith("o_proj.weight", StringComparison.Ordinal) || name.EndsWith("down_proj.weight", StringComparison.Ordinal))
                Array.ConvertAll(values, v => v * size * Written).CopyTo(values, 0);
        });
        FlowTrace trace = FlowTracer.Trace(run.Model, run.Cache, 4, 4, new FlowOptions { Mlp = MlpTreatment.Source });
        // A layer writes 0.0006 of the stream, less than that part, so what two layers brought there that is not the token's own is at most twice that.
        Assert.Equal(1, trace.Total, EditedModel.Config.NumHiddenLayers * Written);
    }

    /// <summary>A number that is none, anywhere in the weights: refused wherever it would show, and nowhere in what is given back.</summary>
    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void What_is_not_finite_is_refused_and_never_a_result(float value)
    {
        int refused = 0;
        foreach (string spoiled in ModelFiles.Tensors(EditedModel.Config).Select(tensor => tensor.Name))
        {
            // Token 0 is in the input, and in the target.
            using var run = new EditedModel((name, values) => values[0] = name == spoiled ? value : values[0], ids: [3, 0, 1, 9, 0]);
            for (int l = 0; l < 2; l++)
            {
                int layer = l;
                Finite(() => Numbers(HeadWrites.Measure(run.Model, run.Cache, layer)));
                Finite(() => Numbers(HeadWrites.FromWeights(run.Model, layer)));
                Finite(() => Numbers(HeadReads.Measure(run.Model, run.Cache, layer, ReadDirection.Dimension(0), HeadInputs.Q)));
                Finite(() => Numbers(HeadReads.Measure(run.Model, run.Cache, layer, ReadDirection.Embedding(0))));
                Finite(() => Numbers(HeadReads.FromWeights(run.Model, layer, ReadDirection.Unembedding(0))));
                foreach (HeadInputs input in new[] { HeadInputs.Q, HeadInputs.K, HeadInputs.V })
                    Finite(() => [.. HeadReads.OverDimensions(run.Model, run.Cache, layer, 0, input, 1).Select(v => (double)v)]);
            }

            Finite(() => Numbers(HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.HeadWrite(0, 0))));
            foreach (FlowTarget target in new[] { FlowTarget.Residual, FlowTarget.Token(0) })
            {
                Finite(() => Numbers(Trace(run, 1, 4, target)));
                Finite(() => Numbers(Trace(run, 1, 4, target, MlpTreatment.Source)));
            }
        }

        Assert.NotEqual(0, refused);

        void Finite(Func<double[]> measure)
        {
            try
            {
                Assert.All(measure(), number => Assert.True(double.IsFinite(number)));
            }
            catch (ArrakisException e)
            {
                refused++;
                Refused.OneLine(e.Message);
                Assert.Contains("finite", e.Message, StringComparison.Ordinal);
            }
        }
    }

    private static FlowTrace Trace(EditedModel run, int src, int dst, FlowTarget target = default, MlpTreatment mlp = MlpTreatment.Frozen) =>
        FlowTracer.Trace(run.Model, run.Cache, src, dst, new FlowOptions { AllSources = true, Paths = 5000, Target = target, Mlp = mlp });

    private static void AddsUp(FlowTrace trace)
    {
        Assert.True(trace.PathsExhaustive);
        Assert.True(trace.ConservationError < 1e-5, $"off by {trace.ConservationError}");
    }

    private static double[] Numbers(HeadWrites writes) =>
        [.. writes.Strengths, .. writes.OvNorms, writes.ShareError, .. HeadWritesTests.ByHead(4, h => writes.Norms(h)), .. HeadWritesTests.ByHead(4, h => writes.Shares(h))];

    private static double[] Numbers(HeadReads reads) =>
    [
        .. reads.Strengths, .. reads.QWeights, .. reads.KWeights, .. reads.VWeights, reads.ShareError, .. HeadWritesTests.ByHead(4, h => reads.QShares(h)),
        .. HeadWritesTests.ByHead(4, h => reads.KShares(h)), .. HeadWritesTests.ByHead(4, h => reads.VShares(h)), .. HeadWritesTests.ByHead(4, h => reads.ZShares(h)),
    ];

    private static double[] Numbers(FlowTrace trace) =>
    [
        trace.Total, trace.Coverage, trace.ConservationError, trace.Conservation!.Value.Sum, trace.Conservation.Value.Error,
        .. trace.PerLayer.SelectMany(l => l.Heads.Append(l.Residual).Append(l.Mlp).Append(l.Bypass)), .. trace.Edges.Select(e => e.Flow), .. trace.Paths.Select(p => p.Flow),
        .. trace.Sources!, .. trace.MlpSources ?? [], .. trace.Heads.SelectMany(h => new[] { h.Flow, h.WriteNorm, h.QShare, h.KShare, h.VShare }),
    ];
}
