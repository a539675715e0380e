using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A random model of SmolLM-135M's shape and a recorded run of it, on one thread.</summary>
public abstract class RecordedRun
{
    internal LlamaConfig Config { get; private set; } = null!;

    internal LlamaModel Model { get; private set; } = null!;

    internal LlamaSession Session { get; private set; } = null!;

    internal int[] Ids { get; private set; } = null!;

    internal static AnalysisOptions Options { get; } = new() { Threads = 1 };

    protected abstract int Length { get; }

    protected virtual int Layers => 4;

    protected virtual RecordingPlan Plan => RecordingPlan.Flow;

    [GlobalSetup]
    public void Setup()
    {
        Config = Shapes.SmolLM(Layers);
        Ids = Shapes.Ids(Config, Length);
        Model = LlamaModel.CreateRandom(Config, seed: 1);
        Session = Model.CreateSession(Plan, new SessionOptions { Threads = 1 });
        Session.Forward(Ids);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        Session.Dispose();
        Model.Dispose();
    }
}
