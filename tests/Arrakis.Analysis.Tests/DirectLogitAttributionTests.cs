using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Direct logit attribution: every part against the definition in double precision, and all of them against the logit.</summary>
public sealed class DirectLogitAttributionTests
{
    // As for the rows that the parts are made of (see ResidualsTests): float32 behind three layers.
    private const double Tolerance = 1e-4;

    [Fact]
    public void Every_part_equals_the_definition() => RandomShapes.Inputs(mostTokens: 20).Select(Gen.OneOf("flow", "all")).Sample((input, recording) =>
    {
        using Analysed run = Analysed.Of(input, RecordingPlan.Parse(recording));
        LlamaConfig c = input.Config;
        int position = input.Seed % input.Ids.Length, token = input.Seed % c.VocabSize;
        DirectLogitAttribution found = DirectLogitAttribution.Measure(run.Model, run.Cache, position, token);
        Assert.Equal((position, token, c.NumHiddenLayers), (found.Position, found.Token, found.Layers));

        double[] u = new ReferenceFlow(run.Reference, 0, c.NumHiddenLayers, throughMlp: true).TokenTarget(position, token);
        double Part(string hook, params int[] at) => Vec.Dot(u, run.Reference.Row(hook, at));
        List<double> expected = [Part("hook_embed", position)], actual = [found.Embedding];
        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            expected.AddRange(Enumerable.Range(0, c.NumAttentionHeads).Select(h => Part($"blocks.{l}.attn.hook_result", position, h)));
            expected.Add(Part($"blocks.{l}.hook_mlp_out", position));
            actual.AddRange([.. found.Heads(l), found.Mlps[l]]);
        }

        Close.ToLargest(expected.ToArray(), actual.ToArray(), Tolerance, "parts");
        double logit = run.Reference.Row("logits", position)[token];
        Close.To(logit, found.Logit, Tolerance, "the logit", expected.Max(Math.Abs));
    }, iter: 60);

    [Theory]
    [InlineData(4, 2)]
    [InlineData(4, 4)]
    [InlineData(4, 1)]
    public void Parts_add_up_to_the_logit(int heads, int kvHeads)
    {
        LlamaConfig config = ResidualsTests.Small.Config with { NumAttentionHeads = heads, NumKeyValueHeads = kvHeads, HiddenSize = 48, NumHiddenLayers = 4 };
        foreach (string recording in new[] { "flow", "flow+logits", "all" })
        {
            RecordingPlan plan = recording == "flow+logits" ? RecordingPlan.Flow.Union(RecordingPlan.Parse("logits")) : RecordingPlan.Parse(recording);
            for (int seed = 0; seed < 5; seed++)
            {
                using Analysed run = Analysed.Of(new RandomInput(config, [3, 7, 1, 18, 7], seed), plan);
                for (int position = 0; position < 5; position++)
                {
                    DirectLogitAttribution found = DirectLogitAttribution.Measure(run.Model, run.Cache, position, (seed + 3 * position) % 19);
                    double sum = found.Embedding + found.Mlps.ToArray().Sum() + Enumerable.Range(0, 4).Sum(l => found.Heads(l).ToArray().Sum());
                    // Summed in another order in double.
                    Assert.Equal(sum, found.Sum, 1e-12);
                    double largest = Enumerable.Range(0, 4).SelectMany(l => found.Heads(l).ToArray()).Concat(found.Mlps.ToArray())
                        .Append(found.Embedding).Append(found.Logit).Max(Math.Abs);
                    Assert.Equal(Math.Abs(found.Sum - found.Logit) / largest, found.Error, 1e-12);
                    Assert.True(found.Error < 1e-5, $"off by {found.Error} with '{recording}'");
                }
            }
        }
    }

    [Fact]
    public void The_error_shows_parts_that_are_not_the_logits()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.All);
        using LlamaModel other = LlamaModel.CreateRandom(ResidualsTests.Small.Config, 77);
        Assert.True(DirectLogitAttribution.Measure(other, HandMade.Unsaid(run.Cache), 0, 3).Error > 0.01);
    }

    [Fact]
    public void A_single_token_will_do()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small with { Ids = [3] });
        Assert.True(DirectLogitAttribution.Measure(run.Model, run.Cache, 0, 3).Error < 1e-5);
    }

    [Fact]
    public void Nothing_contributes_nothing()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        DirectLogitAttribution found = DirectLogitAttribution.Measure(run.Model, HandMade.Nothing(run.Cache), 2, 7);
        Assert.Equal((0, 0, 0), (found.Logit, found.Sum, found.Error));
    }

    [Theory]
    [InlineData("heads", "blocks.0.mlp.hook_pre")]
    [InlineData("resid_pre,mlp_out,ln_final.scale,resid_post", "blocks.0.attn.hook_z")]
    [InlineData("attn.z,mlp_out,ln_final.scale,logits", "blocks.0.hook_resid_pre")]
    [InlineData("embed,attn.z,mlp_out,resid_post", "ln_final.hook_scale")]
    public void What_lacks_is_named_with_the_recording_that_has_it(string recording, string missing)
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.Parse(recording));
        Refused.With($"{missing} is not recorded: record 'flow'", () => DirectLogitAttribution.Measure(run.Model, run.Cache, 0, 0));
    }

    [Fact]
    public void What_it_does_not_take()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        Refused.With("position -1 is not in the input of 5 tokens: use 0 to 4", () => DirectLogitAttribution.Measure(run.Model, run.Cache, -1, 0));
        Refused.With("token id 19 is outside the vocabulary: use 0 to 18", () => DirectLogitAttribution.Measure(run.Model, run.Cache, 0, 19));
    }
}
