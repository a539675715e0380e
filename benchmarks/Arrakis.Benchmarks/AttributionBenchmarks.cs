using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A logit taken apart by head: with one covector a layer, or from what every head wrote, materialised. And attention rolled out over the layers.</summary>
public class AttributionBenchmarks
{
    private const int Tokens = 128;

    private readonly LlamaConfig _config = Shapes.SmolLM(layers: 8);
    private readonly AnalysisOptions _options = new() { Threads = 1 };
    private LlamaModel _model = null!;
    private LlamaSession _session = null!;

    [GlobalSetup]
    public void Setup()
    {
        _model = LlamaModel.CreateRandom(_config, seed: 1);
        _session = _model.CreateSession(RecordingPlan.Flow.Union(RecordingPlan.Parse("mlp_out,embed,logits")), new SessionOptions { Threads = 1 });
        _session.Forward(Shapes.Ids(_config, Tokens));
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _session.Dispose();
        _model.Dispose();
    }

    [Benchmark(Baseline = true, Description = "attn.result of every layer materialised")]
    public float Materialised()
    {
        int heads = _config.NumAttentionHeads, d = _config.HiddenSize;
        float[] result = new float[Tokens * heads * d], u = new float[d];
        float sum = 0;
        for (int layer = 0; layer < _config.NumHiddenLayers; layer++)
        {
            _session.ComputeResult(layer, _session.Cache.Flat(HookPoint.Z, layer).ToArray(), result);
            for (int h = 0; h < heads; h++)
                sum += TensorPrimitives.Dot(result.AsSpan(((Tokens - 1) * heads + h) * d, d), u);
            sum += TensorPrimitives.Dot(_session.Cache.Flat(HookPoint.MlpOut, layer).Slice((Tokens - 1) * d, d), u);
        }

        return sum;
    }

    [Benchmark(Description = "DirectLogitAttribution.Measure")]
    public double Attribution() => DirectLogitAttribution.Measure(_model, _session.Cache, Tokens - 1, 7, _options).Sum;

    [Benchmark(Description = "LogitLens.Measure")]
    public double Lens() => LogitLens.Measure(_model, _session.Cache, Tokens - 1, options: _options).Rows[0].Chosen.Logit;

    [Benchmark(Description = "AttentionRollout.Measure")]
    public double Rollout() => AttentionRollout.Measure(_model, _session.Cache, options: _options).RowError;
}
