using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Composition of every pair of heads of a model of 22 layers of 32 heads at D = 2048, on all cores; Gram matrices made anew.</summary>
public class AllPairsBenchmarks
{
    // TinyLlama's attention; what composition does not look at is small.
    private readonly LlamaConfig _config = new()
    {
        HiddenSize = 2048,
        IntermediateSize = 32,
        NumHiddenLayers = 22,
        NumAttentionHeads = 32,
        NumKeyValueHeads = 4,
        HeadDim = 64,
        VocabSize = 32,
    };

    private LlamaModel _model = null!;

    [Params(CompositionKind.V, CompositionKind.K, CompositionKind.Q)]
    public CompositionKind Kind { get; set; }

    [IterationSetup]
    public void Setup() => _model = LlamaModel.CreateRandom(_config, seed: 1);

    [IterationCleanup]
    public void Cleanup() => _model.Dispose();

    [Benchmark(Description = "HeadComposition.Measure, all pairs")]
    public double Measure() => HeadComposition.Measure(_model, Kind)[0].Score;
}
