using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Information flow routes of two layers: parts streamed, or every head's and key's part made and compared by itself.</summary>
public class RouteBenchmarks : RecordedRun
{
    private const int Tokens = 64;

    protected override int Length => Tokens;

    protected override int Layers => 2;

    protected override RecordingPlan Plan => RecordingPlan.All;

    [Benchmark(Baseline = true, Description = "parts one by one")]
    public float OneByOne()
    {
        int heads = Config.NumAttentionHeads, d = Config.HiddenSize, k = Config.HeadDim;
        float total = 0;
        float[] values = new float[Tokens * heads * k], writes = new float[Tokens * heads * d], part = new float[d];
        for (int layer = 0; layer < Config.NumHiddenLayers; layer++)
        {
            ReadOnlySpan<float> v = Session.Cache.Flat(HookPoint.V, layer), pattern = Session.Cache.Flat(HookPoint.Pattern, layer);
            ReadOnlySpan<float> mid = Session.Cache.Flat(HookPoint.ResidMid, layer);
            for (int i = 0; i < Tokens * heads; i++)
                v.Slice((i / heads * Config.NumKeyValueHeads + i % heads / Config.HeadsPerKeyValueHead) * k, k).CopyTo(values.AsSpan(i * k));
            // v[s] W_O[h] of every key and head is what attn.result is of a pattern that looks nowhere else.
            Session.ComputeResult(layer, values, writes);
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
    public double Measure() => InformationFlowRoutes.Measure(Model, Session.Cache, Options).AttentionError;
}
