using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>A sweep's values are those of a separate pass for every variant, whatever is changed, wherever it is measured.</summary>
public sealed class CausalSweepTests
{
    // Other orders of the same sums in single precision, over three layers of well-conditioned weights; relative to the largest logit.
    private const double Tolerance = 5e-5;

    private static readonly int[] s_ids = [1, 2, 3, 40, 5, 6, 7, 49, 0, 11, 11, 3];

    /// <summary>Multi-head, grouped and single kv heads, with every tier.</summary>
    public static TheoryData<int, KernelTier> GroupsByTier
    {
        get
        {
            var all = new TheoryData<int, KernelTier>();
            foreach (int kvHeads in new[] { 4, 2, 1 })
            {
                foreach (KernelTier tier in KernelTiers.Supported)
                    all.Add(kvHeads, tier);
            }

            return all;
        }
    }

    public static TheoryData<int> Groups => [4, 2, 1];

    /// <summary>A shape in which no width is one that vectors like.</summary>
    internal static LlamaConfig Config(int kvHeads) => new()
    {
        HiddenSize = 40, IntermediateSize = 50, NumHiddenLayers = 3, NumAttentionHeads = 4, NumKeyValueHeads = kvHeads, HeadDim = 12, VocabSize = 50, MaxPositionEmbeddings = 64,
    };

    [Theory]
    [MemberData(nameof(GroupsByTier))]
    public void Every_variant_equals_its_separate_pass(int kvHeads, KernelTier tier)
    {
        using LlamaModel model = LlamaModel.CreateRandom(Config(kvHeads), 4);
        using LlamaSession other = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        other.Forward([.. s_ids.Select(id => (id + 1) % 50)]);
        InterventionPlan[] variants = [.. Variants(model.Config, other.Cache)];
        float[][] expected = [.. variants.Select(plan => Separate(model, plan, tier))];
        double allowed = Tolerance * expected.Max(logits => logits.Max(Math.Abs));
        foreach (int threads in new[] { 1, 3 })
        {
            var options = new AnalysisOptions { Threads = threads, Kernels = tier };
            Compare(CausalMetric.Logit(7), logits => logits[^43], options);
            Compare(CausalMetric.LogitDifference(7, 9, position: 4), logits => (double)logits[4 * 50 + 7] - logits[4 * 50 + 9], options);
            Compare(CausalMetric.Of("largest", Largest, position: 6), logits => Largest(logits.AsSpan(6 * 50, 50)), options);
            Compare(CausalMetric.OfSequence("sum", Sum), logits => Sum(s_ids, logits), options, s_ids.Length * 50);
        }

        void Compare(CausalMetric metric, Func<float[], double> of, AnalysisOptions options, double scale = 2)
        {
            using var sweep = new CausalSweep(model, s_ids, metric, null, options);
            double[] values = sweep.Run(variants);
            for (int i = 0; i < values.Length; i++)
            {
                double e = of(expected[i]);
                Assert.True(Math.Abs(values[i] - e) <= allowed * scale, $"{tier}, {metric.Name}, variant {i} ({Text(variants[i])}) is {values[i]:R}, by itself {e:R}; allowed {allowed * scale:E1}");
            }

            Assert.Equal(sweep.Baseline, values[0]);
        }
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void What_holds_in_every_variant_is_done_once(int kvHeads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(Config(kvHeads), 4);
        using LlamaSession other = model.CreateSession(RecordingPlan.All);
        other.Forward([.. s_ids.Select(id => (id + 1) % 50)]);
        InterventionPlan[] variants = [.. Variants(model.Config, other.Cache)];
        int skipped = 0;
        foreach (InterventionPlan background in Backgrounds(model.Config))
        {
            // Every fourth variant, others for every background.
            skipped = (skipped + 1) % 4;
            using var sweep = new CausalSweep(model, s_ids, CausalMetric.Logit(7), background);
            double[] values = sweep.Run(variants);
            for (int i = skipped; i < variants.Length; i += 4)
            {
                float[] expected = Separate(model, background.Then(variants[i]), KernelTier.Auto);
                double allowed = Tolerance * expected.Max(Math.Abs);
                Assert.True(
                    Math.Abs(values[i] - expected[^43]) <= allowed,
                    $"variant {i} ({Text(variants[i])}) over {Text(background)} is {values[i]:R}, by itself {expected[^43]:R}; allowed {allowed:E1}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void Values_do_not_depend_on_threads_or_on_what_else_is_swept(int kvHeads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(Config(kvHeads), 4);
        InterventionPlan[] variants = HeadAblation.Variants(model.Config, (l, h) => Intervention.Zero(HookPoint.Z, l, h, position: 3 + h));
        using var one = new CausalSweep(model, s_ids, CausalMetric.Loss, null, new AnalysisOptions { Threads = 1 });
        using var three = new CausalSweep(model, s_ids, CausalMetric.Loss, null, new AnalysisOptions { Threads = 3 });
        double[] together = one.Run(variants);
        Assert.Equal(together, three.Run(variants));
        Assert.Equal(together, variants.Select(v => one.Run([v])[0]));
    }

    [Fact]
    public void What_a_change_cannot_reach_keeps_its_bits()
    {
        using LlamaModel model = LlamaModel.CreateRandom(Config(2), 4);
        using var sweep = new CausalSweep(model, s_ids, CausalMetric.Logit(3, position: 5));
        double[] values = sweep.Run([
            InterventionPlan.None,
            InterventionPlan.Of(Intervention.Zero(HookPoint.ResidPre, 0, position: 6)),
            InterventionPlan.Of(Intervention.Zero(HookPoint.Z, 2, 1, position: 4)),
            InterventionPlan.Of(Intervention.Zero(HookPoint.Logits, position: 7)),
        ]);
        Assert.All(values, v => Assert.Equal(sweep.Baseline, v));
    }

    [Fact]
    public void What_does_not_fit_is_refused_before_anything_runs()
    {
        using LlamaModel model = LlamaModel.CreateRandom(Config(2), 4);
        Refused.With("token id 50 is outside the vocabulary: use 0 to 49", () => Sweep(CausalMetric.Logit(50)));
        Refused.With("the metric's position 12 is not in the input of 12 tokens: use 0 to 11", () => Sweep(CausalMetric.Logit(5, position: 12)));
        Refused.With("the loss of one token is over no prediction: use at least two", () => new CausalSweep(model, [3], CausalMetric.Loss).Dispose());
        Refused.With("bad is NaN: the model's weights or activations hold values that are not finite", () => Sweep(CausalMetric.Of("bad", _ => double.NaN)));
        Refused.With("an intervention at attn.z names head 4: the model has heads 0-3 there", () => Sweep(CausalMetric.Logit(5), Intervention.Zero(HookPoint.Z, 0, 4)));
        Refused.With(
            "an intervention at blocks.1.attn.hook_z names position 12: the sequence has positions 0-11", () => Sweep(CausalMetric.Logit(5), Intervention.Zero(HookPoint.Z, 1, 2, 12)));
        Assert.Equal("mine", Assert.Throws<InvalidOperationException>(() => Sweep(CausalMetric.Of("thrown", logits => logits[0] > 1e30 ? 0 : throw new InvalidOperationException("mine")))).Message);

        void Sweep(CausalMetric metric, Intervention? intervention = null)
        {
            using var sweep = new CausalSweep(model, s_ids, metric, null, new AnalysisOptions { Threads = 2 });
            sweep.Run([InterventionPlan.Of(intervention ?? Intervention.Zero(HookPoint.Z, 1, 2))]);
        }
    }

    private static double Largest(ReadOnlySpan<float> logits) => System.Numerics.Tensors.TensorPrimitives.Max(logits);

    private static double Sum(ReadOnlySpan<int> ids, ReadOnlySpan<float> logits)
    {
        // Weights that tell positions and tokens apart.
        double sum = 0;
        for (int i = 0; i < logits.Length; i++)
            sum += logits[i] * (i % 7 - 3) / 3.0;
        return sum;
    }

    private static float[] Separate(LlamaModel model, InterventionPlan plan, KernelTier tier)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Of(HookPoint.Logits), Engine.Options(tier) with { Interventions = plan });
        session.Forward(s_ids);
        return session.Cache.Flat(HookPoint.Logits).ToArray();
    }

    /// <summary>Every hook point, at one position, all, or two; at one layer or all; with every kind; two together; and what single query heads read.</summary>
    private static IEnumerable<InterventionPlan> Variants(LlamaConfig c, ActivationCache other)
    {
        yield return InterventionPlan.None;
        float[] added = [.. Enumerable.Range(0, c.HiddenSize).Select(i => 0.02f * (i - 15))];
        foreach (HookPoint point in HookNames.All)
        {
            int? head = point.Heads(c) > 0 ? point.Heads(c) - 1 : null;
            foreach (int? layer in new int?[] { null, 0, 1, 2 })
            {
                yield return InterventionPlan.Of(Intervention.Replace(point, other, layer, head, position: 4));
                yield return InterventionPlan.Of(Intervention.Scale(point, 0.75f, layer, null, position: 11));
                yield return InterventionPlan.Of(Intervention.Scale(point, 1.25f, layer, head));
            }
        }

        for (int layer = 0; layer < 3; layer++)
        {
            foreach (HookPoint point in new[] { HookPoint.K, HookPoint.RotK, HookPoint.V })
            {
                yield return InterventionPlan.Of(Intervention.Replace(point, other, layer).AsReadBy(2));
                yield return InterventionPlan.Of(Intervention.Zero(point, layer, position: 5).AsReadBy(1), Intervention.Scale(point, 0.5f, layer, 0, position: 2));
            }

            // Keys that one head alone sees, rotated anew, have behind them what all see changed after rotation.
            yield return InterventionPlan.Of(
                Intervention.Scale(HookPoint.K, 0.5f, layer).AsReadBy(2), Intervention.Zero(HookPoint.RotK, layer, position: 3), Intervention.Scale(HookPoint.RotK, 1.5f, layer));
            yield return InterventionPlan.Of(Intervention.CutEdge(layer, 1, 6, 2));
            yield return InterventionPlan.Of(Intervention.CutEdge(layer, 1, 6, 2, renormalize: false), Intervention.Zero(HookPoint.MlpOut, 2, position: 9));
            yield return InterventionPlan.Of(Intervention.Add(HookPoint.ResidPost, added, layer), Intervention.Zero(HookPoint.Z, 0, 3, 7), Intervention.Zero(HookPoint.Q, 2, 3, 1));
        }

        // Nothing is left to norm at that position.
        yield return InterventionPlan.Of(Intervention.Zero(HookPoint.Embed, position: 4), Intervention.Zero(HookPoint.Result, 0, position: 4));
        yield return InterventionPlan.Freeze(other);
    }

    /// <summary>What done twice, or in another order, is something else: at every hook point, and at those that a variant's rows are taken from the run at; read by single heads.</summary>
    private static IEnumerable<InterventionPlan> Backgrounds(LlamaConfig c)
    {
        float[] added = [.. Enumerable.Range(0, c.HiddenSize).Select(i => 0.02f * (i - 15))];
        foreach (HookPoint point in HookNames.All)
            yield return InterventionPlan.Of(Intervention.Scale(point, 0.5f, null, null, position: 3), Intervention.Scale(point, 1.5f, point.IsPerLayer() ? 1 : null));
        yield return InterventionPlan.Of(Intervention.Add(HookPoint.ResidPre, added, 1), Intervention.Add(HookPoint.Embed, added, position: 2), Intervention.Scale(HookPoint.ResidPre, 2, 0));
        foreach (HookPoint point in new[] { HookPoint.K, HookPoint.RotK, HookPoint.V })
            yield return InterventionPlan.Of(Intervention.Scale(point, 3, 1, position: 2).AsReadBy(3), Intervention.Zero(point, position: 8).AsReadBy(0));
        yield return InterventionPlan.Of(Intervention.Scale(HookPoint.RotK, 0.5f, 1), Intervention.Scale(HookPoint.K, 3, 1, position: 2).AsReadBy(3));
    }

    private static string Text(InterventionPlan plan) => string.Join(" and ", plan.Interventions.Select(i => $"{i.Point} layer {i.Layer} head {i.Head} position {i.Position} reader {i.Reader}"));
}
