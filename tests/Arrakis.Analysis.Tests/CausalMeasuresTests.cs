using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>Ablation, patching and paths: against models whose weights were edited, against separate passes, and against each other.</summary>
public sealed class CausalMeasuresTests
{
    private static readonly int[] s_ids = [1, 2, 3, 40, 5, 6, 7, 49, 0, 11, 11, 3];
    private static readonly int[] s_other = [9, 2, 17, 40, 8, 6, 30, 31, 32, 11, 12, 4];
    private static readonly AnalysisOptions s_compute = new() { Threads = 2 };

    // Sums of a few hundred single-precision terms over three layers, against the same by another way; relative to the largest logit.
    private const double Tolerance = 5e-5;

    public static TheoryData<int> Groups => CausalSweepTests.Groups;

    [Theory]
    [MemberData(nameof(Groups))]
    public void Zeroed_heads_are_those_whose_rows_of_W_O_are_zero(int kvHeads)
    {
        using LlamaModel model = Model(kvHeads);
        HeadAblation zero = HeadAblation.Measure(model, s_ids, CausalMetric.Logit(7));
        for (int layer = 0; layer < 3; layer++)
        {
            for (int head = 0; head < 4; head++)
            {
                using LlamaModel silent = Model(kvHeads);
                WeightEditing.Silence(silent, layer, head);
                Close.To(Last(silent, s_ids, 7), zero.Values(layer)[head], Tolerance, $"{layer}.{head}", scale: Largest(model));
                Assert.Equal(zero.Values(layer)[head] - zero.Baseline, zero.Effect(layer, head));
            }
        }

        Close.To(Last(model, s_ids, 7), zero.Baseline, Tolerance, "the baseline", scale: Largest(model));
        IReadOnlyList<(int Layer, int Head)> order = zero.Strongest();
        Assert.Equal(12, order.Distinct().Count());
        Assert.Equal(order.Select(h => Math.Abs(zero.Effect(h.Layer, h.Head))).OrderDescending(), order.Select(h => Math.Abs(zero.Effect(h.Layer, h.Head))));
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void Means_and_samples_take_a_heads_place(int kvHeads)
    {
        using LlamaModel model = Model(kvHeads);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        var means = new ActivationMeans(perPosition: false, HookPoint.Z);
        session.Forward(s_other);
        means.Add(session.Cache);
        session.Forward(s_other.AsSpan(3));
        means.Add(session.Cache);
        HeadAblation mean = HeadAblation.Measure(model, s_ids, CausalMetric.Loss, new() { Kind = AblationKind.Mean, References = [s_other, s_other[3..]], Compute = s_compute });
        HeadAblation sampled = HeadAblation.Measure(model, s_ids, CausalMetric.Logit(7), new() { Kind = AblationKind.Resample, References = [s_other, s_ids], Compute = s_compute });
        using LlamaSession changed = model.CreateSession(RecordingPlan.All, Engine.Options());
        for (int head = 0; head < 4; head++)
        {
            session.Interventions = InterventionPlan.Of(Intervention.Mean(HookPoint.Z, means, 1, head));
            session.Forward(s_ids);
            Close.To(CausalMetric.Loss.MeasureRun(s_ids, session.Cache.Flat(HookPoint.Logits)), mean.Values(1)[head], Tolerance, $"loss without 1.{head}");
            session.Interventions = InterventionPlan.None;
            session.Forward(s_other);
            changed.Interventions = InterventionPlan.Of(Intervention.Replace(HookPoint.Z, session.Cache, 1, head));
            double replaced = changed.Forward(s_ids)[7];
            Close.To((replaced + sampled.Baseline) / 2, sampled.Values(1)[head], Tolerance, $"logit with another 1.{head}", scale: Largest(model));
        }
    }

    [Fact]
    public void The_loss_is_that_of_the_reference()
    {
        using LlamaModel model = Model(2);
        double[] logits = new ReferenceModel(ReferenceWeights.From(model)).Run(s_ids)["logits"];
        double sum = 0;
        for (int t = 0; t + 1 < s_ids.Length; t++)
            sum += Math.Log(logits.Skip(t * 50).Take(50).Sum(Math.Exp)) - logits[t * 50 + s_ids[t + 1]];
        // Single-precision logits, a mean of logarithms.
        Close.To(sum / (s_ids.Length - 1), HeadAblation.Measure(model, s_ids, CausalMetric.Loss).Baseline, 1e-5, "loss");
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void Patching_everything_at_once_recovers_all_and_a_place_what_it_does_by_itself(int kvHeads)
    {
        using LlamaModel model = Model(kvHeads);
        var metric = CausalMetric.LogitDifference(7, 9);
        var whole = new PatchingOptions { Point = HookPoint.ResidPre, ByPosition = false, Layers = (0, 0), Compute = s_compute };
        ActivationPatching all = ActivationPatching.Measure(model, s_ids, s_other, metric, whole);
        // The whole stream is the clean run from there on.
        Close.To(1, all.Sites.Single().Recovered!.Value, Tolerance, "the stream", scale: Largest(model) / Math.Abs(all.Clean - all.Corrupted));
        ActivationPatching heads = ActivationPatching.Measure(model, s_ids, s_other, metric, new() { Layers = (1, 2), Compute = s_compute });
        Assert.Equal(2 * 4 * 12, heads.Sites.Count);
        using LlamaSession clean = model.CreateSession(RecordingPlan.All, Engine.Options()), patched = model.CreateSession(null, Engine.Options());
        clean.Forward(s_ids);
        foreach (PatchedSite site in heads.Sites)
        {
            patched.Interventions = InterventionPlan.Of(Intervention.Replace(HookPoint.Z, clean.Cache, site.Layer, site.Head, site.Position));
            ReadOnlySpan<float> logits = patched.Forward(s_other);
            Close.To((double)logits[7] - logits[9], site.Value, 2 * Tolerance, $"{site}", scale: Largest(model));
            Assert.Equal((site.Value - heads.Corrupted) / (heads.Clean - heads.Corrupted), site.Recovered);
        }

        Assert.Null(ActivationPatching.Measure(model, s_ids, s_ids, metric, whole).Sites.Single().Recovered);
        Assert.Equal(
            kvHeads * 3, ActivationPatching.Measure(model, s_ids, s_other, metric, new() { Point = HookPoint.V, ByPosition = false, Compute = s_compute }).Sites.Count);
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void Paths_add_up_to_the_whole_in_the_frozen_network(int kvHeads)
    {
        using LlamaModel model = Model(kvHeads);
        var metric = CausalMetric.Logit(7);
        (int Layer, int Head)[] senders = [(0, 1), (0, 3), (1, 2), (2, 0)];
        PathPatching paths = PathPatching.Measure(model, s_ids, s_other, metric, senders, null, new() { Frozen = true, Compute = s_compute });
        foreach ((int Layer, int Head) sender in senders)
        {
            PathEffect[] own = [.. paths.Paths.Where(p => p.Sender == sender)];
            Assert.Equal((2 - sender.Layer) * 4 * 3 + 1, own.Length);
            Close.To(paths.WholeEffect(sender), own.Sum(p => p.Effect), Tolerance, $"paths of {sender}", scale: Largest(model));
            // Patterns are frozen: what reaches queries and keys moves nothing.
            Assert.All(own.Where(p => p.Receiver.Input is ReceiverInput.Q or ReceiverInput.K), p => Assert.Equal(0, p.Effect, Tolerance * Largest(model)));
        }

        Assert.True(senders.Any(s => Math.Abs(paths.WholeEffect(s)) > 100 * Tolerance * Largest(model)), "no sender does anything");
    }

    /// <summary>Queries, keys and values of one receiver by hand: the stream that reaches it, projected in double precision, put in its place alone.</summary>
    [Theory]
    [MemberData(nameof(Groups))]
    public void A_path_lets_through_what_reaches_its_receiver_and_to_it_alone(int kvHeads)
    {
        using LlamaModel model = Model(kvHeads);
        ReferenceWeights weights = ReferenceWeights.From(model);
        ReferenceWeights split = Split(weights);
        var metric = CausalMetric.Logit(7);
        PathPatching paths = PathPatching.Measure(model, s_ids, s_other, metric, [(0, 1)], null, new() { HoldMlps = true, Compute = s_compute });
        ReferenceRun run = new ReferenceModel(split).Run(s_ids), other = new ReferenceModel(split).Run(s_other);
        // With all else held, the stream above differs by what the sender writes otherwise.
        ReferenceRun reaching = new ReferenceModel(split, (name, values) =>
        {
            if (name == "blocks.0.attn.hook_z")
                CopyHead(other["blocks.0.attn.hook_z"], values, 1);
            else if (name.EndsWith("hook_z", StringComparison.Ordinal) || name.EndsWith("mlp_out", StringComparison.Ordinal))
                run[name].CopyTo(values, 0);
        }).Run(s_ids);
        foreach (PathEffect path in paths.Paths)
        {
            string name = $"blocks.{path.Receiver.Layer}.attn.hook_{path.Receiver.Input}".ToLowerInvariant();
            double expected = path.Receiver.Input == ReceiverInput.Logits
                ? reaching["logits"][^43]
                : new ReferenceModel(split, (hook, values) =>
                {
                    if (hook == name)
                        CopyHead(reaching[name], values, path.Receiver.Head);
                }).Run(s_ids)["logits"][^43];
            Close.To(expected, path.Value, Tolerance, $"{path}", scale: Largest(model));
        }
    }

    [Fact]
    public void Rank_correlation_is_of_order_alone_and_shares_ranks()
    {
        Assert.Equal(1, RankCorrelation.Spearman([1, 2, 3, 4], [1, 8, 9, 1000]));
        Assert.Equal(-1, RankCorrelation.Spearman([1, 2, 3], [3, 2, 1]));
        // Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / √(4.5 · 5).
        Assert.Equal(4.5 / Math.Sqrt(22.5), RankCorrelation.Spearman([0, 5, 5, 9], [1, 2, 3, 4])!.Value, 1e-15);
        Assert.Null(RankCorrelation.Spearman([2, 2], [1, 3]));
        Assert.Throws<ArgumentException>(() => RankCorrelation.Spearman([1], [1, 2]));
        foreach ((double[] a, double[] b) in new (double[], double[])[] { ([double.NaN, 1, 2], [1, 2, 3]), ([1, 2, 3], [1, 2, double.NaN]) })
            Refused.Saying("a measure holds NaN, which has no rank: leave the pair out, or find out where it comes from", () => RankCorrelation.Spearman(a, b)!);
        // What is infinite has a rank.
        Assert.Equal(1, RankCorrelation.Spearman([double.NegativeInfinity, 1, double.PositiveInfinity], [1, 2, 3]));
    }

    [Fact]
    public void What_cannot_be_measured_is_refused()
    {
        using LlamaModel model = Model(2);
        Refused.With(
            "the clean input has 12 tokens and the corrupted one 3: use inputs of equal length, position by position", () => ActivationPatching.Measure(model, s_ids, [1, 2, 3], CausalMetric.Loss));
        Refused.With("layer 3 is not in the model: use 0 to 2", () => ActivationPatching.Measure(model, s_ids, s_other, CausalMetric.Loss, new() { Layers = (1, 3) }));
        Refused.With("head 4 is not in the model: use 0 to 3", () => PathPatching.Measure(model, s_ids, s_other, CausalMetric.Loss, [(0, 4)]));
        Refused.With("layer 7 is not in the model: use 0 to 2", () => PathPatching.Measure(model, s_ids, s_other, CausalMetric.Loss, [(0, 0)], [new(ReceiverInput.K, 7, 0)]));
        Refused.With(
            "loss is not linear in the logits, which the frozen network is attributed to: use a logit, or the difference of two", () => HeadAttribution.Measure(model, s_ids, CausalMetric.Loss));
        Refused.With(
            "resampling needs other inputs to take a head's output from: give at least one reference of the input's length",
            () => HeadAblation.Measure(model, s_ids, CausalMetric.Loss, new() { Kind = AblationKind.Resample }));
        Refused.With(
            "a reference of 2 tokens cannot be resampled into an input of 12: use references of equal length, or the mean",
            () => HeadAblation.Measure(model, s_ids, CausalMetric.Loss, new() { Kind = AblationKind.Resample, References = [[1, 2]] }));
    }

    private static LlamaModel Model(int kvHeads) => LlamaModel.CreateRandom(CausalSweepTests.Config(kvHeads), 4);

    private static double Last(LlamaModel model, int[] ids, int token)
    {
        using LlamaSession session = model.CreateSession(null, Engine.Options());
        return session.Forward(ids)[token];
    }

    private static double Largest(LlamaModel model) => Engine.Record(model, s_ids, Engine.Options())["logits"].Max(Math.Abs);

    private static void CopyHead(double[] from, double[] to, int head)
    {
        for (int at = 0; at < to.Length; at++)
            to[at] = at / 12 % 4 == head ? from[at] : to[at];
    }

    /// <summary>The same function with a kv head for every query head.</summary>
    private static ReferenceWeights Split(ReferenceWeights weights)
    {
        LlamaConfig c = weights.Config;
        int block = c.HeadDim * c.HiddenSize;
        return new ReferenceWeights(c with { NumKeyValueHeads = c.NumAttentionHeads }, name => name.Contains("k_proj", StringComparison.Ordinal) || name.Contains("v_proj", StringComparison.Ordinal)
            ? [.. Enumerable.Range(0, c.NumAttentionHeads).SelectMany(h => weights.Tensor(name).Skip(h / c.HeadsPerKeyValueHead * block).Take(block))]
            : weights.Tensor(name), weights.RotaryDivisors);
    }
}
