using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A logit taken apart by head: with one covector a layer, or from what every head wrote, materialised. And attention rolled out over the layers.</summary>
public class AttributionBenchmarks : RecordedRun
{
    private const int Tokens = 128;

    protected override int Length => Tokens;

    protected override int Layers => 8;

    protected override RecordingPlan Plan => RecordingPlan.Flow.Union(RecordingPlan.Parse("mlp_out,embed,logits"));

    [Benchmark(Baseline = true, Description = "attn.result of every layer materialised")]
    public float Materialised()
    {
        int heads = Config.NumAttentionHeads, d = Config.HiddenSize;
        float[] result = new float[Tokens * heads * d], u = new float[d];
        float sum = 0;
        for (int layer = 0; layer < Config.NumHiddenLayers; layer++)
        {
            Session.ComputeResult(layer, Session.Cache.Flat(HookPoint.Z, layer).ToArray(), result);
            for (int h = 0; h < heads; h++)
                sum += TensorPrimitives.Dot(result.AsSpan(((Tokens - 1) * heads + h) * d, d), u);
            sum += TensorPrimitives.Dot(Session.Cache.Flat(HookPoint.MlpOut, layer).Slice((Tokens - 1) * d, d), u);
        }

        return sum;
    }

    [Benchmark(Description = "DirectLogitAttribution.Measure")]
    public double Attribution() => DirectLogitAttribution.Measure(Model, Session.Cache, Tokens - 1, 7, Options).Sum;

    [Benchmark(Description = "LogitLens.Measure")]
    public double Lens() => LogitLens.Measure(Model, Session.Cache, Tokens - 1, options: Options).Rows[0].Chosen.Logit;

    [Benchmark(Description = "AttentionRollout.Measure")]
    public double Rollout() => AttentionRollout.Measure(Model, Session.Cache, options: Options).RowError;
}
