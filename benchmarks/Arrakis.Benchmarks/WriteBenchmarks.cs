using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>Write norms and shares of one layer: from Gram matrices, or from what every head wrote, materialised.</summary>
public class WriteBenchmarks : RecordedRun
{
    [Params(128, 512)]
    public int Tokens { get; set; }

    protected override int Length => Tokens;

    [Benchmark(Baseline = true, Description = "attn.result materialised")]
    public float Materialised()
    {
        int heads = Config.NumAttentionHeads, d = Config.HiddenSize;
        float[] result = new float[Tokens * heads * d];
        Session.ComputeResult(2, Session.Cache.Flat(HookPoint.Z, 2).ToArray(), result);
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
    public double FromGrams() => HeadWrites.Measure(Model, Session.Cache, 2, Options).ShareError;
}
