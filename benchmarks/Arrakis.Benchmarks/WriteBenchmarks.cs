using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Write norms and shares of one layer: from Gram matrices, or from what every head wrote, materialised.</summary>
public class WriteBenchmarks
{
    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 4);
    private readonly AnalysisOptions _options = new() { Threads = 1 };
    private LlamaModel _model = null!;
    private LlamaSession _session = null!;

    [Params(128, 512)]
    public int Tokens { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _model = LlamaModel.CreateRandom(_config, seed: 1);
        // Without attn.result recorded, the cache computes it from z: T·H·D floats, which is what the plain way needs.
        _session = _model.CreateSession(RecordingPlan.Heads, new SessionOptions { Threads = 1 });
        _session.Forward(Shapes.Ids(_config, Tokens));
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _session.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "attn.result materialised")]
    public float Materialised()
    {
        int heads = _config.NumAttentionHeads, d = _config.HiddenSize;
        float[] result = new float[Tokens * heads * d];
        _session.ComputeResult(2, _session.Cache.Flat(HookPoint.Z, 2).ToArray(), result);
        float[] whole = new float[d], norms = new float[Tokens * heads], shares = new float[Tokens * heads];
        for (int t = 0; t < Tokens; t++)
        {
            Array.Clear(whole);
            for (int h = 0; h < heads; h++)
                TensorPrimitives.Add(whole, result.AsSpan((t * heads + h) * d, d), whole);
            float square = TensorPrimitives.SumOfSquares<float>(whole);
            for (int h = 0; h < heads; h++)
            {
                ReadOnlySpan<float> write = result.AsSpan((t * heads + h) * d, d);
                norms[t * heads + h] = TensorPrimitives.Norm(write);
                shares[t * heads + h] = TensorPrimitives.Dot(write, whole) / square;
            }
        }

        return norms[0] + shares[0];
    }

    [Benchmark(Description = "HeadWrites.Measure")]
    public double FromGrams() => HeadWrites.Measure(_model, _session.Cache, 2, _options).ShareError;
}
