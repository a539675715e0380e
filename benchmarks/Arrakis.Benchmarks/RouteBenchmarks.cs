using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Information flow routes of two layers: parts streamed, or every head's and key's part made and compared by itself.</summary>
public class RouteBenchmarks
{
    private const int Tokens = 64;

    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 2);
    private readonly AnalysisOptions _options = new() { Threads = 1 };
    private LlamaModel _model = null!;
    private LlamaSession _session = null!;

    [GlobalSetup]
    public void Setup()
    {
        _model = LlamaModel.CreateRandom(_config, seed: 1);
        _session = _model.CreateSession(RecordingPlan.All, new SessionOptions { Threads = 1 });
        _session.Forward(Shapes.Ids(_config, Tokens));
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _session.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "parts one by one")]
    public float OneByOne()
    {
        int heads = _config.NumAttentionHeads, d = _config.HiddenSize, k = _config.HeadDim;
        float total = 0;
        float[] values = new float[Tokens * heads * k], writes = new float[Tokens * heads * d], part = new float[d];
        for (int layer = 0; layer < _config.NumHiddenLayers; layer++)
        {
            ReadOnlySpan<float> v = _session.Cache.Flat(HookPoint.V, layer), pattern = _session.Cache.Flat(HookPoint.Pattern, layer);
            ReadOnlySpan<float> mid = _session.Cache.Flat(HookPoint.ResidMid, layer);
            for (int i = 0; i < Tokens * heads; i++)
                v.Slice((i / heads * _config.NumKeyValueHeads + i % heads / _config.HeadsPerKeyValueHead) * k, k).CopyTo(values.AsSpan(i * k));
            // v[s] W_O[h] of every key and head is what attn.result is of a pattern that looks nowhere else.
            _session.ComputeResult(layer, values, writes);
            for (int t = 0; t < Tokens; t++)
            {
                ReadOnlySpan<float> y = mid.Slice(t * d, d);
                float whole = TensorPrimitives.SumOfMagnitudes(y);
                for (int h = 0; h < heads; h++)
                {
                    for (int s = 0; s <= t; s++)
                    {
                        TensorPrimitives.Multiply(writes.AsSpan((s * heads + h) * d, d), pattern[(h * Tokens + t) * Tokens + s], part);
                        TensorPrimitives.Subtract(part, y, part);
                        total += MathF.Max(1e-5f, whole - TensorPrimitives.SumOfMagnitudes<float>(part));
                    }
                }
            }
        }

        return total;
    }

    [Benchmark(Description = "InformationFlowRoutes.Measure")]
    public double Measure() => InformationFlowRoutes.Measure(_model, _session.Cache, _options).AttentionError;
}
