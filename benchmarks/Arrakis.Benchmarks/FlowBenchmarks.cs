using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A flow through every layer beside the forward pass that it explains; and the flow from all sources, by one covector or source by source.</summary>
public class FlowBenchmarks
{
    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 8);
    private int[] _ids = null!;
    private LlamaModel _model = null!;
    private LlamaSession _session = null!;

    [Params(128, 512)]
    public int Tokens { get; set; }

    private FlowOptions Whole => new() { Layers = _config.NumHiddenLayers, Paths = 0, Compute = new AnalysisOptions { Threads = 1 } };

    [GlobalSetup]
    public void Setup()
    {
        _ids = Shapes.Ids(_config, Tokens);
        _model = LlamaModel.CreateRandom(_config, seed: 1);
        _session = _model.CreateSession(RecordingPlan.Flow, new SessionOptions { Threads = 1 });
        _session.Forward(_ids);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _session.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "one forward pass, recorded")]
    public float Forward() => _session.Forward(_ids)[0];

    [Benchmark(Description = "every edge from position 0 to the last")]
    public double Trace() => FlowTracer.Trace(_model, _session.Cache, 0, Tokens - 1, Whole).Total;

    [Benchmark(Description = "... and the flow from every source")]
    public double AllSources() => FlowTracer.Trace(_model, _session.Cache, 0, Tokens - 1, Whole with { AllSources = true }).Total;

    [Benchmark(Description = "... and the ten strongest paths")]
    public double Paths() => FlowTracer.Trace(_model, _session.Cache, 0, Tokens - 1, Whole with { Paths = 10 }).Total;
}
