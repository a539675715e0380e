using Arrakis.Analysis;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>The flow from every position to the last one through two layers: with one covector carried down, or source by source.</summary>
public class SourcesBenchmarks : RecordedRun
{
    private const int Tokens = 64;

    private static FlowOptions Question => new() { Paths = 0, Edges = 0, Compute = Options };

    protected override int Length => Tokens;

    protected override int Layers => 2;

    [Benchmark(Baseline = true, Description = "source by source")]
    public double OneByOne()
    {
        double sum = 0;
        for (int src = 0; src < Tokens; src++)
            sum += FlowTracer.Trace(Model, Session.Cache, src, Tokens - 1, Question).Total;
        return sum;
    }

    [Benchmark(Description = "FlowTracer.Trace, all sources")]
    public double AllAtOnce() => FlowTracer.Trace(Model, Session.Cache, 0, Tokens - 1, Question with { AllSources = true }).Conservation!.Value.Sum;
}
