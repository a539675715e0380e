using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>
/// Attribution and effect are of one change, z for what takes its place: both against the double-precision reference with that change made, once with patterns, scales
/// and gates held at the run and once with everything answering.
/// </summary>
public sealed class HeadAttributionTests
{
    private const int Position = 10, Token = 7, Minus = 9;

    // Sums of a few hundred single-precision terms over three layers; relative to the largest logit.
    private const double Tolerance = 5e-5;

    private static readonly int[] s_ids = [1, 2, 3, 40, 5, 6, 7, 49, 0, 11, 11, 3];
    private static readonly int[] s_other = [9, 2, 17, 40, 8, 6, 30, 31, 32, 11, 12, 4];
    private static readonly int[] s_third = [4, 4, 21, 3, 8, 44, 7, 31, 2, 19, 30, 5];
    private static readonly CausalMetric s_metric = CausalMetric.LogitDifference(Token, Minus, Position);

    public static TheoryData<int, AblationKind> GroupsByKind
    {
        get
        {
            var all = new TheoryData<int, AblationKind>();
            foreach (int kvHeads in new[] { 4, 2, 1 })
            {
                foreach (AblationKind kind in Enum.GetValues<AblationKind>())
                    all.Add(kvHeads, kind);
            }

            return all;
        }
    }

    [Theory]
    [MemberData(nameof(GroupsByKind))]
    public void Attribution_is_the_effect_of_the_same_change_in_the_frozen_network(int kvHeads, AblationKind kind)
    {
        using LlamaModel model = LlamaModel.CreateRandom(CausalSweepTests.Config(kvHeads), 4);
        ReferenceWeights weights = ReferenceWeights.From(model);
        int[][] references = kind switch
        {
            AblationKind.Zero => [],
            // A mean is over references of any length.
            AblationKind.Mean => [s_other, s_third[4..]],
            _ => [s_other, s_third],
        };
        HeadAttribution attribution = HeadAttribution.Measure(model, s_ids, s_metric, new() { Kind = kind, References = references, Compute = new() { Threads = 2 } });
        ReferenceRun run = new ReferenceModel(weights).Run(s_ids);
        ReferenceRun[] others = [.. references.Select(ids => new ReferenceModel(weights).Run(ids))];
        double scale = run["logits"].Max(Math.Abs);
        Close.To(Metric(run), attribution.Baseline, 2 * Tolerance, "the baseline", scale);
        foreach (AttributedHead head in attribution.Heads)
        {
            double[][] instead = [.. Instead(run, others, kind, head.Layer, head.Head)];
            Close.To(instead.Average(z => Direct(weights, run, z, head)), head.Direct, 2 * Tolerance, $"{kind}, direct, {head}", scale);
            Close.To(instead.Average(z => Metric(run) - Metric(Changed(weights, run, z, head, frozen: true))), head.Frozen, 2 * Tolerance, $"{kind}, frozen, {head}", scale);
            Close.To(instead.Average(z => Metric(run) - Metric(Changed(weights, run, z, head, frozen: false))), head.Measured, 2 * Tolerance, $"{kind}, measured, {head}", scale);
        }

        double[] measured = [.. attribution.Heads.Select(h => h.Measured)];
        Assert.Equal(RankCorrelation.Spearman([.. attribution.Heads.Select(h => h.Frozen)], measured), attribution.FrozenCorrelation);
        Assert.Equal(RankCorrelation.Spearman([.. attribution.Heads.Select(h => h.Direct)], measured), attribution.DirectCorrelation);
    }

    [Fact]
    public void Where_nothing_takes_a_head_s_place_the_direct_part_is_direct_logit_attribution()
    {
        using LlamaModel model = LlamaModel.CreateRandom(CausalSweepTests.Config(2), 4);
        HeadAttribution attribution = HeadAttribution.Measure(model, s_ids, s_metric);
        using LlamaSession run = model.CreateSession(RecordingPlan.Flow);
        run.Forward(s_ids);
        DirectLogitAttribution token = DirectLogitAttribution.Measure(model, run.Cache, Position, Token), minus = DirectLogitAttribution.Measure(model, run.Cache, Position, Minus);
        foreach (AttributedHead head in attribution.Heads)
            Close.To(token.Heads(head.Layer)[head.Head] - minus.Heads(head.Layer)[head.Head], head.Direct, Tolerance, $"{head}", scale: Math.Abs(token.Logit));
    }

    /// <summary>What takes the place of a head's output [T, K]: one, or one for every sample.</summary>
    private static IEnumerable<double[]> Instead(ReferenceRun run, ReferenceRun[] others, AblationKind kind, int layer, int head)
    {
        int k = run.Weights.Config.HeadDim;
        if (kind == AblationKind.Resample)
            return others.Select(other => Rows(other, layer, head).SelectMany(row => row).ToArray());
        double[][] rows = [.. others.SelectMany(other => Rows(other, layer, head))];
        double[] mean = [.. Enumerable.Range(0, k).Select(i => kind == AblationKind.Zero ? 0 : rows.Average(row => row[i]))];
        return [[.. Enumerable.Repeat(mean, s_ids.Length).SelectMany(row => row)]];
    }

    private static IEnumerable<double[]> Rows(ReferenceRun run, int layer, int head) => Enumerable.Range(0, run.Tokens).Select(t => run.Row($"blocks.{layer}.attn.hook_z", t, head).ToArray());

    /// <summary>⟨(z − z′) W_O, γ_final ∘ (W_U[:, v] − W_U[:, w])⟩ / r at the metric's position.</summary>
    private static double Direct(ReferenceWeights weights, ReferenceRun run, double[] instead, AttributedHead head)
    {
        int k = weights.Config.HeadDim;
        double[] lost = [.. run.Row($"blocks.{head.Layer}.attn.hook_z", Position, head.Head).ToArray().Select((z, i) => z - instead[Position * k + i])];
        double[] write = lost * weights.WO(head.Layer, head.Head);
        double[] u = weights.Unembedding.Row(Token).ToArray(), w = weights.Unembedding.Row(Minus).ToArray();
        return write.Select((c, i) => c * weights.FinalNorm[i] * (u[i] - w[i])).Sum() / run["ln_final.hook_scale"][Position];
    }

    private static ReferenceRun Changed(ReferenceWeights weights, ReferenceRun run, double[] instead, AttributedHead head, bool frozen) => new ReferenceModel(weights, (name, values) =>
    {
        if (frozen && (name.EndsWith("hook_pattern", StringComparison.Ordinal) || name.EndsWith("hook_scale", StringComparison.Ordinal) || name.EndsWith("mlp.hook_pre", StringComparison.Ordinal)))
            run[name].CopyTo(values, 0);
        if (name != $"blocks.{head.Layer}.attn.hook_z")
            return;
        int k = weights.Config.HeadDim, heads = weights.Config.NumAttentionHeads;
        for (int t = 0; t < s_ids.Length; t++)
            instead.AsSpan(t * k, k).CopyTo(values.AsSpan((t * heads + head.Head) * k));
    }).Run(s_ids);

    private static double Metric(ReferenceRun run) => run.Row("logits", Position)[Token] - run.Row("logits", Position)[Minus];
}
