using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;
using CsCheck;

namespace Arrakis.Native.Tests;

/// <summary>What interventions do to a run: against the double-precision reference with the same values changed, and against identities.</summary>
public sealed class InterventionTests
{
    // As in EnginePropertyTests, which says why: of the largest, and beside it what moving every weight by half a unit in its last place does, times so many steps.
    private const double Relative = 2e-5, Steps = 100;

    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 40, IntermediateSize = 50, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 12, VocabSize = 50, MaxPositionEmbeddings = 2000,
    };

    private static readonly int[] s_ids = [1, 2, 3, 40, 5, 6, 7, 49, 0];

    /// <summary>Every tier with multi-head, grouped and a single kv head.</summary>
    public static TheoryData<KernelTier, int> TiersByGroups
    {
        get
        {
            var all = new TheoryData<KernelTier, int>();
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                foreach (int kvHeads in new[] { 4, 2, 1 })
                    all.Add(tier, kvHeads);
            }

            return all;
        }
    }

    /// <summary>One intervention, told to the engine and, in its own words, to the reference.</summary>
    private sealed record Case(Intervention Intervention, string What, Func<int, int, int, double, double> Change);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Every_kind_at_every_hook_point_equals_the_reference(KernelTier tier) => Gen.Select(RandomShapes.Inputs(mostTokens: 17), Gen.Int[0, int.MaxValue]).Sample((input, choice) =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        using LlamaSession other = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        other.Forward([.. input.Ids.Select(id => (id + 1) % input.Config.VocabSize)]);
        ReferenceWeights weights = ReferenceWeights.From(model);
        var random = new Random(choice);
        for (int i = 0; i < 4; i++)
        {
            Case[] cases = [.. Enumerable.Range(0, 1 + i % 2).Select(_ => Draw(random, input, other.Cache))];
            using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier, threads: 1 + i % 2));
            session.Interventions = InterventionPlan.Of([.. cases.Select(c => c.Intervention)]);
            session.Forward(input.Ids);
            Same(weights, input.Ids, cases, session.Cache, $"{tier} {string.Join(", ", cases.Select(c => c.What))}");
        }
    }, iter: 12, threads: 1);

    private static void Same(ReferenceWeights weights, int[] ids, Case[] cases, ActivationCache cache, string what)
    {
        double written = 0;
        ReferenceRun expected = Run(weights);
        ReferenceRun[] moved = [.. Enumerable.Range(0, 2).Select(i => Run(weights.Perturbed(Math.Pow(2, -24), i)))];
        foreach (string name in expected.Names)
        {
            double[] e = expected[name];
            double spread = moved.Max(run => run[name].Zip(e, (a, b) => double.IsFinite(b) ? Math.Abs(a - b) : 0).Max());
            double allowed = Relative * e.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max() + Steps * spread;
            // What heads no longer write is taken from a sum that was rounded with it.
            allowed += name.EndsWith("attn_out", StringComparison.Ordinal) && cases.Any(c => c.Intervention.Point == HookPoint.Result) ? Relative * written : 0;
            ReadOnlySpan<float> actual = cache.Flat(name);
            for (int i = 0; i < e.Length; i++)
            {
                bool same = double.IsFinite(e[i]) ? Math.Abs(actual[i] - e[i]) <= allowed : e[i].Equals(actual[i]);
                Assert.True(same, $"{what}: {name}[{i}] is {actual[i]:R}, expected {e[i]:R}; allowed {allowed:E1}");
            }
        }

        ReferenceRun Run(ReferenceWeights w) => new ReferenceModel(w, (name, values) =>
        {
            written = name.EndsWith("result", StringComparison.Ordinal) ? Math.Max(written, values.Max(Math.Abs)) : written;
            foreach (Case c in cases)
                Change(c, w.Config, ids.Length, name, values);
        }).Run(ids);
    }

    /// <summary>Changes the reference's values. The stream between layers has two names for one memory there too, and both show what was done under either.</summary>
    private static void Change(Case c, LlamaConfig config, int tokens, string name, double[] values)
    {
        Intervention i = c.Intervention;
        for (int layer = i.Layer ?? 0; layer <= (i.Layer ?? config.NumHiddenLayers - 1); layer++)
        {
            if (i.Point.Name(layer) != name)
                continue;
            bool byHead = i.Point is HookPoint.AttnScores or HookPoint.Pattern;
            int heads = Math.Max(1, i.Point.Heads(config)), width = i.Point.Width(config, tokens);
            for (int at = 0; at < values.Length; at++)
            {
                (int outer, int inner) = (at / width / (byHead ? tokens : heads), at / width % (byHead ? tokens : heads));
                (int position, int head) = byHead ? (inner, outer) : (outer, inner);
                int last = at % width;
                bool named = (i.Position ?? position) == position && (i.Head ?? head) == head && (i.Key ?? last) == last && !(byHead && last > position);
                if (named)
                    values[at] = c.Change(layer, at, last, values[at]);
            }
        }
    }

    private static Case Draw(Random random, RandomInput input, ActivationCache other)
    {
        LlamaConfig c = input.Config;
        HookPoint point = HookNames.All[random.Next(HookNames.All.Count)];
        bool byHead = point is HookPoint.AttnScores or HookPoint.Pattern, scale = point is HookPoint.Ln1Scale or HookPoint.Ln2Scale or HookPoint.LnFinalScale;
        int? layer = random.Next(2) == 0 ? null : random.Next(c.NumHiddenLayers);
        int? head = point.Heads(c) == 0 || random.Next(2) == 0 ? null : random.Next(point.Heads(c));
        int? position = random.Next(2) == 0 ? null : random.Next(input.Ids.Length);
        int? key = byHead && random.Next(2) == 0 ? random.Next(1 + (position ?? 0)) : null;
        float factor = 0.5f + random.NextSingle();
        float[] vector = [.. Enumerable.Range(0, byHead ? 1 : point.Width(c, 1)).Select(_ => scale ? 1 + random.NextSingle() : random.NextSingle() - 0.5f)];
        string what = $"{point} layer {layer} head {head} position {position} key {key}";
        return random.Next(scale ? 2 : 6) switch
        {
            0 => new(Intervention.Scale(point, factor, layer, head, position, key), $"scale {what}", (_, _, _, v) => v * factor),
            1 => new(Intervention.Replace(point, other, layer, head, position, key), $"replace {what}", (l, at, _, _) => other.Flat(point, l)[at]),
            2 => new(Intervention.Zero(point, layer, head, position, key), $"zero {what}", (_, _, _, _) => 0),
            3 => new(Intervention.Add(point, vector, layer, head, position, byHead ? key ??= 0 : null, factor), $"add {what}", (_, _, i, v) => v + factor * vector[byHead ? 0 : i]),
            4 => new(Intervention.Set(point, vector, layer, head, position, byHead ? key ??= 0 : null), $"set {what}", (_, _, i, _) => vector[byHead ? 0 : i]),
            _ => new(Intervention.Call(point, Rise, layer, head, position), $"call {what}", (_, _, i, v) => v * (1 + i / 8.0)),
        };

        static void Rise(InterventionSite site, Span<float> row)
        {
            for (int i = 0; i < row.Length; i++)
                row[i] *= 1 + i / 8f;
        }
    }

    /// <summary>Each hook point by itself, and all of them; of what one query head reads as well; with recording and without.</summary>
    [Theory]
    [MemberData(nameof(TiersByGroups))]
    public void Replacing_activations_by_their_own_values_changes_no_bit(KernelTier tier, int kvHeads) => RandomShapes.Inputs(mostTokens: 31, kvHeads).Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        using LlamaSession own = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        float[] logits = own.Forward(input.Ids).ToArray();
        Dictionary<string, float[]> expected = Engine.Values(own.Cache);
        Intervention[] each = [.. HookNames.All.Select(point => Intervention.Replace(point, own.Cache))];
        int reader = input.Seed % input.Config.NumAttentionHeads;
        Intervention[] read = [.. new[] { HookPoint.K, HookPoint.RotK, HookPoint.V }.Select(point => Intervention.Replace(point, own.Cache).AsReadBy(reader))];
        Intervention[][] plans = [.. each.Select(i => new[] { i }), each, read, [.. each, .. read]];
        using LlamaSession recorded = model.CreateSession(RecordingPlan.All, Engine.Options(tier, threads: 2));
        using LlamaSession bare = model.CreateSession(RecordingPlan.None, Engine.Options(tier));
        foreach (Intervention[] plan in plans)
        {
            string what = $"{tier} {string.Join(",", plan.Select(i => i.Point))}";
            recorded.Interventions = bare.Interventions = InterventionPlan.Of(plan);
            recorded.Forward(input.Ids);
            Engine.SameBits(expected, Engine.Values(recorded.Cache), what);
            Assert.Equal(logits, bare.Forward(input.Ids).ToArray());
        }
    }, iter: 3, threads: 1);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void What_one_query_head_reads_is_changed_for_it_alone(KernelTier tier) => RandomShapes.Inputs(mostTokens: 17).Sample(input =>
    {
        // The reference has a model of the same function with a kv head for every query head: there each head's keys and values are its own.
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        ReferenceWeights weights = ReferenceWeights.From(model);
        LlamaConfig split = input.Config with { NumKeyValueHeads = input.Config.NumAttentionHeads };
        var spread = new ReferenceWeights(split, name => name.Contains("k_proj", StringComparison.Ordinal) || name.Contains("v_proj", StringComparison.Ordinal)
            ? Spread(weights.Tensor(name), input.Config)
            : weights.Tensor(name), weights.RotaryDivisors);
        int head = input.Seed % split.NumAttentionHeads, kvHead = weights.KvHead(head), layer = input.Config.NumHiddenLayers - 1;
        int position = input.Ids.Length / 2, k = input.Config.HeadDim;
        foreach (HookPoint point in new[] { HookPoint.K, HookPoint.RotK, HookPoint.V })
        {
            float[] vector = [.. Enumerable.Range(0, k).Select(i => (i - 3) / (float)k)];
            using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
            session.Interventions = InterventionPlan.Of(Intervention.Add(point, vector, layer, position: position).AsReadBy(head));
            session.Forward(input.Ids);
            ReferenceRun Run(ReferenceWeights w) => new ReferenceModel(w, (name, values) =>
            {
                for (int i = 0; i < k && name == point.Name(layer); i++)
                    values[(position * split.NumKeyValueHeads + head) * k + i] += vector[i];
            }).Run(input.Ids);
            ReferenceRun expected = Run(spread), moved = Run(spread.Perturbed(Math.Pow(2, -24), 1));
            foreach (string name in expected.Names.Where(name => !name.EndsWith("_k", StringComparison.Ordinal) && !name.EndsWith("_v", StringComparison.Ordinal)))
            {
                double[] e = expected[name];
                double largest = e.Where(double.IsFinite).Max(Math.Abs), off = moved[name].Zip(e, (a, b) => double.IsFinite(b) ? Math.Abs(a - b) : 0).Max();
                Close.ToLargest(e, Engine.Widen(session.Cache.Flat(name)), Relative + Steps * off / largest, $"{tier} {point} {name}");
            }
        }
    }, iter: 8, threads: 1);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void What_one_query_head_reads_has_what_all_heads_see_behind_it(KernelTier tier)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        Intervention zero = Intervention.Zero(HookPoint.RotK, 0, head: 0), same = Intervention.Scale(HookPoint.K, 1, 0).AsReadBy(0);
        Dictionary<string, float[]> zeroed = Run(zero);
        Assert.Equal(1f / 5, zeroed["blocks.0.attn.hook_pattern"][4 * 9], 1e-6);
        Engine.SameBits(zeroed, Run(zero, same), $"{tier}: nothing is changed for a head");
        Engine.SameBits(zeroed, Run(same, zero), $"{tier}: nothing is changed for a head, which the plan says first");

        // Powers of two are exact: what is doubled for head 0 alone and then halved for its kv head is what it was.
        Dictionary<string, float[]> plain = Run(), halved = Run(Intervention.Scale(HookPoint.K, 2, 0).AsReadBy(0), Intervention.Scale(HookPoint.RotK, 0.5f, 0, head: 0));
        Assert.Equal(plain["blocks.0.attn.hook_attn_scores"][..81], halved["blocks.0.attn.hook_attn_scores"][..81]);
        Assert.NotEqual(plain["blocks.0.attn.hook_attn_scores"][81..162], halved["blocks.0.attn.hook_attn_scores"][81..162]);

        Dictionary<string, float[]> Run(params Intervention[] plan)
        {
            session.Interventions = InterventionPlan.Of(plan);
            session.Forward(s_ids);
            return Engine.Values(session.Cache);
        }
    }

    [Theory]
    [MemberData(nameof(TiersByGroups))]
    public void Zeroing_a_head_is_zeroing_its_rows_of_W_O(KernelTier tier, int kvHeads) => RandomShapes.Inputs(mostTokens: 31, kvHeads).Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed), silent = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        int layer = input.Seed % input.Config.NumHiddenLayers, head = input.Seed / 3 % input.Config.NumAttentionHeads;
        Silence(silent, layer, head);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier)), edited = silent.CreateSession(RecordingPlan.All, Engine.Options(tier));
        edited.Forward(input.Ids);
        // Products with zeros on either side: the same sums, and the sign of a zero is all that may differ.
        session.Interventions = InterventionPlan.Of(Intervention.Zero(HookPoint.Z, layer, head));
        session.Forward(input.Ids);
        Assert.Equal(edited.Cache.Flat(HookPoint.Logits).ToArray(), session.Cache.Flat(HookPoint.Logits).ToArray());
        Assert.Equal(edited.Cache.Flat(HookPoint.AttnOut, layer).ToArray(), session.Cache.Flat(HookPoint.AttnOut, layer).ToArray());
        // Its write taken from the sum of all leaves the rounding of what was taken away.
        float largest = 0;
        using (LlamaSession plain = model.CreateSession(RecordingPlan.All, Engine.Options(tier)))
        {
            plain.Forward(input.Ids);
            foreach (float v in plain.Cache.Flat(HookPoint.Result, layer))
                largest = Math.Max(largest, Math.Abs(v));
        }

        session.Interventions = InterventionPlan.Of(Intervention.Zero(HookPoint.Result, layer, head));
        session.Forward(input.Ids);
        for (int i = 0; i < edited.Cache.Flat(HookPoint.AttnOut, layer).Length; i++)
        {
            float e = edited.Cache.Flat(HookPoint.AttnOut, layer)[i], a = session.Cache.Flat(HookPoint.AttnOut, layer)[i];
            Assert.True(Math.Abs(a - e) <= 1e-5 * largest, $"{tier}: attn_out[{i}] is {a:R}, with W_O edited {e:R}, of writes up to {largest:R}");
        }
    }, iter: 3, threads: 1);

    [Theory]
    [MemberData(nameof(TiersByGroups))]
    public void Zeroing_what_every_head_writes_leaves_zero(KernelTier tier, int kvHeads) => RandomShapes.Inputs(mostTokens: 31, kvHeads).Sample(input =>
    {
        // The norm that follows blows up by 1/√ε what rounding would leave, where nothing else was written.
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        int position = input.Seed % input.Ids.Length;
        Intervention embed = Intervention.Zero(HookPoint.Embed, position: position);
        Intervention[] each = [.. Enumerable.Range(0, input.Config.NumAttentionHeads).Select(h => Intervention.Zero(HookPoint.Result, layer: 0, head: h, position: position))];
        foreach (RecordingPlan recording in new[] { RecordingPlan.All, RecordingPlan.Of(HookPoint.AttnOut, HookPoint.Ln2Normalized) })
        {
            using LlamaSession session = model.CreateSession(recording, Engine.Options(tier));
            foreach (InterventionPlan plan in new[] { InterventionPlan.Of(embed, Intervention.Zero(HookPoint.Result, layer: 0)), InterventionPlan.Of([embed, .. each]) })
            {
                session.Interventions = plan;
                session.Forward(input.Ids);
                foreach (HookPoint point in new[] { HookPoint.AttnOut, HookPoint.Ln2Normalized })
                    Assert.All(session.Cache.Flat(point, 0).Slice(position * input.Config.HiddenSize, input.Config.HiddenSize).ToArray(), v => Assert.Equal(0, v));
            }
        }
    }, iter: 3, threads: 1);

    [Theory]
    [MemberData(nameof(TiersByGroups))]
    public void A_run_with_all_heads_and_MLPs_of_another_has_its_logits(KernelTier tier, int kvHeads) => RandomShapes.Inputs(mostTokens: 31, kvHeads).Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        using LlamaSession clean = model.CreateSession(RecordingPlan.All, Engine.Options(tier)), session = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        clean.Forward(input.Ids);
        int[] corrupted = [.. input.Ids.Select(id => (id + 1) % input.Config.VocabSize)];
        // The embedding is a component of its own: everything that is written to the stream comes from the clean run, its first entry too.
        session.Interventions = InterventionPlan.Of(
            Intervention.Replace(HookPoint.Embed, clean.Cache), Intervention.Replace(HookPoint.Z, clean.Cache), Intervention.Replace(HookPoint.MlpOut, clean.Cache));
        session.Forward(corrupted);
        Assert.Equal(clean.Cache.Flat(HookPoint.Logits).ToArray(), session.Cache.Flat(HookPoint.Logits).ToArray());
    }, iter: 3, threads: 1);

    [Fact]
    public void A_plan_means_the_same_however_the_sequence_is_cut()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        int[] ids = [.. Enumerable.Range(0, 1100).Select(i => i * 7 % 50)];
        float[] vector = [.. Enumerable.Range(0, 40).Select(i => i / 40f)];
        InterventionPlan plan = InterventionPlan.Of(
            Intervention.Zero(HookPoint.K, layer: 0, head: 1, position: 3),
            Intervention.Scale(HookPoint.Pattern, 0.5f, layer: 1, head: 2),
            Intervention.CutEdge(layer: 1, head: 3, query: 1050, key: 7),
            Intervention.Add(HookPoint.ResidPost, vector, layer: 0),
            Intervention.Zero(HookPoint.Result, layer: 1, head: 0, position: 1099));
        using LlamaSession whole = model.CreateSession(RecordingPlan.All, Engine.Options(threads: 2));
        using LlamaSession parts = model.CreateSession(null, Engine.Options() with { Interventions = plan });
        Assert.Same(plan, parts.Interventions);
        // The input so far must hold every position that is named.
        whole.Interventions = plan;
        float[] expected = whole.Forward(ids).ToArray();
        Assert.Equal(0, whole.Cache[HookPoint.Pattern, 1][3, 1050, 7]);
        Assert.Equal(1, Engine.Widen(whole.Cache.Flat(HookPoint.Pattern, 1).Slice((3 * 1100 + 1050) * 1100, 1100)).Sum(), 1e-5);
        Assert.Equal(expected, parts.Forward(ids).ToArray());

        InterventionPlan early = InterventionPlan.Of([.. plan.Interventions.Where(i => i.Position is null or < 100)]);
        whole.Interventions = parts.Interventions = early;
        expected = whole.Forward(ids).ToArray();
        parts.Forward(ids.AsSpan(0, 333));
        parts.Append(ids.AsSpan(333, 2));
        Assert.Equal(expected, parts.Append(ids.AsSpan(335)).ToArray());
    }

    [Fact]
    public void A_cut_edge_is_given_to_the_others_or_to_none()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward(s_ids);
        double[] before = Engine.Widen(session.Cache.Flat(HookPoint.Pattern, 1).Slice((2 * 9 + 6) * 9, 9));
        session.Interventions = InterventionPlan.Of(Intervention.CutEdge(1, 2, 6, 4));
        session.Forward(s_ids);
        double[] cut = Engine.Widen(session.Cache.Flat(HookPoint.Pattern, 1).Slice((2 * 9 + 6) * 9, 9));
        double[] others = [.. before.Select((p, s) => s == 4 ? 0 : p / (1 - before[4]))];
        // A softmax and its shares, each rounded a few times.
        Close.ToLargest(others, cut, 1e-6, "renormalised");
        session.Interventions = InterventionPlan.Of(Intervention.CutEdge(1, 2, 6, 4, renormalize: false));
        session.Forward(s_ids);
        before[4] = 0;
        Assert.Equal(before, Engine.Widen(session.Cache.Flat(HookPoint.Pattern, 1).Slice((2 * 9 + 6) * 9, 9)));
    }

    [Fact]
    public void A_callback_sees_every_row_once_and_what_came_before_it()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(threads: 2));
        foreach (HookPoint point in HookNames.All)
        {
            var seen = new System.Collections.Concurrent.ConcurrentQueue<(InterventionSite, int)>();
            session.Interventions = InterventionPlan.Of(
                Intervention.Scale(point, 0.25f, layer: 1),
                Intervention.Call(point, (site, row) =>
                {
                    seen.Enqueue((site, row.Length));
                    row.Fill(7);
                }, layer: 1));
            session.Forward(s_ids);
            int layer = point.IsPerLayer() ? 1 : 0;
            bool byHead = point is HookPoint.AttnScores or HookPoint.Pattern;
            var expected =
                from t in Enumerable.Range(0, s_ids.Length)
                from h in Enumerable.Range(0, Math.Max(1, point.Heads(s_config)))
                select (new InterventionSite(point, layer, h, t), byHead ? t + 1 : point.Width(s_config, 1));
            Assert.Equal(expected.Select(e => e.ToString()).Order(StringComparer.Ordinal), seen.Select(e => e.ToString()).Order(StringComparer.Ordinal));
            foreach (float value in session.Cache.Flat(point, 1))
                Assert.True(value == 7 || (byHead && value is 0 or float.NegativeInfinity), $"{point} is {value}");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void What_a_callback_throws_comes_out_as_itself_and_the_session_stays_usable(int threads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.None, Engine.Options(threads: threads));
        float[] expected = session.Forward(s_ids).ToArray();
        // Rows of patterns come from the workers.
        foreach (HookPoint point in new[] { HookPoint.Pattern, HookPoint.MlpOut })
        {
            session.Interventions = InterventionPlan.Of(Intervention.Call(point, (_, _) => throw new TimeoutException("enough"), layer: 1));
            Assert.Throws<TimeoutException>(() => { session.Forward(s_ids); });
        }

        session.Interventions = InterventionPlan.None;
        Assert.Equal(expected, session.Forward(s_ids).ToArray());
    }

    [Fact]
    public void Means_are_over_runs_and_positions_or_over_runs_alone()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        var overall = new ActivationMeans(perPosition: false, HookPoint.Z, HookPoint.MlpOut);
        var byPosition = new ActivationMeans(perPosition: true, HookPoint.Z, HookPoint.Pattern);
        double[] sum = new double[s_ids.Length * 48];
        int[][] inputs = [s_ids, [.. s_ids.Reverse()], [.. s_ids.Select(id => id / 2)]];
        foreach (int[] ids in inputs)
        {
            session.Forward(ids);
            overall.Add(session.Cache);
            byPosition.Add(session.Cache);
            for (int i = 0; i < sum.Length; i++)
                sum[i] += session.Cache.Flat(HookPoint.Z, 1)[i];
        }

        // Rounded once, to single precision.
        Close.ToLargest([.. sum.Select(s => s / 3)], Engine.Widen(byPosition.Flat(HookPoint.Z, 1)), 6e-8, "by position");
        double[] rows = [.. Enumerable.Range(0, 48).Select(i => Enumerable.Range(0, s_ids.Length).Sum(t => sum[t * 48 + i]) / 27)];
        Close.ToLargest(rows, Engine.Widen(overall.Flat(HookPoint.Z, 1)), 6e-8, "overall");

        session.Interventions = InterventionPlan.Of(
            Intervention.Mean(HookPoint.Z, overall, layer: 1, head: 2), Intervention.Mean(HookPoint.Z, byPosition, layer: 1, head: 3, position: 4), Intervention.Mean(HookPoint.Pattern, byPosition, layer: 0));
        session.Forward(s_ids);
        Assert.Equal(overall.Flat(HookPoint.Z, 1)[24..36].ToArray(), session.Cache.Flat(HookPoint.Z, 1).Slice(7 * 48 + 24, 12).ToArray());
        Assert.Equal(byPosition.Flat(HookPoint.Z, 1).Slice(4 * 48 + 36, 12).ToArray(), session.Cache.Flat(HookPoint.Z, 1).Slice(4 * 48 + 36, 12).ToArray());
        Assert.Equal(byPosition.Flat(HookPoint.Pattern, 0).ToArray(), session.Cache.Flat(HookPoint.Pattern, 0).ToArray());
    }

    private static double[] Spread(double[] kv, LlamaConfig c)
    {
        int block = c.HeadDim * c.HiddenSize;
        return [.. Enumerable.Range(0, c.NumAttentionHeads).SelectMany(h => kv.Skip(h / c.HeadsPerKeyValueHead * block).Take(block))];
    }

    private static unsafe void Silence(LlamaModel model, int layer, int head)
    {
        WeightMatrix columns = model.Weights.Layers[layer].Output.SliceColumns(head * model.Config.HeadDim, model.Config.HeadDim);
        for (int r = 0; r < columns.Rows; r++)
            new Span<float>((float*)columns.Row(r) + columns.FirstColumn, columns.Columns).Clear();
    }
}
