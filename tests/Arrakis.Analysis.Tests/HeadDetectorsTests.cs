using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Detectors on patterns made by hand, where the score is known, and against the plain loop on runs of random models.</summary>
public sealed class HeadDetectorsTests
{
    // What is added is float32 as it stands, in double: sums in another order differ by a few 1e-16 of at most 1.
    private const double Tolerance = 1e-14;

    private const int Period = 4;
    private const int Tokens = 10;

    [Fact]
    public void Each_finds_the_head_that_does_nothing_else()
    {
        // Looks back by 1, by a period, by a period less one, and at itself; where there is no such place, at the first.
        int[] back = [1, Period, Period - 1, 0];
        HeadDetectors found = HeadDetectors.Measure(ByHand((head, t) => Math.Max(0, t - back[head])), Period);
        Assert.Equal([0, 1, 2, 3], found.Heads.Select(h => h.Head));
        Assert.All(found.Heads, h => Assert.Equal(0, h.Layer));
        Assert.Equal(1, found.Heads[0].PreviousToken);
        Assert.Equal(1, found.Heads[1].DuplicateToken);
        Assert.Equal(1, found.Heads[2].Induction);
        // Head 0 is nowhere else where the others look from t ≥ period on; head 1 looks at 0 = t − 1 from t = 1 alone, and head 2 likewise.
        Assert.Equal((0, 0), (found.Heads[0].DuplicateToken, found.Heads[0].Induction));
        Assert.Equal((1.0 / (Tokens - 1), 0), (found.Heads[1].PreviousToken, found.Heads[1].Induction));
        Assert.Equal((1.0 / (Tokens - 1), 0), (found.Heads[2].PreviousToken, found.Heads[2].DuplicateToken));
        Assert.Equal((0, 0, 0), (found.Heads[3].PreviousToken, found.Heads[3].DuplicateToken, found.Heads[3].Induction));
    }

    /// <summary>What stands before the repetition is in no mean.</summary>
    [Fact]
    public void What_stands_before_the_repetition_is_left_out()
    {
        int[] back = [1, Period, Period - 1, 0];
        float[] pattern = new float[4 * 9 * 9];
        for (int row = 0; row < 4 * 9; row++)
            pattern[row * 9 + Math.Max(0, row % 9 - back[row / 9])] = 1;
        HeadDetectors found = HeadDetectors.Measure(HandMade.Cache([9, 0, 1, 2, 3, 0, 1, 2, 3], ("blocks.0.attn.hook_pattern", [4, 9, 9], pattern)), Period, first: 1);
        Assert.Equal((1, 1, 1), (found.Heads[0].PreviousToken, found.Heads[1].DuplicateToken, found.Heads[2].Induction));
        // At t = 1 heads 1 and 2 look at the token before, which begins; from t = 2 on, no more.
        Assert.Equal((0, 0), (found.Heads[1].PreviousToken, found.Heads[2].PreviousToken));
    }

    [Fact]
    public void A_uniform_head_scores_the_baseline()
    {
        HeadDetectors found = HeadDetectors.Measure(ByHand(null), Period);
        // 1 / (t + 1) is a float32 in the pattern and a double in the baseline: half a unit in the last place of at most 1/2.
        Assert.Equal(found.UniformPreviousToken, found.Heads[0].PreviousToken, 1e-7);
        Assert.Equal(found.UniformRepeat, found.Heads[0].DuplicateToken, 1e-7);
        Assert.Equal(found.UniformRepeat, found.Heads[0].Induction, 1e-7);
        Assert.Equal((1.0 / 5 + 1.0 / 6 + 1.0 / 7 + 1.0 / 8 + 1.0 / 9 + 1.0 / 10) / 6, found.UniformRepeat, Tolerance);
    }

    [Fact]
    public void Equal_the_plain_loop_on_random_models() =>
        Gen.Select(RandomShapes.Configs, Gen.Int[3, 9], Gen.Int[2, 4], Gen.Int[0, 1000]).Sample((config, period, repeats, seed) =>
        {
            int begins = seed % 2;
            using LlamaModel model = LlamaModel.CreateRandom(config with { BosTokenId = begins > 0 ? seed % config.VocabSize : null }, (ulong)seed);
            HeadDetectors found = HeadDetectors.Detect(model, period, repeats, seed, new AnalysisOptions { Threads = 1 });
            int tokens = begins + period * repeats;
            Assert.Equal((begins, tokens), (found.First, found.Ids.Length));
            Assert.Equal(Math.Min(period, config.VocabSize), found.Ids[begins..].ToArray().Distinct().Count());
            if (begins > 0)
                Assert.Equal(model.Config.BosTokenId, found.Ids[0]);
            using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
            session.Forward(found.Ids);
            Assert.Equal(config.NumHiddenLayers * config.NumAttentionHeads, found.Heads.Count);
            for (int i = 0; i < found.Heads.Count; i++)
            {
                HeadDetection head = found.Heads[i];
                Assert.Equal((i / config.NumAttentionHeads, i % config.NumAttentionHeads), (head.Layer, head.Head));
                double Mean(int first, int back) => Enumerable.Range(first, tokens - first)
                    .Average(t => (double)session.Cache[HookPoint.Pattern, head.Layer][head.Head, t, t - back]);
                Assert.Equal(Mean(begins + 1, 1), head.PreviousToken, Tolerance);
                Assert.Equal(Mean(begins + period, period), head.DuplicateToken, Tolerance);
                Assert.Equal(Mean(begins + period, period - 1), head.Induction, Tolerance);
            }

            Assert.Equal(Enumerable.Range(begins + period, tokens - begins - period).Average(t => 1.0 / (t + 1)), found.UniformRepeat, Tolerance);
        }, iter: 40);

    [Fact]
    public void The_input_is_the_seeds_and_holds_no_token_that_begins_or_ends()
    {
        LlamaConfig config = ResidualsTests.Small.Config with { BosTokenId = 1, EosTokenIds = [2, 5] };
        using LlamaModel model = LlamaModel.CreateRandom(config, 1);
        int[] Ids(int period, int seed) => HeadDetectors.Detect(model, period, seed: seed).Ids[1..].ToArray();
        Assert.Equal(Ids(16, 3), Ids(16, 3));
        Assert.NotEqual(Ids(16, 3), Ids(16, 4));
        // 19 tokens without these three are 16.
        Assert.Empty(Ids(16, 3).Intersect([1, 2, 5]));
        Assert.Equal(17, Ids(17, 3).Distinct().Count());
    }

    [Fact]
    public void Only_layers_with_a_pattern_are_listed()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ResidualsTests.Small.Config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads.ForLayers(1, 1));
        session.Forward([3, 7, 1, 3, 7, 1]);
        Assert.All(HeadDetectors.Measure(session.Cache, 3).Heads, head => Assert.Equal(1, head.Layer));
        Assert.Equal(4, HeadDetectors.Measure(session.Cache, 3).Heads.Count);
    }

    [Fact]
    public void What_it_does_not_take()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ResidualsTests.Small.Config with { MaxPositionEmbeddings = 12 }, 1);
        Refused.With("7 repeats of 3 tokens are more than the model's context of 12: use fewer", () => HeadDetectors.Detect(model, 3, 7));
        Refused.With("1 repeats: use at least 2", () => HeadDetectors.Detect(model, 3, 1));
        using LlamaModel begins = LlamaModel.CreateRandom(model.Config with { BosTokenId = 1 }, 1);
        Refused.With("4 repeats of 3 tokens after one that begins are more than the model's context of 12: use fewer", () => HeadDetectors.Detect(begins, 3, 4));
        const string short2 = "the period is 2: use at least 3, or what followed a token's last occurrence is no other place than the token before";
        Refused.With(short2, () => HeadDetectors.Detect(model, 2));
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads);
        Refused.With("nothing is recorded yet: run a forward pass first", () => HeadDetectors.Measure(session.Cache, 3));
        session.Forward([3, 7, 1, 3, 7, 2]);
        Refused.With(short2, () => HeadDetectors.Measure(session.Cache, 2));
        Refused.With("the ids do not repeat with a period of 3: position 2 has 1 and position 5 has 2", () => HeadDetectors.Measure(session.Cache, 3));
        Refused.With(
            "the input of 6 tokens is over before a period of 6 repeats: use a longer input or a shorter period", () => HeadDetectors.Measure(session.Cache, 6));
        Refused.With("the ids do not repeat with a period of 3: position 2 has 1 and position 5 has 2", () => HeadDetectors.Measure(session.Cache, 3, first: 1));
        Refused.With("position 6 is not in the input of 6 tokens: use 0 to 5", () => HeadDetectors.Measure(session.Cache, 3, first: 6));
        session.Forward([3]);
        Refused.With(
            "the input of 1 tokens is over before a period of 3 repeats: use a longer input or a shorter period", () => HeadDetectors.Measure(session.Cache, 3));
        using LlamaSession other = model.CreateSession(RecordingPlan.Parse("z"));
        other.Forward([3, 7, 1, 3]);
        Refused.With("blocks.0.attn.hook_pattern is not recorded: record 'heads'", () => HeadDetectors.Measure(other.Cache, 3));
        Refused.Continued((_, cache) => HeadDetectors.Measure(cache, 3));
    }

    /// <summary>A saved cache of four heads that each look at one place; at all alike where there is none to look at.</summary>
    private static ActivationCache ByHand(Func<int, int, int>? place)
    {
        const int heads = 4;
        float[] pattern = new float[heads * Tokens * Tokens];
        for (int row = 0; row < heads * Tokens; row++)
        {
            int t = row % Tokens;
            if (place is null)
                pattern.AsSpan(row * Tokens, t + 1).Fill(1f / (t + 1));
            else
                pattern[row * Tokens + place(row / Tokens, t)] = 1;
        }

        return HandMade.Cache([.. Enumerable.Range(0, Tokens).Select(t => t % Period)], ("blocks.0.attn.hook_pattern", [heads, Tokens, Tokens], pattern));
    }
}
