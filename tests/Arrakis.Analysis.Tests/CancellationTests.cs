using Arrakis.Native;
using Arrakis.Native.Memory;
using Arrakis.Native.Tests.Support;
using Microsoft.Extensions.ObjectPool;

namespace Arrakis.Analysis.Tests;

/// <summary>
/// What may take long can be cancelled before it begins and, where it calls back, from within; the arenas are in the pool again, and the same call then gives the bits
/// that it would have given.
/// </summary>
public sealed class CancellationTests
{
    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 32, IntermediateSize = 48, NumHiddenLayers = 3, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 8, VocabSize = 60,
    };

    private static readonly AnalysisOptions s_compute = new() { Threads = 1 };

    private static readonly int[] s_ids = [1, 20, 3, 4, 20, 5];

    private static readonly int[] s_other = [1, 30, 3, 4, 30, 5];

    private static readonly Dictionary<string, Func<LlamaModel, ActivationCache, CausalMetric, CancellationToken, double[]>> s_calls = new()
    {
        ["flow"] = (model, cache, _, token) => FlowTracer.Trace(model, cache, 1, 5, new FlowOptions { Layers = 3, AllSources = true, Compute = s_compute }, token).Sources!.ToArray(),
        ["heads"] = (model, cache, _, token) => [new ReadWriteHeads(model, cache, s_compute).TraceInformationFlow(s_ids, 3, 5, 2, token).Total],
        ["routes"] = (model, cache, _, token) => [.. InformationFlowRoutes.Measure(model, cache, s_compute, token).Edges(5).Select(edge => edge.Weight)],
        ["composition"] = (model, _, _, token) => [.. HeadComposition.Measure(model, CompositionKind.K, options: s_compute, cancellation: token).Select(score => score.Score)],
        ["copying"] = (model, _, _, token) => [.. HeadCopying.MeasureAll(model, s_compute, null, token).SelectMany(layer => layer)],
        ["copying of a layer"] = (model, _, _, token) => HeadCopying.Measure(model, 1, s_compute, null, token),
        ["rollout"] = (model, cache, _, token) => [.. AttentionRollout.Measure(model, cache, options: s_compute, cancellation: token).Row(5).ToArray().Select(value => (double)value)],
        ["lens"] = (model, cache, _, token) => [.. LogitLens.Measure(model, cache, 5, options: s_compute, cancellation: token).Rows.Select(row => row.Chosen.Logit)],
        ["detectors"] = (model, _, _, token) => [.. HeadDetectors.Detect(model, 8, options: s_compute, cancellation: token).Heads.Select(head => head.Induction)],
        ["sweep"] = Sweep,
        ["ablation"] = (model, _, metric, token) => HeadAblation.Measure(model, s_ids, metric, new AblationOptions { Compute = s_compute }, token).Values(2).ToArray(),
        ["ablation by means"] = (model, _, metric, token) => HeadAblation.Measure(model, s_ids, metric, Options(AblationKind.Mean), token).Values(2).ToArray(),
        ["ablation by samples"] = (model, _, metric, token) => HeadAblation.Measure(model, s_ids, metric, Options(AblationKind.Resample), token).Values(2).ToArray(),
        ["attribution"] = (model, _, _, token) =>
            [.. HeadAttribution.Measure(model, s_ids, CausalMetric.Logit(7), new AblationOptions { Compute = s_compute }, token).Heads.Select(head => head.Frozen)],
        ["patching"] = (model, _, metric, token) =>
            [.. ActivationPatching.Measure(model, s_ids, s_other, metric, new PatchingOptions { Compute = s_compute }, token).Sites.Select(site => site.Value)],
        ["paths"] = (model, _, metric, token) =>
            [.. PathPatching.Measure(model, s_ids, s_other, metric, [(0, 1)], null, new PathOptions { Compute = s_compute }, token).Paths.Select(effect => effect.Value)],
    };

    public static TheoryData<string> Calls => [.. s_calls.Keys];

    /// <summary>Those that ask a metric of the caller's in the midst of their work.</summary>
    public static TheoryData<string> Asking => ["sweep", "ablation", "ablation by means", "ablation by samples", "patching", "paths"];

    [Theory]
    [MemberData(nameof(Calls))]
    public void Cancelled_before_it_begins(string call)
    {
        using var run = new Run();
        double[] expected = s_calls[call](run.Model, run.Cache, Metric(() => { }), CancellationToken.None);
        Assert.NotEmpty(expected);
        int taken = run.Taken;
        Assert.ThrowsAny<OperationCanceledException>(() => s_calls[call](run.Model, run.Cache, Metric(() => { }), new CancellationToken(canceled: true)));
        Assert.Equal(taken, run.Taken);
        Assert.Equal(expected, s_calls[call](run.Model, run.Cache, Metric(() => { }), CancellationToken.None));
    }

    [Theory]
    [MemberData(nameof(Asking))]
    public void Cancelled_by_what_it_calls(string call)
    {
        using var run = new Run();
        int asked = 0;
        double[] expected = s_calls[call](run.Model, run.Cache, Metric(() => asked++), CancellationToken.None);
        Assert.True(asked > 2, $"asked {asked} times");
        int taken = run.Taken;
        // At the first, in the midst, and before the last, after which nothing may be left to do.
        foreach (int at in new[] { 1, asked / 2, asked - 1 })
        {
            using var source = new CancellationTokenSource();
            int count = 0;
            CausalMetric metric = Metric(() =>
            {
                if (++count == at)
                    source.Cancel();
            });
            Assert.ThrowsAny<OperationCanceledException>(() => s_calls[call](run.Model, run.Cache, metric, source.Token));
            Assert.Equal(taken, run.Taken);
        }

        Assert.Equal(expected, s_calls[call](run.Model, run.Cache, Metric(() => { }), CancellationToken.None));
    }

    private static double[] Sweep(LlamaModel model, ActivationCache cache, CausalMetric metric, CancellationToken token)
    {
        using var sweep = new CausalSweep(model, s_ids, metric, options: s_compute, cancellation: token);
        return sweep.Run([.. Enumerable.Range(0, 4).Select(head => InterventionPlan.Of(Intervention.Zero(HookPoint.Z, 0, head)))], token);
    }

    private static AblationOptions Options(AblationKind kind) => new() { Kind = kind, Compute = s_compute, References = [s_other, [1, 40, 3, 4, 40, 5]] };

    private static CausalMetric Metric(Action asked) => CausalMetric.Of("the logit of 7", logits =>
    {
        asked();
        return logits[7];
    });

    /// <summary>A recorded run, and the arenas of its model.</summary>
    private sealed class Run : IDisposable
    {
        private readonly LlamaSession _session;
        private readonly Counting _arenas;

        public Run()
        {
            Model.Arenas = _arenas = new Counting(Model.Arenas);
            _session = Model.CreateSession(RecordingPlan.All, Engine.Options());
            _session.Forward(s_ids);
        }

        public LlamaModel Model { get; } = LlamaModel.CreateRandom(s_config, 1);

        public ActivationCache Cache => _session.Cache;

        /// <summary>Arenas that were taken and not given back.</summary>
        public int Taken => _arenas.Taken;

        public void Dispose()
        {
            _session.Dispose();
            Model.Dispose();
        }
    }

    private sealed class Counting(ObjectPool<Arena> arenas) : ObjectPool<Arena>
    {
        private int _taken;

        public int Taken => Volatile.Read(ref _taken);

        public override Arena Get()
        {
            Interlocked.Increment(ref _taken);
            return arenas.Get();
        }

        public override void Return(Arena arena)
        {
            Interlocked.Decrement(ref _taken);
            arenas.Return(arena);
        }
    }
}
