using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>What is asked wrongly is refused before anything is computed, in one line that says what to do.</summary>
public sealed class RefusalTests
{
    private static readonly RandomInput s_input = ResidualsTests.Small;

    private static readonly HookPoint[] s_heads =
        [HookPoint.ResidPre, HookPoint.Ln1Scale, HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Pattern, HookPoint.Z, HookPoint.Ln2Scale, HookPoint.LnFinalScale];

    [Fact]
    public void Layers_heads_and_tokens_that_there_are_not()
    {
        using Analysed run = Analysed.Of(s_input);
        foreach (int layer in new[] { -1, 2, int.MaxValue, int.MinValue })
        {
            string expected = $"layer {layer} is not in the model: use 0 to 1";
            Refused.Saying(expected, () => HeadWrites.Measure(run.Model, run.Cache, layer));
            Refused.Saying(expected, () => HeadWrites.FromWeights(run.Model, layer));
            Refused.Saying(expected, () => HeadReads.Measure(run.Model, run.Cache, layer, ReadDirection.Dimension(0)));
            Refused.Saying(expected, () => HeadReads.FromWeights(run.Model, layer, ReadDirection.Dimension(0)));
            Refused.Saying(expected, () => HeadReads.FromWeights(run.Model, 1, ReadDirection.HeadWrite(layer, 0)));
            Refused.Saying(expected, () => HeadReads.OverDimensions(run.Model, run.Cache, layer, 0, HeadInputs.Q, 0));
            Refused.Saying(expected, () => Trace(run, 0, 1, new() { From = layer }));
        }

        foreach (int head in new[] { -1, 4 })
        {
            string expected = $"head {head} is not in the model: use 0 to 3";
            Refused.Saying(expected, () => HeadReads.OverDimensions(run.Model, run.Cache, 1, head, HeadInputs.Q, 0));
            Refused.Saying(expected, () => HeadReads.FromWeights(run.Model, 1, ReadDirection.HeadWrite(0, head)));
        }

        foreach (int token in new[] { -1, 19 })
        {
            string expected = $"token id {token} is outside the vocabulary: use 0 to 18";
            Refused.Saying(expected, () => HeadReads.Measure(run.Model, run.Cache, 0, ReadDirection.Embedding(token)));
            Refused.Saying(expected, () => HeadReads.FromWeights(run.Model, 0, ReadDirection.Unembedding(token)));
            Refused.Saying(expected, () => Trace(run, 0, 1, new() { Target = FlowTarget.Token(token) }));
        }

        foreach (int position in new[] { -1, 5 })
        {
            Refused.Saying($"position {position} is not in the input of 5 tokens: use 0 to 4", () => HeadReads.OverDimensions(run.Model, run.Cache, 0, 0, HeadInputs.V, position));
            Refused.Saying($"source {position} is not in the input of 5 tokens: use 0 to 4", () => Trace(run, position, 4));
            Refused.Saying($"destination {position} is not in the input of 5 tokens: use 0 to 4", () => Trace(run, 0, position));
        }
    }

    [Fact]
    public void Directions_that_are_none()
    {
        using Analysed run = Analysed.Of(s_input);
        foreach (int dimension in new[] { -1, 24 })
        {
            string expected = $"dimension {dimension} is not in the residual stream: use 0 to 23";
            Refused.Saying(expected, () => HeadReads.Measure(run.Model, run.Cache, 0, ReadDirection.Dimension(dimension)));
            Refused.Saying(expected, () => HeadReads.FromWeights(run.Model, 0, ReadDirection.Dimension(dimension)));
        }

        Refused.Saying("the direction is zero: a direction needs a length", () => ReadDirection.Vector(new float[24]));
        Refused.Saying("the direction is zero: a direction needs a length", () => ReadDirection.Vector([]));
        Refused.Saying("the direction holds NaN: a direction needs finite numbers", () => ReadDirection.Vector([1, float.NaN]));
        Refused.Saying("the direction holds -Infinity: a direction needs finite numbers", () => ReadDirection.Vector([float.NegativeInfinity]));
        Refused.Saying("the direction has 23 numbers: this model's residual stream has 24", () => HeadReads.FromWeights(run.Model, 0, ReadDirection.Vector(ModelFiles.Numbers("v", 23))));
        Refused.Saying("head 1.0 is not below layer 1", () => HeadReads.FromWeights(run.Model, 1, ReadDirection.HeadWrite(1, 0)));
        Refused.Saying("head 1.0 is not below layer 0", () => HeadReads.Measure(run.Model, run.Cache, 0, ReadDirection.HeadWrite(1, 0)));
        Assert.Throws<ArgumentException>(() => HeadReads.FromWeights(run.Model, 0, ReadDirection.Dimension(0), 0));
        Assert.Throws<ArgumentException>(() => HeadReads.FromWeights(run.Model, 0, ReadDirection.Dimension(0), (HeadInputs)8));
        Assert.Throws<ArgumentException>(() => HeadReads.OverDimensions(run.Model, run.Cache, 0, 0, HeadInputs.All, 0));
    }

    [Fact]
    public void Flows_that_cannot_be()
    {
        using Analysed run = Analysed.Of(s_input);
        Refused.Saying("source 3 comes after destination 2: a token is only read by those after it; swap them", () => Trace(run, 3, 2));
        Refused.Saying("0 layers from layer 0 are not in the model: use 1 to 2", () => Trace(run, 0, 2, new() { Layers = 0 }));
        Refused.Saying("-1 layers from layer 0 are not in the model: use 1 to 2", () => Trace(run, 0, 2, new() { Layers = -1 }));
        Refused.Saying("2 layers from layer 1 are not in the model: use 1 to 1", () => Trace(run, 0, 2, new() { From = 1 }));
        Refused.Saying("2147483647 layers from layer 1 are not in the model", () => Trace(run, 0, 2, new() { From = 1, Layers = int.MaxValue }));
        Refused.Saying("a logit is only reached from the last layer: trace 2 layers", () => Trace(run, 0, 2, new() { Layers = 1, Target = FlowTarget.Token(0) }));
        Refused.Saying("use 0 to 65536", () => Trace(run, 0, 2, new() { Paths = -1 }));
        Refused.Saying("use 0 to 65536", () => Trace(run, 0, 2, new() { Paths = 65537 }));
        Refused.Saying("use 0 or more", () => Trace(run, 0, 2, new() { Edges = -1 }));
        Refused.Saying("use 1 to 65536", () => Trace(run, 0, 2, new() { PathBreadth = 0 }));
        Refused.Saying("the source vector has 23 numbers: this model's residual stream has 24", () => Trace(run, 0, 2, new() { SourceVector = new float[23] }));
        Refused.Saying("the source vector holds what is not a finite number", () => Trace(run, 0, 2, new() { SourceVector = new float[23].Append(float.NaN).ToArray() }));
        Assert.Throws<OperationCanceledException>(() => FlowTracer.Trace(run.Model, run.Cache, 0, 2, null, new CancellationToken(canceled: true)));
    }

    /// <summary>A score is of a head that reads what flows: what is advised is something that there is.</summary>
    [Theory]
    [InlineData(3, 0, 3, ": for a score let the flow end before layer 2 or a lower one")]
    [InlineData(3, 1, 2, ": for a score let the flow end before layer 2")]
    [InlineData(3, 2, 1, ": for a score start before a lower one")]
    [InlineData(1, 0, 1, ", and this model has no other: take the residual or a token's logit as the target")]
    public void Scores_behind_the_last_layer(int layers, int from, int through, string advice)
    {
        using LlamaModel model = LlamaModel.CreateRandom(ResidualsTests.Small.Config with { NumHiddenLayers = layers }, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All);
        session.Forward([3, 7, 1]);
        var options = new FlowOptions { From = from, Layers = through, Target = FlowTarget.Key(0, 2) };
        Refused.With($"no head reads behind the last layer{advice}", () => FlowTracer.Trace(model, session.Cache, 0, 2, options));
    }

    /// <summary>All paths there are, asked for with any number that is large enough.</summary>
    [Fact]
    public void As_many_paths_as_there_are()
    {
        using Analysed run = Analysed.Of(s_input);
        FlowTrace all = Trace(run, 0, 2, new() { Paths = 65536 });
        Assert.True(all.PathsExhaustive);
        Close.To(1, all.Coverage, 1e-5, "coverage of all paths");
        Assert.Empty(Trace(run, 0, 2, new() { Paths = 0, Edges = 0 }).Paths);
    }

    [Fact]
    public void A_source_that_is_nothing_flows_nowhere()
    {
        using Analysed run = Analysed.Of(s_input);
        FlowTrace trace = Trace(run, 0, 2, new() { SourceVector = new float[24], AllSources = true });
        Assert.Equal((0.0, 1.0), (trace.Total, trace.Coverage));
        Assert.Empty(trace.Edges);
        Assert.Empty(trace.Paths);
        Assert.True(trace.ConservationError < 1e-5);
    }

    [Fact]
    public void Caches_that_lack_a_hook_name_a_recording_that_has_it()
    {
        foreach (HookPoint lacking in s_heads.Append(HookPoint.MlpPre))
        {
            HookPoint[] rest = [.. s_heads.Append(HookPoint.MlpPre).Where(point => point != lacking)];
            using Analysed run = Analysed.Of(s_input, RecordingPlan.Of(rest));
            string name = lacking.Name(lacking == HookPoint.LnFinalScale ? 0 : 1);
            foreach (FlowTarget target in new[] { FlowTarget.Residual, FlowTarget.Token(2) })
            {
                Expect(lacking != HookPoint.LnFinalScale || target != FlowTarget.Residual, "flow", () => Trace(run, 0, 4, new() { From = 1, Layers = 1, Target = target }));
                // An MLP's outputs are recomputed from mlp.pre.
                Expect(lacking != HookPoint.LnFinalScale || target != FlowTarget.Residual, "flow", () => Trace(
                    run, 0, 4, new() { From = 1, Layers = 1, Target = target, Mlp = MlpTreatment.Source, AllSources = true }));
            }

            Expect(
                lacking is not (HookPoint.MlpPre or HookPoint.Ln2Scale), "heads",
                () => Trace(run, 0, 4, new() { From = 1, Layers = 1, Target = FlowTarget.Token(2), Mlp = MlpTreatment.Source }));
            Expect(lacking == HookPoint.Z, "heads", () => HeadWrites.Measure(run.Model, run.Cache, 1));
            Expect(
                lacking is not (HookPoint.MlpPre or HookPoint.Ln2Scale or HookPoint.LnFinalScale), "heads",
                () => HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Dimension(1)));
            Expect(
                lacking is HookPoint.ResidPre or HookPoint.Ln1Scale or HookPoint.K, "heads", () => HeadReads.OverDimensions(run.Model, run.Cache, 1, 1, HeadInputs.K, 1));

            void Expect(bool refused, string recording, Func<object> measure)
            {
                if (refused)
                    Refused.Saying($"{name} is not recorded: record '{recording}'", measure);
                else
                    Assert.NotNull(measure());
            }
        }
    }

    [Fact]
    public void A_head_below_that_was_not_recorded_is_named()
    {
        using Analysed run = Analysed.Of(s_input, RecordingPlan.Flow.ForLayers(1, 1));
        Refused.Saying("blocks.0.attn.hook_z is not recorded: record 'heads'", () => HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.HeadWrite(0, 1)));
        Assert.NotNull(HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Dimension(1)));
    }

    [Fact]
    public void Caches_that_go_on_are_empty_or_of_another_model()
    {
        using Analysed run = Analysed.Of(s_input);
        using LlamaSession session = run.Model.CreateSession(RecordingPlan.Flow, Engine.Options());
        Everything(run.Model, session.Cache, "nothing is recorded yet: run a forward pass first");
        session.Forward([1, 2, 3]);
        session.Append([4, 5]);
        const string GoesOn = "the cache continues a sequence after 3 tokens: run the whole sequence with Forward";
        Refused.Saying(GoesOn, () => HeadReads.Measure(run.Model, session.Cache, 0, ReadDirection.Dimension(0)));
        Refused.Saying(GoesOn, () => FlowTracer.Trace(run.Model, session.Cache, 0, 1));

        foreach (LlamaConfig config in new[]
        {
            s_input.Config with { HiddenSize = 16 }, s_input.Config with { HeadDim = 8 }, s_input.Config with { NumAttentionHeads = 6 },
            s_input.Config with { NumKeyValueHeads = 1 }, s_input.Config with { IntermediateSize = 31 }, s_input.Config with { NumHiddenLayers = 1 },
        })
        {
            using LlamaModel other = LlamaModel.CreateRandom(config, 1);
            Everything(other, run.Cache, "the cache is not of this model: blocks.");
        }

        using LlamaModel twin = LlamaModel.CreateRandom(s_input.Config, 5);
        Everything(twin, run.Cache, "the cache is not of this model: its weights are others");
        session.Dispose();
        Everything(run.Model, session.Cache, "nothing is recorded yet: run a forward pass first");
        ActivationCache saved = HandMade.Saved(run.Cache);
        Everything(twin, saved, "the cache is not of this model: its weights are others");
        // Weights that are gone are neither compared nor read.
        LlamaModel gone = LlamaModel.CreateRandom(s_input.Config, 4);
        gone.Dispose();
        foreach (Func<object> measure in Measures(gone, saved))
            Assert.Throws<ObjectDisposedException>(measure);
    }

    /// <summary>What was changed is refused where a measure would say what the weights make of it, whether the run is at hand or saved; what is frozen may be changed.</summary>
    [Fact]
    public void Runs_that_an_intervention_changed()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_input.Config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, Engine.Options());
        ReadOnlySpan<HookPoint> frozen = [
            HookPoint.Embed, HookPoint.Ln1Scale, HookPoint.RotQ, HookPoint.RotK, HookPoint.AttnScores, HookPoint.Pattern, HookPoint.Ln2Scale, HookPoint.MlpPre, HookPoint.LnFinalScale];
        foreach (HookPoint point in HookNames.All)
        {
            session.Interventions = InterventionPlan.Of(Intervention.Scale(point, 0.5f, point.IsPerLayer() ? 1 : null));
            session.Forward(s_input.Ids);
            Assert.Equal([point.Name(1)], session.Cache.Changed);
            ActivationCache saved = HandMade.Saved(session.Cache);
            Assert.Equal(session.Cache.Changed, saved.Changed);
            foreach (ActivationCache cache in new[] { session.Cache, saved })
            {
                // Queries and keys are behind what a flow takes of them, the pattern.
                bool flows = frozen.Contains(point) || point is HookPoint.Q or HookPoint.K, sums = flows || point is HookPoint.Logits;
                Expect(flows, () => FlowTracer.Trace(model, cache, 0, 3, new() { Layers = 2, Target = FlowTarget.Token(2), AllSources = true }));
                Expect(sums || point == HookPoint.LnFinalNormalized, () => FlowTracer.Trace(model, cache, 0, 3, new() { Layers = 2, AllSources = true }));
                Expect(point != HookPoint.ResidPre, () => FlowTracer.Trace(model, cache, 0, 3, new() { Layers = 1, AllSources = true }));
                Expect(point is not (HookPoint.Result or HookPoint.AttnOut), () => HeadWrites.Measure(model, cache, 1));
                Expect(
                    point is not (HookPoint.Ln1Normalized or HookPoint.Q or HookPoint.K or HookPoint.V or HookPoint.Z),
                    () => HeadReads.Measure(model, cache, 1, ReadDirection.Dimension(1)));
                Expect(
                    point is not (HookPoint.Z or HookPoint.Result or HookPoint.AttnOut or HookPoint.ResidMid or HookPoint.Ln2Normalized or HookPoint.MlpPreLinear or
                        HookPoint.MlpPost or HookPoint.MlpOut or HookPoint.ResidPost),
                    () => InformationFlowRoutes.Measure(model, cache));

                void Expect(bool told, Func<object> measure)
                {
                    if (!told)
                        Refused.Saying($"an intervention changed {point.Name(1)} in this run", measure);
                    else if (measure() is FlowTrace flow)
                        Assert.True(flow.ConservationError < 1e-5, $"{point.Name(1)}: off by {flow.ConservationError}");
                }
            }
        }

        session.Interventions = InterventionPlan.None;
        session.Forward(s_input.Ids);
        Assert.Empty(session.Cache.Changed);
    }

    private static void Everything(LlamaModel model, ActivationCache cache, string expected)
    {
        foreach (Func<object> measure in Measures(model, cache))
            Refused.Saying(expected, measure);
    }

    private static Func<object>[] Measures(LlamaModel model, ActivationCache cache) =>
    [
        () => HeadWrites.Measure(model, cache, 0),
        () => HeadReads.Measure(model, cache, 0, ReadDirection.Dimension(0)),
        () => HeadReads.OverDimensions(model, cache, 0, 0, HeadInputs.Q, 0),
        () => FlowTracer.Trace(model, cache, 0, 1, new FlowOptions { Layers = 1 }),
    ];

    private static FlowTrace Trace(Analysed run, int src, int dst, FlowOptions? options = null) => FlowTracer.Trace(run.Model, run.Cache, src, dst, options);
}
