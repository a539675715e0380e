using Arrakis.Analysis;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A flow through every layer beside the forward pass that it explains.</summary>
public class FlowBenchmarks : RecordedRun
{
    [Params(128, 512)]
    public int Tokens { get; set; }

    private FlowOptions Whole => new() { Layers = Config.NumHiddenLayers, Paths = 0, Compute = Options };

    protected override int Length => Tokens;

    protected override int Layers => 8;

    [Benchmark(Baseline = true, Description = "one forward pass, recorded")]
    public float Forward() => Session.Forward(Ids)[0];

    [Benchmark(Description = "every edge from position 0 to the last")]
    public double Trace() => FlowTracer.Trace(Model, Session.Cache, 0, Tokens - 1, Whole).Total;

    [Benchmark(Description = "... and the flow from every source")]
    public double AllSources() => FlowTracer.Trace(Model, Session.Cache, 0, Tokens - 1, Whole with { AllSources = true }).Total;

    [Benchmark(Description = "... and the ten strongest paths")]
    public double Paths() => FlowTracer.Trace(Model, Session.Cache, 0, Tokens - 1, Whole with { Paths = 10 }).Total;
}
