using System.Diagnostics;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;
using MathNet.Numerics.Statistics;

namespace Arrakis.Experiments;

/// <summary>What one component of a forward pass costs.</summary>
/// <param name="Layer">Its layer, from 0; null for what stands outside the layers.</param>
/// <param name="Component">Which: <c>embed</c>, <c>ln1</c>, <c>attn.qkv</c>, <c>attn.rotate</c>, <c>attn.attend</c>, <c>attn.out</c>, <c>ln2</c>, <c>mlp.in</c>, <c>mlp.out</c>, <c>unembed</c>.</param>
/// <param name="Seconds">The median of the runs; of an input so long that every thread takes tokens of its own through the blocks, on the thread that has the last ones.</param>
/// <param name="WeightBytes">Bytes of its weights, as they are stored.</param>
/// <param name="ActivationBytes">Bytes of what it computes for all tokens of the pass, recorded or not.</param>
public sealed record ComponentCost(int? Layer, string Component, double Seconds, long WeightBytes, long ActivationBytes);

/// <summary>Where a forward pass spends its time and its bytes, by layer and component.</summary>
/// <param name="Tokens">Tokens of the pass.</param>
/// <param name="Runs">How many passes were measured, after one that warmed up.</param>
/// <param name="Kernels">The instructions in use.</param>
/// <param name="Threads">Threads in use.</param>
/// <param name="RecordedBytes">Bytes that the pass recorded.</param>
/// <param name="Seconds">The median time of a whole pass. The components' medians need not add up to it; those of a single run do, but for what no component does.</param>
/// <param name="Components">In the order of the pass.</param>
public sealed record ModelProfile(
    int Tokens, int Runs, string Kernels, int Threads, long RecordedBytes, double Seconds, IReadOnlyList<ComponentCost> Components)
{
    /// <summary>Measures passes over an input.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ids">The token ids.</param>
    /// <param name="plan">What the passes record; null for nothing.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="runs">How many passes, at least 1.</param>
    /// <param name="cancellation">Looked at before every block.</param>
    /// <exception cref="ArrakisException">There are no runs, or the input does not fit the model.</exception>
    public static ModelProfile Measure(
        LlamaModel model, ReadOnlySpan<int> ids, RecordingPlan? plan = null, SessionOptions? options = null, int runs = 5, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (runs < 1)
            throw new ArrakisException($"{runs} runs measure nothing: use at least 1");
        using LlamaSession session = model.CreateSession(plan, options);
        session.Forward(ids, cancellation);
        var clock = new PassClock(model.Config.NumHiddenLayers);
        session.Clock = clock;
        var spent = new double[runs][];
        double[] whole = new double[runs];
        for (int run = 0; run < runs; run++)
        {
            long start = Stopwatch.GetTimestamp();
            session.Forward(ids, cancellation);
            whole[run] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            spent[run] = [.. clock.Ticks.ToArray().Select(ticks => ticks / (double)Stopwatch.Frequency)];
        }

        var components = new List<ComponentCost> { Cost(PassStage.Embed, null) };
        for (int layer = 0; layer < model.Config.NumHiddenLayers; layer++)
        {
            for (PassStage stage = PassStage.AttentionNorm; stage <= PassStage.Down; stage++)
                components.Add(Cost(stage, layer));
        }

        components.Add(Cost(PassStage.Unembed, null));
        return new ModelProfile(ids.Length, runs, KernelTiers.Name(session.Kernels), session.Threads, session.Cache.Bytes, ArrayStatistics.MedianInplace(whole), components);

        ComponentCost Cost(PassStage stage, int? layer)
        {
            int at = clock.Index(layer ?? 0, stage);
            return new(layer, Name(stage), ArrayStatistics.MedianInplace([.. spent.Select(run => run[at])]), WeightBytes(model, layer, stage), ActivationBytes(model.Config, session.Cache, stage));
        }
    }

    private static long WeightBytes(LlamaModel model, int? layer, PassStage stage)
    {
        LlamaWeights weights = model.Weights;
        LlamaLayer w = weights.Layers[layer ?? 0];
        return stage switch
        {
            PassStage.Embed => Bytes(weights.Embedding),
            PassStage.AttentionNorm => Bytes(w.AttentionNorm),
            PassStage.QueryKeyValue => Bytes(w.Query) + Bytes(w.Key) + Bytes(w.Value),
            PassStage.Output => Bytes(w.Output),
            PassStage.MlpNorm => Bytes(w.MlpNorm),
            PassStage.GateUp => Bytes(w.Gate) + Bytes(w.Up),
            PassStage.Down => Bytes(w.Down),
            PassStage.Unembed => Bytes(weights.FinalNorm) + Bytes(weights.Unembedding),
            _ => 0,
        };
    }

    /// <summary>Every hook point of the stage; of the logits those of the last position where the others are not computed.</summary>
    private static long ActivationBytes(LlamaConfig c, ActivationCache cache, PassStage stage)
    {
        HookPoint[] points = stage switch
        {
            PassStage.Embed => [HookPoint.ResidPre],
            PassStage.AttentionNorm => [HookPoint.Ln1Scale, HookPoint.Ln1Normalized],
            PassStage.QueryKeyValue => [HookPoint.Q, HookPoint.K, HookPoint.V],
            PassStage.Rotate => [HookPoint.RotQ, HookPoint.RotK],
            PassStage.Attend => [HookPoint.AttnScores, HookPoint.Pattern, HookPoint.Z],
            PassStage.Output => [HookPoint.AttnOut],
            PassStage.MlpNorm => [HookPoint.ResidMid, HookPoint.Ln2Scale, HookPoint.Ln2Normalized],
            PassStage.GateUp => [HookPoint.MlpPre, HookPoint.MlpPreLinear, HookPoint.MlpPost],
            PassStage.Down => [HookPoint.MlpOut, HookPoint.ResidPost],
            _ => [HookPoint.LnFinalScale, HookPoint.LnFinalNormalized],
        };
        long floats = points.Sum(point => point.Count(c, cache.Tokens, cache.Tokens));
        if (stage == PassStage.Unembed)
            floats += HookPoint.Logits.Count(c, cache.Contains(HookPoint.Logits) ? cache.Tokens : 1, 1);
        return sizeof(float) * floats;
    }

    private static long Bytes(WeightMatrix matrix) => (long)matrix.RowBytes * matrix.Rows;

    private static long Bytes(float[] norm) => sizeof(float) * (long)norm.Length;

    private static string Name(PassStage stage) => stage switch
    {
        PassStage.Embed => "embed",
        PassStage.AttentionNorm => "ln1",
        PassStage.QueryKeyValue => "attn.qkv",
        PassStage.Rotate => "attn.rotate",
        PassStage.Attend => "attn.attend",
        PassStage.Output => "attn.out",
        PassStage.MlpNorm => "ln2",
        PassStage.GateUp => "mlp.in",
        PassStage.Down => "mlp.out",
        _ => "unembed",
    };
}
