using System.Reflection;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>The facade: the names and defaults it was asked for with, and that it says what the measures behind it say.</summary>
public sealed class ReadWriteHeadsTests
{
    // ids 3, 7, 1, 18, 7: token 7 is there twice.
    private static readonly RandomInput s_input = ResidualsTests.Small;

    [Fact]
    public void Names_and_defaults_are_the_seeds()
    {
        Assert.Equal([("layerIdx", null), ("threshold", 0.8), ("rule", SelectionRule.Share)], Parameters(nameof(ReadWriteHeads.IdentifyWriteHeads), typeof(int)));
        Assert.Equal(
            [("layerIdx", null), ("dimIdx", null), ("threshold", 0.8), ("rule", SelectionRule.Share)],
            Parameters(nameof(ReadWriteHeads.IdentifyReadHeads), typeof(int), typeof(int)));
        Assert.Equal(
            [("inputIds", null), ("srcToken", null), ("dstToken", null), ("nLayers", 2)],
            Parameters(nameof(ReadWriteHeads.TraceInformationFlow), typeof(ReadOnlySpan<int>))[..4]);
    }

    [Fact]
    public void Heads_are_those_of_the_measures()
    {
        using Analysed run = Analysed.Of(s_input);
        ReadWriteHeads input = new(run.Model, run.Cache), weights = new(run.Model);
        for (int layer = 0; layer < 2; layer++)
        {
            Assert.Equal(HeadWrites.Measure(run.Model, run.Cache, layer).Select(0.8), input.IdentifyWriteHeads(layer));
            Assert.Equal(HeadWrites.FromWeights(run.Model, layer).Select(0.8), weights.IdentifyWriteHeads(layer));
            Assert.Equal(HeadWrites.Measure(run.Model, run.Cache, layer).Select(0.3, SelectionRule.Max), input.IdentifyWriteHeads(layer, 0.3, SelectionRule.Max));
            IReadOnlyList<HeadStrength> expected = HeadReads.FromWeights(run.Model, layer, ReadDirection.Dimension(9)).Select(0.8);
            Assert.Equal(expected, input.IdentifyReadHeads(layer, 9));
            Assert.Equal(expected, weights.IdentifyReadHeads(layer, 9));
            Assert.Equal(expected, weights.IdentifyReadHeads(layerIdx: layer, dimIdx: 9, threshold: 0.8));
            Assert.All(expected, head => Assert.Equal(layer, head.Layer));
        }

        ReadDirection write = ReadDirection.HeadWrite(0, 2);
        Assert.Equal(HeadReads.FromWeights(run.Model, 1, write).Select(0.5, SelectionRule.Top), weights.IdentifyReadHeads(1, write, 0.5, SelectionRule.Top));
    }

    [Fact]
    public void A_flow_is_from_first_occurrence_to_first_occurrence()
    {
        using Analysed run = Analysed.Of(s_input);
        FlowTrace trace = new ReadWriteHeads(run.Model, run.Cache).TraceInformationFlow(s_input.Ids, srcToken: 7, dstToken: 18);
        FlowTrace expected = FlowTracer.Trace(run.Model, run.Cache, 1, 3, new FlowOptions { AllSources = true });
        Assert.Equal((1, 3, 0, 2, MlpTreatment.Frozen, FlowTarget.Residual), (trace.Source, trace.Destination, trace.From, trace.Layers, trace.Mlp, trace.Target));
        Same(expected, trace);
        Assert.True(trace.ConservationError < 1e-5);
        Assert.Equal((1, 1), (Trace(run, 7, 7).Source, Trace(run, 7, 7).Destination));
        Assert.Equal(1, new ReadWriteHeads(run.Model, run.Cache).TraceInformationFlow(s_input.Ids, 3, 1, nLayers: 1).Layers);
    }

    /// <summary>The recorded run is used where it is the same input from its beginning; else a run is made, and it makes no difference.</summary>
    [Fact]
    public void A_run_of_its_own_gives_what_the_cache_gives()
    {
        using Analysed run = Analysed.Of(s_input);
        var options = new AnalysisOptions { Threads = 1 };
        FlowTrace cached = new ReadWriteHeads(run.Model, run.Cache, options).TraceInformationFlow(s_input.Ids, 3, 18);
        Same(cached, new ReadWriteHeads(run.Model, null, options).TraceInformationFlow(s_input.Ids, 3, 18));

        using LlamaSession other = run.Model.CreateSession(RecordingPlan.Flow, Engine.Options());
        other.Forward([3, 7, 2, 18, 7]);
        Same(cached, new ReadWriteHeads(run.Model, other.Cache, options).TraceInformationFlow(s_input.Ids, 3, 18));
        other.Forward([5]);
        other.Append(s_input.Ids);
        Same(cached, new ReadWriteHeads(run.Model, other.Cache, options).TraceInformationFlow(s_input.Ids, 3, 18));

        // That it is used shows where it lacks something.
        using Analysed poor = Analysed.Of(s_input, RecordingPlan.Heads);
        Refused.Saying("blocks.0.mlp.hook_pre is not recorded: record 'flow'", () => Trace(poor, 3, 18));
    }

    [Fact]
    public void What_is_asked_wrongly_is_refused()
    {
        using Analysed run = Analysed.Of(s_input);
        var heads = new ReadWriteHeads(run.Model, run.Cache);
        Refused.Saying("the source token 4 is not in the input", () => Trace(run, 4, 18));
        Refused.Saying("the destination token 4 is not in the input", () => Trace(run, 3, 4));
        Refused.Saying("token 18 first occurs at position 3, after token 7 at 1", () => Trace(run, 18, 7));
        Refused.Saying("is not in the input", () => heads.TraceInformationFlow([], 3, 7));
        Refused.Saying("3 layers from layer 0 are not in the model: use 1 to 2", () => heads.TraceInformationFlow(s_input.Ids, 3, 7, 3));
        Refused.Saying("token id 19 at position 2 is outside the vocabulary", () => heads.TraceInformationFlow([3, 7, 19], 3, 7));
        Refused.Saying("layer 2 is not in the model", () => heads.IdentifyWriteHeads(2));
        Refused.Saying("layer -1 is not in the model", () => heads.IdentifyReadHeads(-1, 0));
        Refused.Saying("dimension 24 is not in the residual stream", () => heads.IdentifyReadHeads(0, 24));
        Refused.Saying("the threshold is 0: use a number above 0, up to 1", () => heads.IdentifyWriteHeads(0, 0));
        Refused.Saying("the threshold is 1.5: use a number above 0, up to 1", () => heads.IdentifyReadHeads(0, 0, 1.5));
        Assert.Throws<OperationCanceledException>(() => heads.TraceInformationFlow(s_input.Ids, 3, 7, 2, new CancellationToken(canceled: true)));
    }

    private static FlowTrace Trace(Analysed run, int src, int dst) => new ReadWriteHeads(run.Model, run.Cache).TraceInformationFlow(s_input.Ids, src, dst);

    private static void Same(FlowTrace expected, FlowTrace actual)
    {
        Assert.Equal(expected.Total, actual.Total);
        Assert.Equal(expected.Edges, actual.Edges);
        Assert.Equal(expected.Sources, actual.Sources);
        Assert.Equal(expected.Heads, actual.Heads);
        Assert.Equal(expected.Paths.Select(p => p.ToString()), actual.Paths.Select(p => p.ToString()));
    }

    private static (string?, object?)[] Parameters(string method, params Type[] first)
    {
        MethodInfo found = Assert.Single(
            typeof(ReadWriteHeads).GetMethods(), m => m.Name == method && m.GetParameters().Take(first.Length).Select(p => p.ParameterType).SequenceEqual(first));
        return [.. found.GetParameters().Select(p => (p.Name, p.HasDefaultValue ? p.DefaultValue : null))];
    }
}
