using Arrakis.Native;
using Arrakis.Native.Memory;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>Analyses of one model and one recording may run on any number of threads at once, may be cancelled wherever they look, and give back what they took.</summary>
public sealed class SharingTests
{
    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 64, IntermediateSize = 96, NumHiddenLayers = 4, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 16, VocabSize = 900,
    };

    private static readonly AnalysisOptions s_options = new() { Threads = 1 };

    public static TheoryData<string> Measures => ["writes", "reads", "flow", "routes", "copying", "composition", "attribution", "lens"];

    [Theory]
    [MemberData(nameof(Measures))]
    public void Threads_share_a_model_and_a_recording(string measure)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = Recorded(model);
        double[] expected = Measured(measure, model, session.Cache);
        Assert.NotEmpty(expected);
        Parallel.For(0, 12, _ => Assert.Equal(expected, Measured(measure, model, session.Cache)));
    }

    [Theory]
    [InlineData("copying")]
    [InlineData("composition")]
    public void An_analysis_cancelled_at_any_report_of_its_progress_gives_back_what_it_took(string measure)
    {
        int reports = CancelledAt(measure, int.MaxValue);
        Assert.True(reports > 3, $"{measure} reports {reports} times");
        for (int at = 0; at < reports - 1; at++)
            Assert.Equal(at + 1, CancelledAt(measure, at));
    }

    [Theory]
    [MemberData(nameof(Measures))]
    public void A_model_that_was_disposed_is_refused(string measure)
    {
        LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = Recorded(model);
        model.Dispose();
        // The session keeps the weights in place, but an analysis is begun anew.
        Assert.Throws<ObjectDisposedException>(() => Measured(measure, model, session.Cache));
    }

    private static int CancelledAt(string measure, int report)
    {
        // A model of its own, for what it has computed once it keeps.
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        Arena arena = model.Arenas.Get();
        model.Arenas.Return(arena);
        using var source = new CancellationTokenSource();
        var progress = new Counted(count =>
        {
            if (count == report)
                source.Cancel();
        });
        bool isCancelled = false;
        try
        {
            if (measure == "copying")
                HeadCopying.MeasureAll(model, s_options, progress, source.Token);
            else
                HeadComposition.Measure(model, CompositionKind.K, options: s_options, progress: progress, cancellation: source.Token);
        }
        catch (OperationCanceledException)
        {
            isCancelled = true;
        }

        Assert.Equal(report < int.MaxValue, isCancelled);
        // An analysis may take several arenas, and the pool hands them out in an order of its own.
        Assert.Contains(arena, Enumerable.Range(0, 4).Select(_ => model.Arenas.Get()));
        return progress.Reports;
    }

    private static LlamaSession Recorded(LlamaModel model)
    {
        LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward([1, 2, 3, 400, 2, 3, 400, 899]);
        return session;
    }

    private static double[] Measured(string measure, LlamaModel model, ActivationCache cache)
    {
        switch (measure)
        {
            case "writes":
                return HeadWrites.Measure(model, cache, 1, s_options).Strengths.ToArray();
            case "reads":
                return HeadReads.Measure(model, cache, 2, ReadDirection.HeadWrite(1, 2), options: s_options).Strengths.ToArray();
            case "flow":
                FlowTrace flow = FlowTracer.Trace(model, cache, 1, 7, new FlowOptions { Layers = 4, AllSources = true, Compute = s_options });
                return [flow.Total, .. flow.Sources!, .. flow.Paths.Select(path => path.Flow)];
            case "routes":
                return [.. InformationFlowRoutes.Measure(model, cache, s_options).Edges(7).Select(edge => edge.Weight)];
            case "copying":
                return HeadCopying.Measure(model, 2, s_options);
            case "composition":
                return [.. HeadComposition.Measure(model, CompositionKind.Q, options: s_options).Select(score => score.Score)];
            case "attribution":
                return DirectLogitAttribution.Measure(model, cache, 7, 3, s_options).Heads(3).ToArray();
            case "lens":
                return [.. LogitLens.Measure(model, cache, 7, options: s_options).Rows.Select(row => row.Chosen.Logit)];
            default:
                throw new ArgumentOutOfRangeException(nameof(measure), measure, null);
        }
    }

    private sealed class Counted(Action<int> before) : IProgress<double>
    {
        public int Reports { get; private set; }

        public void Report(double value) => before(Reports++);
    }
}
