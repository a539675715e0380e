using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>The flow from every position to the last one through two layers: with one covector carried down, or source by source.</summary>
public class SourcesBenchmarks
{
    private const int Tokens = 64;

    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 2);
    private LlamaModel _model = null!;
    private LlamaSession _session = null!;

    private static FlowOptions Options => new() { Paths = 0, Edges = 0, Compute = new AnalysisOptions { Threads = 1 } };

    [GlobalSetup]
    public void Setup()
    {
        _model = LlamaModel.CreateRandom(_config, seed: 1);
        _session = _model.CreateSession(RecordingPlan.Flow, new SessionOptions { Threads = 1 });
        _session.Forward(Shapes.Ids(_config, Tokens));
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _session.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "source by source")]
    public double OneByOne()
    {
        double sum = 0;
        for (int src = 0; src < Tokens; src++)
            sum += FlowTracer.Trace(_model, _session.Cache, src, Tokens - 1, Options).Total;
        return sum;
    }

    [Benchmark(Description = "FlowTracer.Trace, all sources")]
    public double AllAtOnce() => FlowTracer.Trace(_model, _session.Cache, 0, Tokens - 1, Options with { AllSources = true }).Conservation!.Value.Sum;
}
