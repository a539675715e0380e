using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>What the heads of one layer read of a direction, at every token: with the direction projected once, or its component projected at every token.</summary>
public unsafe class ReadBenchmarks : RecordedRun
{
    [Params(128, 512)]
    public int Tokens { get; set; }

    protected override int Length => Tokens;

    [Benchmark(Baseline = true, Description = "component projected, dense")]
    public double Dense()
    {
        int d = Config.HiddenSize, q = Config.NumAttentionHeads * Config.HeadDim, k = Config.HeadDim;
        using Compute compute = Compute.Rent(Model, Options, Tokens, d, (long)Tokens * (2 * d + 2 * q));
        LlamaLayer w = Model.Weights.Layers[2];
        float* part = compute.TakeZeroed((long)Tokens * d), read = compute.Take((long)Tokens * q), mixed = compute.Take((long)Tokens * q);
        ReadOnlySpan<float> x = Session.Cache.Flat(HookPoint.ResidPre, 2);
        for (int t = 0; t < Tokens; t++)
            part[t * d + 7] = x[t * d + 7];
        compute.Normed(part, w.AttentionNorm, Session.Cache.Flat(HookPoint.Ln1Scale, 2), part, Tokens);
        double sum = 0;
        foreach ((Projection projection, HookPoint hook) in new[] { (Projection.Query, HookPoint.Q), (Projection.Key, HookPoint.K), (Projection.Value, HookPoint.V) })
        {
            compute.Project(part, Tokens, ModelGrams.Of(w, projection), read);
            sum += Shares(read, Session.Cache.Flat(hook, 2), k);
        }

        fixed (float* pattern = Session.Cache.Flat(HookPoint.Pattern, 2))
            compute.Mix(pattern, Tokens, new Window(0, Tokens - 1), new Window(0, Tokens - 1), read, mixed);
        return sum + Shares(mixed, Session.Cache.Flat(HookPoint.Z, 2), k);
    }

    [Benchmark(Description = "HeadReads.Measure, with its identity")]
    public double Measure() => HeadReads.Measure(Model, Session.Cache, 2, ReadDirection.Dimension(7), options: Options).ShareError;

    private static double Shares(float* part, ReadOnlySpan<float> whole, int k)
    {
        double sum = 0;
        for (int i = 0; i < whole.Length; i += k)
        {
            ReadOnlySpan<float> all = whole.Slice(i, k);
            sum += TensorPrimitives.Dot(new ReadOnlySpan<float>(part + i, k), all) / TensorPrimitives.SumOfSquares(all);
        }

        return sum;
    }
}
