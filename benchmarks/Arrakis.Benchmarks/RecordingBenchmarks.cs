using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A pass of SmolLM-135M's whole shape that records nothing, what the analyses of heads need, or everything; arenas warm.</summary>
public class RecordingBenchmarks : IKnowsWork
{
    private LlamaModel _model = null!;
    private LlamaSession _none = null!, _heads = null!, _all = null!;
    private int[] _ids = [];

    [Params(128, 512)]
    public int Tokens { get; set; }

    [Params(1, 2)]
    public int Threads { get; set; } = 1;

    [GlobalSetup]
    public void Setup()
    {
        LlamaConfig config = Shapes.SmolLM();
        _ids = Shapes.Ids(config, Tokens);
        _model = LlamaModel.CreateRandom(config, seed: 1);
        var options = new SessionOptions { Threads = Threads };
        _none = _model.CreateSession(RecordingPlan.None, options);
        _heads = _model.CreateSession(RecordingPlan.Heads, options);
        _all = _model.CreateSession(RecordingPlan.All, options);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _none.Dispose();
        _heads.Dispose();
        _all.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "none")]
    public float None() => _none.Forward(_ids)[0];

    [Benchmark(Description = "heads")]
    public float Heads() => _heads.Forward(_ids)[0];

    [Benchmark(Description = "all")]
    public float All() => _all.Forward(_ids)[0];

    public Work WorkOf(string method) => new(Tokens: Tokens);
}
