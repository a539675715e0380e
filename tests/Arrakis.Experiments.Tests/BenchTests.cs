using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments.Tests;

public sealed class BenchTests : OnSmallModel
{
    private static readonly int[] s_other = [5, 2, 4, 91, 6, 7];
    private static readonly CausalMetric s_metric = CausalMetric.LogitDifference(9, 4);
    private static readonly AblationOptions s_resampled = new() { Kind = AblationKind.Resample, References = [s_other] };

    private readonly Bench _bench;

    public BenchTests() => _bench = new Bench(Model, Folder.File("experiments"));

    [Fact]
    public void A_version_changes_with_what_it_depends_on_and_with_nothing_else()
    {
        string first = Run(1);
        Assert.Equal(first, Run(1));
        string[] others = [Run(2), Run(1, seed: 9), Run(1, experiment: "Other"), RunOther(1), RunOn(Small.Model(seed: 8))];
        Assert.Equal(6, others.Append(first).Distinct().Count());
        Assert.Equal([first, others[0], others[1], others[3]], _bench.ListVersions("Measured"));
        Assert.Equal(5, _bench.Log.Read("Measured").Runs.Count);
        Assert.Equal(first, _bench.GetVersion(first[..10].ToUpperInvariant()).Version);

        string Run(int x, int seed = 0, string experiment = "Measured")
        {
            _bench.LogExperiment(new JsonObject { ["x"] = x }, run => new JsonObject { ["y"] = 2 * x, ["r"] = run.Random.Next() }, seed, experiment);
            return _bench.Log.Read().Runs[^1].Version;
        }

        string RunOther(int x)
        {
            _bench.LogExperiment(new JsonObject { ["x"] = x }, run => new JsonObject { ["y"] = x + x, ["r"] = run.Random.Next() }, experiment: "Measured");
            return _bench.Log.Read().Runs[^1].Version;
        }

        string RunOn(HookedAutoModel model)
        {
            using (model)
            {
                var bench = new Bench(model, Folder.File("elsewhere"));
                bench.LogExperiment(new JsonObject { ["x"] = 1 }, run => new JsonObject { ["y"] = 2, ["r"] = run.Random.Next() }, experiment: "Measured");
                return bench.Log.Read().Runs[^1].Version;
            }
        }
    }

    [Fact]
    public void Every_tool_of_the_analysis_is_there_by_name()
    {
        int[] ids = [3, 17, 4, 90, 17, 4];
        Model.Forward(ids);
        var results = new Dictionary<string, JsonNode?>();
        _bench.LogExperiment([], run =>
        {
            results["write_read"] = run.UseTool<ReadWriteHeads>("write_read").IdentifyWriteHeads(0).ToJson();
            results["writes"] = run.UseTool<WritesTool>("writes").Measure(1).ToJson();
            results["reads"] = run.UseTool<ReadsTool>("reads").Measure(1, ReadDirection.Dimension(3)).ToJson();
            results["flow"] = run.UseTool<FlowTool>("flow").Trace(1, 5).ToJson();
            results["composition"] = run.UseTool<CompositionTool>("composition").Measure(CompositionKind.K).ToJson();
            results["copying"] = run.UseTool<CopyingTool>("copying").MeasureAll().ToJson();
            results["detectors"] = run.UseTool<DetectorsTool>("detectors").Detect(period: 8).Heads.ToJson();
            results["logit_attribution"] = run.UseTool<LogitAttributionTool>("logit_attribution").Measure(5, 9).ToJson();
            results["logit_lens"] = run.UseTool<LogitLensTool>("logit_lens").Measure(5).ToJson();
            results["rollout"] = run.UseTool<RolloutTool>("rollout").Measure().ToJson();
            results["ablation"] = run.UseTool<AblationTool>("ablation").Measure(s_metric, s_resampled).ToJson();
            results["head_attribution"] = run.UseTool<HeadAttributionTool>("head_attribution").Measure(s_metric, s_resampled).ToJson();
            results["activation_patching"] = run.UseTool<ActivationPatchingTool>("activation_patching").Measure(s_other, s_metric, new() { Point = HookPoint.V }).ToJson();
            results["path_patching"] = run.UseTool<PathPatchingTool>("path_patching").Measure(s_other, s_metric, [(0, 1), (0, 2)]).ToJson();
            results["routes"] = run.UseTool<RoutesTool>("routes").Measure().Edges(5).ToJson();
            return new JsonObject(results);
        });
        ExperimentContent content = Assert.Single(_bench.Log.Read().Runs).Content;
        Assert.Equal(_bench.Tools.Names, content.Tools.Order(StringComparer.Ordinal));
        Assert.Equal(ids, content.Input);
        JsonObject logged = content.Result!.AsObject();
        FlowTrace flow = FlowTracer.Trace(Model.Model, Model.Cache!, 1, 5);
        Assert.Equal(flow.Total, (double)logged["flow"]!["total"]!);
        Assert.Equal(flow.Paths.Count, logged["flow"]!["paths"]!.AsArray().Count);
        Assert.Equal(DirectLogitAttribution.Measure(Model.Model, Model.Cache!, 5, 9).Heads(1)[2], (double)logged["logit_attribution"]!["heads"]![1]![2]!);
        Assert.Equal(8, logged["detectors"]!.AsArray().Count);
        Assert.Equal("residual", logged["routes"]!.AsArray().Select(edge => ((string)edge!["kind"]!).ToLowerInvariant()).Distinct().Order().Last());
    }

    /// <summary>Under the names of <c>heads read</c>, of a run and by the weights alone.</summary>
    [Fact]
    public void Reads_are_logged_with_their_shares()
    {
        Model.Forward([3, 17, 4, 90]);
        HeadReads reads = HeadReads.Measure(Model.Model, Model.Cache!, 1, ReadDirection.Dimension(3), HeadInputs.Q | HeadInputs.V);
        JsonObject logged = reads.ToJson().AsObject();
        Assert.Equal(
            ["layer", "direction", "via", "strength", "q", "k", "v", "q_share", "k_share", "v_share", "z_share", "share_error"], logged.Select(field => field.Key));
        Assert.Equal("""["q","v"]""", logged["via"]!.ToJsonString());
        Assert.Equal(reads.ShareError, (double)logged["share_error"]!);
        for (int head = 0; head < reads.Heads; head++)
        {
            Assert.Equal(reads.QShares(head), Row("q_share", head));
            Assert.Equal(reads.KShares(head), Row("k_share", head));
            Assert.Equal(reads.VShares(head), Row("v_share", head));
            Assert.Equal(reads.ZShares(head), Row("z_share", head));
        }

        logged = HeadReads.FromWeights(Model.Model, 1, ReadDirection.Dimension(3)).ToJson().AsObject();
        Assert.Equal("""["q","k","v"]""", logged["via"]!.ToJsonString());
        Assert.Equal(["q_share", "k_share", "v_share", "z_share", "share_error"], logged.Where(field => field.Value is null).Select(field => field.Key));

        float[] Row(string name, int head) => [.. logged[name]![head]!.AsArray().Select(share => (float)share!)];
    }

    /// <summary>A causal measure is of the recorded pass's input; what is logged is what it found.</summary>
    [Fact]
    public void Causal_tools_run_the_recorded_input_again_and_log_what_they_find()
    {
        int[] ids = [3, 17, 4, 90, 17, 4];
        Model.Forward(ids);
        HeadAblation ablation = HeadAblation.Measure(Model.Model, ids, s_metric, s_resampled);
        JsonNode logged = Logged("Ablated", run => run.UseTool<AblationTool>("ablation").Measure(s_metric, s_resampled).ToJson());
        Assert.Equal(("logit of 9 less 4", "resample", ablation.Baseline), ((string)logged["metric"]!, (string)logged["kind"]!, (double)logged["baseline"]!));
        Each(logged["heads"]!, [.. from l in Enumerable.Range(0, ablation.Layers) from h in Enumerable.Range(0, 4) select (l, h)], (node, at) =>
        {
            Assert.Equal(at, ((int)node["layer"]!, (int)node["head"]!));
            Assert.Equal(ablation.Effect(at.l, at.h), (double)node["effect"]!);
        });

        HeadAttribution attribution = HeadAttribution.Measure(Model.Model, ids, s_metric, s_resampled);
        logged = Logged("Attributed", run => run.UseTool<HeadAttributionTool>("head_attribution").Measure(s_metric, s_resampled).ToJson());
        Assert.Equal(attribution.FrozenCorrelation, (double?)logged["correlation"]!["frozen"]);
        Each(logged["heads"]!, [.. attribution.Heads], (node, head) =>
            Assert.Equal(head, new AttributedHead((int)node["layer"]!, (int)node["head"]!, (double)node["direct"]!, (double)node["frozen"]!, -(double)node["effect"]!)));

        ActivationPatching patched = ActivationPatching.Measure(Model.Model, s_other, ids, s_metric, new() { Point = HookPoint.V });
        logged = Logged("Patched", run => run.UseTool<ActivationPatchingTool>("activation_patching").Measure(s_other, s_metric, new() { Point = HookPoint.V }).ToJson());
        Assert.Equal(("attn.v", patched.Clean, patched.Corrupted), ((string)logged["point"]!, (double)logged["source"]!, (double)logged["baseline"]!));
        Each(logged["sites"]!, [.. patched.Sites], (node, site) => Assert.Equal(
            site, new PatchedSite((int)node["layer"]!, (int?)node["head"], (int?)node["position"], (double)node["value"]!, (double?)node["recovered"])));

        PathPatching paths = PathPatching.Measure(Model.Model, ids, s_other, s_metric, [(0, 1), (0, 2)]);
        logged = Logged("Paths", run => run.UseTool<PathPatchingTool>("path_patching").Measure(s_other, s_metric, [(0, 1), (0, 2)]).ToJson());
        Each(logged["senders"]!, [(0, 1), (0, 2)], (node, sender) =>
        {
            Assert.Equal(sender, ((int)node["sender"]!["layer"]!, (int)node["sender"]!["head"]!));
            Assert.Equal(paths.WholeEffect(sender), (double)node["whole"]!);
            Each(node["paths"]!, [.. paths.Paths.Where(path => path.Sender == sender)], (path, own) =>
            {
                int? layer = own.Receiver.Input == ReceiverInput.Logits ? null : own.Receiver.Layer, head = layer is null ? null : own.Receiver.Head;
                Assert.Equal((own.Receiver.Input.Name(), layer, head), ((string)path["input"]!, (int?)path["layer"], (int?)path["head"]));
                Assert.Equal((own.Value, own.Effect), ((double)path["value"]!, (double)path["effect"]!));
            });
        });

        JsonNode Logged(string experiment, Func<ExperimentRun, JsonNode> run)
        {
            _bench.LogExperiment([], run, node => node, experiment: experiment);
            ExperimentContent content = Assert.Single(_bench.Log.Read(experiment).Runs).Content;
            Assert.Equal(ids, content.Input);
            return content.Result!;
        }

        static void Each<T>(JsonNode nodes, T[] expected, Action<JsonNode, T> compare)
        {
            Assert.Equal(expected.Length, nodes.AsArray().Count);
            foreach ((JsonNode? node, T one) in nodes.AsArray().Zip(expected))
                compare(node!, one);
        }
    }

    [Fact]
    public void Tools_of_one_s_own_are_added_in_one_line_and_see_the_latest_pass()
    {
        _bench.Tools.Add("custom", input => new CustomTool(input.Cache));
        Assert.Null(Tokens(out ExperimentContent without));
        Assert.Null(without.Input);
        Model.Forward([1, 2, 3]);
        Assert.Equal(3, Tokens(out ExperimentContent with));
        Assert.Equal([1, 2, 3], with.Input);

        int? Tokens(out ExperimentContent content)
        {
            int? tokens = null;
            _bench.LogExperiment([], run => new JsonObject { ["tokens"] = tokens = run.UseTool<CustomTool>("custom").Tokens }, experiment: "Custom");
            content = _bench.Log.Read("Custom").Runs[^1].Content;
            return tokens;
        }
    }

    /// <summary>The cache is one object for all passes: what a tool looks at is not only what was there when it was made.</summary>
    [Fact]
    public void A_tool_that_is_used_after_another_pass_is_logged_with_that_input_too()
    {
        Model.Forward([1, 2, 3]);
        string[] versions = [Traced([9, 8, 7, 6, 5]), Traced([9, 8, 7, 6, 5]), Traced([9, 8, 7, 6, 4])];
        Assert.Equal((versions[0], false), (versions[1], versions[1] == versions[2]));

        string Traced(int[] later)
        {
            Model.Forward([1, 2, 3]);
            // What is returned does not tell the inputs apart: the version does by their names alone.
            int tokens = _bench.LogExperiment([], run =>
            {
                FlowTool flow = run.UseTool<FlowTool>("flow");
                run.Model.Forward(later);
                return flow.Trace(0, 4).Layers;
            }, layers => layers, experiment: "Traced");
            ExperimentRecord record = _bench.Log.Read("Traced").Runs[^1];
            Assert.Equal([1, 2, 3], record.Content.Input);
            Assert.Equal([later], record.Content.MoreInputs);
            return record.Version;
        }
    }

    [Fact]
    public void Inputs_are_logged_once_and_in_order_from_the_first_that_a_tool_looks_at()
    {
        int[] a = [1, 2, 3], b = [4, 5], c = [1, 2];
        _bench.Tools.Add("late", input => new LateTool(input));
        Assert.Equal([a, b, c], Logged(run =>
        {
            run.Model.Forward([90]);
            foreach (int[] ids in new[] { a, b, a, c })
            {
                run.Model.Forward(ids);
                run.UseTool<WritesTool>("writes").Measure(0);
            }
        }));
        // One that looks later than it is made.
        Assert.Equal([b], Logged(run =>
        {
            LateTool late = run.UseTool<LateTool>("late");
            run.Model.Forward(a);
            run.Model.Forward(b);
            Assert.Equal(2, late.Tokens);
        }));
        Assert.DoesNotContain("more_inputs", File.ReadAllText(Directory.GetFiles(Folder.File("experiments/Looked")).Order(StringComparer.Ordinal).Last()), StringComparison.Ordinal);
        // A pass that nobody looks at is not one of another experiment's.
        Model.Forward(c);
        Assert.Empty(Logged(run => run.Model.Forward(a)));

        IEnumerable<IReadOnlyList<int>> Logged(Action<ExperimentRun> body)
        {
            _bench.LogExperiment([], run =>
            {
                body(run);
                return [];
            }, experiment: "Looked");
            ExperimentContent content = _bench.Log.Read("Looked").Runs[^1].Content;
            return content.Input is { } first ? [first, .. content.MoreInputs ?? []] : [];
        }
    }

    [Fact]
    public void A_tool_that_looks_at_no_pass_is_logged_without_one()
    {
        Model.Forward([1, 2, 3]);
        _bench.LogExperiment([], run => new JsonObject { ["scores"] = run.UseTool<CopyingTool>("copying").MeasureAll().ToJson() });
        Assert.Null(Assert.Single(_bench.Log.Read().Runs).Content.Input);
    }

    [Fact]
    public void What_cannot_be_asked_for_is_refused_and_logged_as_failed()
    {
        Refused(
            "there is no tool 'nonsense': use ablation, activation_patching, composition, copying, detectors, flow, head_attribution, logit_attribution, logit_lens, path_patching, reads, "
                + "rollout, routes, write_read, writes, or add it to Tools",
            run => run.UseTool<FlowTool>("nonsense"));
        Refused("the tool 'write_read' is a ReadWriteHeads, not a FlowTool: ask for that", run => run.UseTool<FlowTool>("write_read"));
        Refused("the tool looks at a recorded pass, and there has been none: call the model's Forward first", run => run.UseTool<FlowTool>("flow"));
        Assert.Equal(3, _bench.Log.Read().Runs.Count(record => record.Content is { Failure.Type: "Arrakis.Native.ArrakisException", Result: null }));
        Assert.Equal("a tool needs a name to be asked for by", Assert.Throws<ArrakisException>(() => _bench.Tools.Add(" ", _ => new object())).Message);

        void Refused(string message, Func<ExperimentRun, object> ask) =>
            Assert.Equal(message, Assert.Throws<ArrakisException>(() => _bench.LogExperiment([], run => new JsonObject { ["tool"] = ask(run).ToString() })).Message);
    }

    [Fact]
    public void A_failure_is_logged_with_its_type_and_message_and_thrown_on()
    {
        var thrown = new InvalidOperationException("out of luck");
        Assert.Same(thrown, Assert.Throws<InvalidOperationException>(() => _bench.LogExperiment(new JsonObject { ["x"] = 1 }, Fail, experiment: "Unlucky")));
        ExperimentRecord record = Assert.Single(_bench.Log.Read().Runs);
        Assert.Equal(new ExperimentFailure("System.InvalidOperationException", "out of luck"), record.Content.Failure);
        Assert.Equal((1, "Fail", null), ((int)record.Content.Arguments["x"]!, record.Content.Source.Text, record.Content.Result));

        JsonObject Fail(ExperimentRun run) => throw thrown;
    }

    [Fact]
    public void A_record_that_cannot_be_written_is_not_lost()
    {
        // A file where the experiment's folder should be.
        Folder.Write("experiments/Blocked", "");
        ExperimentNotLoggedException e = Assert.Throws<ExperimentNotLoggedException>(
            () => _bench.LogExperiment([], _ => new JsonObject { ["answer"] = 42 }, experiment: "Blocked"));
        Assert.StartsWith($"cannot write a run of Blocked to {_bench.Log.Folder}: ", e.Message);
        Assert.DoesNotContain('\n', e.Message);
        Assert.Equal(42, (int)e.Record.Content.Result!["answer"]!);

        e = Assert.Throws<ExperimentNotLoggedException>(() => _bench.LogExperiment([], _ => throw new InvalidOperationException("out of luck"), experiment: "Blocked"));
        Assert.EndsWith("; and the experiment failed: out of luck", e.Message);
        Assert.IsType<InvalidOperationException>(e.InnerException);
        Assert.Empty(_bench.Log.Read().Runs);
    }

    [Fact]
    public void Results_hold_what_JSON_lacks_as_words_and_typed_ones_are_returned_as_they_are()
    {
        double[] result = _bench.LogExperiment([], _ => new[] { double.NaN, double.NegativeInfinity, 0.1f }, values => ResultJson.Numbers(values));
        Assert.Equal([double.NaN, double.NegativeInfinity, 0.1f], result);
        JsonNode logged = Assert.Single(_bench.Log.Read().Runs).Content.Result!;
        Assert.Equal("""["NaN","-Infinity",0.10000000149011612]""", logged.ToJsonString());
    }

    [Fact]
    public void A_result_that_nests_too_deep_to_be_read_again_is_a_failure()
    {
        JsonObject deep = [];
        for (int i = 0; i < 300; i++)
            deep = new JsonObject { ["in"] = deep };
        Assert.ThrowsAny<Exception>(() => _bench.LogExperiment([], _ => deep, experiment: "Deep"));
        ExperimentListing listing = _bench.Log.Read();
        Assert.Empty(listing.Faults);
        Assert.NotNull(Assert.Single(listing.Runs).Content.Failure);
    }

    [Fact]
    public void What_an_experiment_does_to_its_arguments_is_not_what_is_logged()
    {
        var arguments = new JsonObject { ["x"] = 1 };
        _bench.LogExperiment(arguments, _ =>
        {
            arguments["x"] = 2;
            return arguments;
        });
        ExperimentContent content = Assert.Single(_bench.Log.Read().Runs).Content;
        Assert.Equal((1, 2), ((int)content.Arguments["x"]!, (int)content.Result!["x"]!));
    }

    [Theory]
    [InlineData("")]
    [InlineData("../out")]
    [InlineData(".hidden")]
    [InlineData("a/b")]
    [InlineData("<Main>$")]
    [InlineData("new\nline")]
    public void Names_that_are_no_folder_s_are_refused_before_anything_runs(string name)
    {
        string message = Assert.Throws<ArrakisException>(() => _bench.LogExperiment([], _ => throw new InvalidOperationException(), experiment: name)).Message;
        Assert.Contains("cannot be an experiment's name", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void A_folder_that_cannot_be_is_refused_when_the_bench_is_made()
    {
        string file = Folder.Write("file", "");
        Assert.Contains("cannot make the folder", Assert.Throws<ArrakisException>(() => new Bench(Model, file)).Message, StringComparison.Ordinal);
        Assert.Equal("experiments need a folder to be saved in: name one", Assert.Throws<ArrakisException>(() => new Bench(Model, "")).Message);
    }

    /// <summary>Heads of the hand-made sample differ, and a test over repeated samples says so; the seed makes it say the same again.</summary>
    [Fact]
    public void A_hypothesis_is_tested_over_repeated_samples()
    {
        HypothesisTest Test() => _bench.LogExperiment(
            [], run => run.TestHypothesis(random => random.NextDouble(), random => random.NextDouble() + 0.5, samples: 30), test => test.ToJson(), seed: 4, experiment: "Shifted");
        HypothesisTest test = Test();
        Assert.Equal(test, Test());
        Assert.True(test.RejectNull);
        Assert.InRange(test.AlternativeMean - test.NullMean, 0.25, 0.75);
        JsonNode logged = _bench.GetVersion(Assert.Single(_bench.ListVersions("Shifted"))).Content.Result!;
        Assert.Equal(test.PValue, (double)logged["p_value"]!);
        Assert.True((bool)logged["reject_null"]!);
    }

    [Fact]
    public void A_test_that_is_none_is_refused_before_anything_is_sampled() =>
        _bench.LogExperiment(
            [], run =>
            {
                Func<Random, double> never = _ => throw new InvalidOperationException("sampled");
                Assert.Throws<ArgumentOutOfRangeException>("method", () => run.TestHypothesis(never, never, method: (HypothesisMethod)7));
                return new JsonObject();
            }, experiment: "NoTest");

    private sealed record LateTool(ToolInput Input)
    {
        public int? Tokens => Input.Cache?.Tokens;
    }

    private sealed record CustomTool(ActivationCache? Cache)
    {
        public int? Tokens => Cache?.Tokens;
    }
}
