using Arrakis.Analysis;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>
/// Copying scores of every head of a layer: through the vocabulary head by head, W_O γ W_U and W_E Ŵ_V (V·K numbers each), or through one Gram matrix of the
/// vocabulary for the whole model, here made anew every time.
/// </summary>
public unsafe class CopyingBenchmarks
{
    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 1) with { VocabSize = 16384 };
    private readonly AnalysisOptions _options = new() { Threads = 1 };
    private LlamaModel _model = null!;

    // A model keeps its Gram matrix: each run gets a model that has none.
    [IterationSetup]
    public void Setup() => _model = LlamaModel.CreateRandom(_config, seed: 1);

    [IterationCleanup]
    public void Cleanup() => _model.Dispose();

    [Benchmark(Baseline = true, Description = "through the vocabulary, head by head")]
    public float ByVocabulary()
    {
        int d = _config.HiddenSize, k = _config.HeadDim, v = _config.VocabSize, q = _config.NumAttentionHeads * k;
        using Compute compute = Compute.Rent(_model, _options, v, v, (long)v * (d + 2 * k) + 3L * d * q + (long)k * v);
        LlamaWeights w = _model.Weights;
        float* tokens = compute.Take((long)v * d), read = compute.Take((long)v * k), written = compute.Take((long)v * k), turned = compute.Take((long)v * k);
        float* values = compute.Take((long)_config.NumKeyValueHeads * k * d), outputs = compute.Take((long)q * d), circuit = compute.Take(k * k);
        ModelGrams.HeadRows(compute, 0, Projection.Value, values);
        ModelGrams.HeadRows(compute, 0, Projection.Output, outputs);
        compute.Widen(w.Embedding, 0, v, tokens);
        float sum = 0;
        for (int h = 0; h < _config.NumAttentionHeads; h++)
        {
            compute.Project(tokens, v, Compute.Matrix(values + (nint)(h / _config.HeadsPerKeyValueHead) * k * d, k, d, d), read);
            compute.Project(tokens, v, Compute.Matrix(outputs + (nint)h * k * d, k, d, d), written);
            compute.Transpose(written, k, v, k, turned, v);
            compute.Multiply(turned, v, k, v, [new(Compute.Matrix(read, v, k, k), circuit, k, transposed: true)]);
            sum += circuit[0];
        }

        return sum;
    }

    [Benchmark(Description = "HeadCopying.Measure, with eigenvalues")]
    public double Measure() => HeadCopying.Measure(_model, 0, _options)[0];
}
