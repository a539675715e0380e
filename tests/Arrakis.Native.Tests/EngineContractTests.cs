using Arrakis.Native.Memory;
using Arrakis.Native.Model;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>What the engine promises its callers: refusals before anything runs, budgets, sharing, stored types, long inputs.</summary>
public sealed class EngineContractTests
{
    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 64, IntermediateSize = 96, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 16, VocabSize = 50, MaxPositionEmbeddings = 2000,
    };

    [Theory]
    [MemberData(nameof(Engine.TiersByType), MemberType = typeof(Engine))]
    public void Every_stored_type_is_multiplied_as_what_it_says(KernelTier tier, ElementType type) => IsTheReference(s_config, tier, type);

    // Wider than the memory that a worker has for widened rows: such a head's part of attn_out is not summed by itself.
    [Theory]
    [MemberData(nameof(Engine.TiersByType), MemberType = typeof(Engine))]
    public void Heads_may_be_wider_than_any_that_exist(KernelTier tier, ElementType type) =>
        IsTheReference(s_config with { NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 1088 }, tier, type);

    private static void IsTheReference(LlamaConfig config, KernelTier tier, ElementType type)
    {
        using LlamaModel model = LlamaModel.CreateRandom(config, 3, type);
        int[] ids = [1, 2, 3, 40, 5, 6, 7, 49, 0, 10, 11];
        ReferenceRun expected = new ReferenceModel(ReferenceWeights.From(model)).Run(ids);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier, threads: 2));
        session.Forward(ids);
        // The contract's 2e-5: widening is exact or rounds once, so a stored type adds nothing to single precision's rounding.
        foreach (string name in expected.Names)
            Close.ToLargest(expected[name], Engine.Widen(session.Cache.Flat(name)), 2e-5, $"{tier} {type} {name}");
        // Decoded the same, and measured the same: by the largest logit of the whole input, for those of one position may all be small.
        session.Forward(ids.AsSpan(0, 10));
        float[] before = session.Cache.Flat(HookPoint.Logits).ToArray();
        Close.ToLargest(expected["logits"], Engine.Widen([.. before, .. session.Append(ids.AsSpan(10))]), 2e-5, $"{tier} {type} decoded");
    }

    [Fact]
    public void Long_inputs_go_through_in_chunks_and_chunks_change_no_bit()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 5);
        int[] ids = [.. Enumerable.Range(0, 1100).Select(i => i * 7 % 50)];
        using LlamaSession whole = model.CreateSession(RecordingPlan.All, Engine.Options(threads: 2));
        float[] expected = whole.Forward(ids).ToArray();
        using LlamaSession parts = model.CreateSession(RecordingPlan.None, Engine.Options());
        parts.Forward(ids.AsSpan(0, 333));
        parts.Append(ids.AsSpan(333, 2));
        Assert.Equal(expected, parts.Append(ids.AsSpan(335)).ToArray());
        Assert.Equal(1, Engine.Widen(whole.Cache.Flat(HookPoint.Pattern, 1)[^1100..]).Sum(), 1e-5);
    }

    // 300 tokens are 75 and more for each of up to four workers, who then take strands of the input through the blocks; of half-precision weights, in tiers that want more of them,
    // two workers alone do. The strands of 70, or of 134, are as short as a tier has, and the last one ends in a part of a vector.
    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Strands_that_workers_have_to_themselves_change_no_bit(KernelTier tier)
    {
        foreach (ElementType type in new[] { ElementType.F32, ElementType.F16 })
        {
            using LlamaModel model = LlamaModel.CreateRandom(s_config, 5, type);
            foreach (int tokens in new[] { 70, 134, 300 })
                StrandsChangeNoBit(model, tier, [.. Enumerable.Range(0, tokens).Select(i => i * 7 % 50)], $"{tier}, {type}, {tokens} tokens");
        }
    }

    private static void StrandsChangeNoBit(LlamaModel model, KernelTier tier, int[] ids, string what)
    {
        Dictionary<string, float[]> one = Engine.Record(model, ids, Engine.Options(tier, threads: 1));
        foreach (int threads in new[] { 2, 3, 4 })
        {
            Engine.SameBits(one, Engine.Record(model, ids, Engine.Options(tier, threads)), $"{what}, {threads} threads");
            // And where nothing is recorded, so that all strands share one layer's memory.
            using LlamaSession session = model.CreateSession(RecordingPlan.None, Engine.Options(tier, threads));
            Assert.Equal(one["logits"][^50..], session.Forward(ids).ToArray());
        }
    }

    // What one such head writes is computed head by head.
    [Fact]
    public void So_do_strands_of_heads_that_are_wider_than_a_worker_has_room_for()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 1088 }, 5);
        int[] ids = [.. Enumerable.Range(0, 130).Select(i => i * 7 % 50)];
        Engine.SameBits(Engine.Record(model, ids, Engine.Options()), Engine.Record(model, ids, Engine.Options(threads: 2)), "2 threads");
    }

    // Five heads share a kv head and workers share those, and 300 positions are more than one block of rows.
    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void A_token_is_decoded_the_same_however_its_heads_are_shared_out(KernelTier tier)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumAttentionHeads = 10 }, 9);
        int[] ids = [.. Enumerable.Range(0, 301).Select(i => i * 7 % 50)];
        using LlamaSession whole = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        whole.Forward(ids);
        double[] expected = Engine.Widen(whole.Cache.Flat(HookPoint.Logits));
        float[]? first = null;
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier, threads));
            session.Forward(ids.AsSpan(0, 300));
            session.Append(ids.AsSpan(300));
            float[] recorded = [.. new[] { HookPoint.AttnScores, HookPoint.Pattern, HookPoint.Z, HookPoint.Logits }.SelectMany(point => session.Cache.Flat(point, point == HookPoint.Logits ? 0 : 1).ToArray())];
            Assert.Equal(first ??= recorded, recorded);
            // The contract's 2e-5, of the largest logit of the whole input.
            Close.ToLargest(expected, [.. expected.AsSpan(0, 300 * 50), .. Engine.Widen(session.Cache.Flat(HookPoint.Logits))], 2e-5, $"{tier}, {threads} threads");
        }
    }

    // The heads before and after it are runs that begin and end among those of a kv head.
    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void So_it_is_beside_a_head_that_reads_values_of_its_own(KernelTier tier)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumAttentionHeads = 10 }, 9);
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier, threads));
            session.Forward([3]);
            float[] expected = session.Cache.Flat(HookPoint.Z, 1).ToArray();
            expected.AsSpan(6 * 16, 16).Clear();
            session.Interventions = InterventionPlan.Of(Intervention.Zero(HookPoint.V, 1, 1).AsReadBy(6));
            session.Forward([3]);
            Assert.Equal(expected, session.Cache.Flat(HookPoint.Z, 1).ToArray());
        }
    }

    // Past 4,096 keys blocks of queries are shorter, of the whole call: its first tokens too, whose memory is that of the others. What they write reaches the last
    // logits through the second layer.
    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void So_do_calls_of_more_keys_than_a_long_block_has(KernelTier tier)
    {
        LlamaConfig config = s_config with { HiddenSize = 16, IntermediateSize = 16, NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 8, MaxPositionEmbeddings = 4500 };
        using LlamaModel model = LlamaModel.CreateRandom(config, 9);
        int[] ids = [.. Enumerable.Range(0, 4200).Select(i => i * 11 % 50)];
        using LlamaSession whole = model.CreateSession(RecordingPlan.None, Engine.Options(tier, threads: 2)), parts = model.CreateSession(RecordingPlan.None, Engine.Options(tier));
        parts.Forward(ids.AsSpan(0, 2000));
        float[] expected = parts.Append(ids.AsSpan(2000)).ToArray();
        Assert.Equal(expected, whole.Forward(ids).ToArray());
    }

    [Fact]
    public void Results_are_computed_from_z_when_they_are_not_recorded()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 7);
        int[] ids = [4, 5, 6, 7, 8];
        float[] recorded = Engine.Record(model, ids, Engine.Options())["blocks.1.attn.hook_result"];
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward(ids);
        Assert.False(session.Cache.Contains(HookPoint.Result, 1));
        Assert.Equal(recorded, session.Cache.Flat(HookPoint.Result, 1).ToArray());
        using var folder = new TemporaryFolder();
        string path = Path.Combine(folder.Path, "c.safetensors");
        session.Cache.Save(path);
        Assert.Equal(recorded, model.LoadCache(path).Flat(HookPoint.Result, 1).ToArray());
        Assert.Throws<ArrakisException>(() => ActivationCache.Load(path).Flat(HookPoint.Result, 1).Length);
    }

    [Fact]
    public void A_recording_is_as_large_as_was_said_and_refused_over_budget()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        long bytes = RecordingPlan.Heads.GetBytes(s_config, 9);
        using LlamaSession fits = model.CreateSession(RecordingPlan.Heads, new SessionOptions { RecordingBudgetBytes = bytes });
        fits.Forward(new int[9]);
        (int tokens, int heads, int kvHeads, int k) = (9, s_config.NumAttentionHeads, s_config.NumKeyValueHeads, s_config.HeadDim);
        // A layer's resid_pre, two scales, q and z, k and v, and pattern; and the last norm's scale. What was said holds each one's slack and alignment too.
        int layer = tokens * (s_config.HiddenSize + 2 + 2 * heads * k + 2 * kvHeads * k) + heads * tokens * tokens;
        long values = sizeof(float) * (s_config.NumHiddenLayers * layer + tokens);
        Assert.Equal(values, fits.Cache.Bytes);
        Assert.InRange(bytes, values, values + fits.Cache.Names.Count * (sizeof(float) * Arena.SlackFloats + Arena.AlignmentBytes));
        Refused("over the budget", () => fits.Forward(new int[10]).Length);
        Assert.Equal(9, fits.Position);
    }

    // Each of these ended in an overflow that said nothing.
    [Fact]
    public void What_is_too_large_to_be_counted_or_held_is_refused_in_one_line()
    {
        Refused("recording 2147483647 tokens after 0 takes more bytes than can be counted", () => RecordingPlan.All.GetBytes(s_config with { NumAttentionHeads = 1 << 12 }, int.MaxValue));
        Refused("recording 2147483647 tokens after 1 takes", () => RecordingPlan.Parse("z").GetBytes(s_config, int.MaxValue, 1));
        Assert.Equal(4L * Arena.Footprint(int.MaxValue), RecordingPlan.Parse("ln_final.scale").GetBytes(s_config, int.MaxValue));
        Refused(
            "4096 positions of heads 1048576 wide are more than the 4095 that fit in one rotary table",
            () => new RotaryTable(s_config with { HeadDim = 1 << 20 }, null).For(4096));
        LlamaConfig wide = s_config with { NumAttentionHeads = 64, HiddenSize = 16384 };
        var cache = new ActivationCache(wide, [(HookPoint.Z, 0)], (_, _) => 0, 1) { ResultSource = (_, _, _) => Assert.Fail("there is no room for it") };
        cache.Fill(new int[2049], 0, _ => default);
        Refused("blocks.0.attn.hook_result is computed from z, and of 2049 tokens it is longer", () => cache.Flat(HookPoint.Result, 0).Length);
    }

    [Fact]
    public void A_plan_for_no_layer_that_it_has_keeps_what_is_of_no_layer()
    {
        Assert.True(RecordingPlan.Parse("z").ForLayers(0, 0).ForLayers(1, 1).IsEmpty);
        RecordingPlan plan = RecordingPlan.Parse("z,logits").ForLayers(0, 0).ForLayers(7, 7);
        Assert.True(plan.Includes(HookPoint.Logits));
        Assert.False(plan.Includes(HookPoint.Z, 0) || plan.Includes(HookPoint.Z, 7));
        Assert.Equal(RecordingPlan.Parse("logits").GetBytes(s_config, 9), plan.GetBytes(s_config, 9));
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(plan, Engine.Options());
        Assert.Equal(["logits"], session.Cache.Names);
        Assert.Throws<ArgumentOutOfRangeException>(() => RecordingPlan.Of((HookPoint)32));
        Assert.Throws<ArgumentOutOfRangeException>(() => RecordingPlan.Of((HookPoint)(-1)));
    }

    [Fact]
    public void Bad_input_is_refused_before_anything_runs()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward([1, 2, 3]);
        Refused("empty", () => session.Forward([]).Length);
        Refused("token id 50 at position 1", () => session.Forward([1, 50]).Length);
        Refused("token id -1 at position 3", () => session.Append([-1]).Length);
        Refused("context of 2000", () => session.Append(new int[1998]).Length);
        Refused("the recording names layers 2-2: the model has layers 0-1", () => model.CreateSession(RecordingPlan.All.ForLayers(2, 2)));
        Refused("the recording names layers from 5 on: the model has layers 0-1", () => model.CreateSession(RecordingPlan.All.ForLayers(5, int.MaxValue)));
        Refused("2147483647 threads are more than the 1024 that may share a pass", () => model.CreateSession(null, new SessionOptions { Threads = int.MaxValue }));
        Refused("blocks.0.mlp.hook_pre is not recorded: record 'mlp.pre'", () => session.Cache.Flat(HookPoint.MlpPre, 0).Length);
        Refused("there is no blocks.2.attn.hook_z: the model has layers 0-1", () => session.Cache.Flat(HookPoint.Z, 2).Length);
        using LlamaSession lower = model.CreateSession(RecordingPlan.Heads.ForLayers(0, 0), Engine.Options());
        lower.Forward([1]);
        Refused("blocks.1.attn.hook_z is not recorded: the recording has 'attn.z' of layers 0-0", () => lower.Cache.Flat(HookPoint.Z, 1).Length);
        Refused("not a hook point", () => RecordingPlan.Parse("z,hook_nothing"));
        Refused("write it in full", () => RecordingPlan.Parse("scale"));
        Refused("head_dim 3 is odd", () => LlamaModel.CreateRandom(s_config with { HeadDim = 3 }, 1));
        Refused("blocks of 32", () => LlamaModel.CreateRandom(s_config with { HiddenSize = 40 }, 1, ElementType.Q8_0));
        Assert.Equal(3, session.Position);
        Assert.Equal(3, session.Cache.Tokens);
    }

    [Fact]
    public void Sessions_share_a_model_on_many_threads_and_outlive_its_disposal()
    {
        LlamaModel model = LlamaModel.CreateRandom(s_config, 9);
        int[] ids = [1, 2, 3, 4, 5, 6, 7];
        float[] expected;
        using (LlamaSession alone = model.CreateSession())
            expected = alone.Forward(ids).ToArray();
        LlamaSession open = model.CreateSession();
        Parallel.For(0, 16, i =>
        {
            using LlamaSession session = model.CreateSession(i % 2 == 0 ? RecordingPlan.All : null, Engine.Options(threads: 1 + i % 3));
            for (int repeat = 0; repeat < 5; repeat++)
                Assert.Equal(expected, session.Forward(ids).ToArray());
        });
        model.Dispose();
        Assert.Equal(expected, open.Forward(ids).ToArray());
        open.Dispose();
        Assert.Throws<ObjectDisposedException>(() => open.Forward([1]).Length);
        Assert.Throws<ObjectDisposedException>(() => model.CreateSession());
    }

    [Fact]
    public void A_cancelled_pass_leaves_the_sequence_where_it_was()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 9);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads);
        session.Forward([1, 2, 3]);
        Assert.NotEqual(0, session.Cache.Bytes);
        Assert.Throws<OperationCanceledException>(() => session.Append([4], new CancellationToken(canceled: true)).Length);
        Assert.Equal((0, 0, 0L), (session.Logits.Length, session.Cache.Tokens, session.Cache.Bytes));
        float[] after = session.Append([4]).ToArray();
        using LlamaSession fresh = model.CreateSession();
        fresh.Forward([1, 2, 3]);
        Assert.Equal(fresh.Append([4]).ToArray(), after);
    }

    [Fact]
    public void A_random_model_has_the_bits_it_always_had()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 42);
        ReferenceWeights weights = ReferenceWeights.From(model);
        // Integers below 2^18 times one scale, rounded once: any machine gets these. The bits are those of the first release.
        double[] embedding = weights.Tensor("model.embed_tokens.weight"), down = weights.Tensor("model.layers.1.mlp.down_proj.weight");
        Assert.Equal([0x3DA4FDCA, 0x3D106C5B, unchecked((int)0xBC99D705)], new[] { embedding[0], embedding[1], down[5] }.Select(value => BitConverter.SingleToInt32Bits((float)value)));
        Assert.Equal(1.0 / 64, embedding.Average(value => value * value), 2e-3);
    }

    [Fact]
    public void A_name_that_is_no_tier_s_leaves_it_to_the_machine()
    {
        Assert.All(Enum.GetValues<KernelTier>(), tier => Assert.True(KernelTiers.TryParse(KernelTiers.Name(tier), out KernelTier read) && read == tier));
        Assert.False(KernelTiers.TryParse("sse", out KernelTier none));
        Assert.Equal(KernelTier.Auto, none);
    }

    private static void Refused(string expected, Func<object> call)
    {
        ArrakisException e = Assert.Throws<ArrakisException>(call);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }
}
