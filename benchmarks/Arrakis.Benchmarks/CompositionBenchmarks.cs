using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>K-composition of all heads of one layer with all of the next: from K×K matrices, or with every D×D matrix written out and multiplied.</summary>
public unsafe class CompositionBenchmarks
{
    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 2);
    private readonly AnalysisOptions _options = new() { Threads = 1 };
    private LlamaModel _model = null!;

    [GlobalSetup]
    public void Setup() => _model = LlamaModel.CreateRandom(_config, seed: 1);

    [GlobalCleanup]
    public void Cleanup() => _model.Dispose();

    [Benchmark(Baseline = true, Description = "D×D products")]
    public double Dense()
    {
        int d = _config.HiddenSize, k = _config.HeadDim, heads = _config.NumAttentionHeads, group = _config.HeadsPerKeyValueHead;
        using Compute compute = Compute.Rent(_model, _options, d, d, (long)d * (2 * heads * k + 2 * d * heads + 2 * d));
        float* value = Rows(compute, 0, Projection.Value), output = Rows(compute, 0, Projection.Output);
        float* key = Rows(compute, 1, Projection.Key), query = Rows(compute, 1, Projection.Query);
        float* ov = compute.Take((long)heads * d * d), qk = compute.Take((long)heads * d * d), product = compute.Take((long)d * d);
        for (int h = 0; h < heads; h++)
        {
            // OV₁ = Ŵ_V W_O and W_QKᵀ = Ŵ_K Ŵ_Qᵀ, both D×D.
            Outer(compute, value + (nint)(h / group) * k * d, output + (nint)h * k * d, ov + (nint)h * d * d);
            Outer(compute, key + (nint)(h / group) * k * d, query + (nint)h * k * d, qk + (nint)h * d * d);
        }

        double sum = 0;
        for (int from = 0; from < heads; from++)
        {
            for (int to = 0; to < heads; to++)
            {
                float* a = ov + (nint)from * d * d, b = qk + (nint)to * d * d;
                compute.Multiply(a, d, d, d, [new(Compute.Matrix(b, d, d, d), product, d, transposed: true)]);
                sum += Norm(product) / (Norm(a) * Norm(b));
            }
        }

        return sum;
    }

    [Benchmark(Description = "HeadComposition.Measure, with ceilings")]
    public double Measure() => HeadComposition.Measure(_model, CompositionKind.K, options: _options)[0].Score;

    private float* Rows(Compute compute, int layer, Projection projection)
    {
        float* rows = compute.Take((long)ModelGrams.Heads(_config, projection) * _config.HeadDim * _config.HiddenSize);
        ModelGrams.HeadRows(compute, layer, projection, rows);
        return rows;
    }

    /// <summary>aᵀ b for a and b [K, D].</summary>
    private void Outer(Compute compute, float* a, float* b, float* to)
    {
        int d = _config.HiddenSize, k = _config.HeadDim;
        float* turned = compute.Take((long)d * k);
        compute.Transpose(a, d, k, d, turned, k);
        compute.Multiply(turned, k, d, k, [new(Compute.Matrix(b, k, d, d), to, d, transposed: true)]);
    }

    private float Norm(float* matrix) => TensorPrimitives.Norm(new ReadOnlySpan<float>(matrix, _config.HiddenSize * _config.HiddenSize));
}
