using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Every head's output at every position of a prompt patched from another run: by a sweep, and by as many separate forward passes.</summary>
public class PatchingBenchmarks
{
    private const int Tokens = 32, Layers = 4, Heads = 8;

    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 256,
        IntermediateSize = 704,
        NumHiddenLayers = Layers,
        NumAttentionHeads = Heads,
        NumKeyValueHeads = Heads,
        HeadDim = 32,
        VocabSize = 4096,
    };

    private LlamaModel _model = null!;
    private LlamaSession _clean = null!;
    private LlamaSession _patched = null!;
    private int[] _cleanIds = [];
    private int[] _corruptedIds = [];
    private InterventionPlan[] _plans = [];

    /// <summary>Both on as many threads; the passes one after the other, as a session runs them.</summary>
    [Params(1, 2)]
    public int Threads { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _model = LlamaModel.CreateRandom(s_config, seed: 1);
        // Other tokens at every position, so that nothing is the same in both runs.
        _cleanIds = Shapes.Ids(s_config, Tokens);
        _corruptedIds = [.. _cleanIds.Select(id => (id + 1) % s_config.VocabSize)];
        var options = new SessionOptions { Threads = Threads };
        _clean = _model.CreateSession(RecordingPlan.Of(HookPoint.Z), options);
        _clean.Forward(_cleanIds);
        _patched = _model.CreateSession(null, options);
        _plans = [.. from l in Enumerable.Range(0, Layers)
                     from h in Enumerable.Range(0, Heads)
                     from t in Enumerable.Range(0, Tokens)
                     select InterventionPlan.Of(Intervention.Replace(HookPoint.Z, _clean.Cache, l, h, t))];
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _clean.Dispose();
        _patched.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "1024 forward passes, each patched in one place")]
    public double Separate()
    {
        double sum = 0;
        foreach (InterventionPlan plan in _plans)
        {
            _patched.Interventions = plan;
            sum += _patched.Forward(_corruptedIds)[7];
        }

        return sum;
    }

    [Benchmark(Description = "1024 forward passes without any patch")]
    public double Plain()
    {
        double sum = 0;
        _patched.Interventions = InterventionPlan.None;
        foreach (InterventionPlan _ in _plans)
            sum += _patched.Forward(_corruptedIds)[7];
        return sum;
    }

    [Benchmark(Description = "the sweep, with both runs that it needs")]
    public double Sweep() => ActivationPatching
        .Measure(_model, _cleanIds, _corruptedIds, CausalMetric.Logit(7), new PatchingOptions { Compute = new AnalysisOptions { Threads = Threads } })
        .Sites.Sum(site => site.Value);
}
