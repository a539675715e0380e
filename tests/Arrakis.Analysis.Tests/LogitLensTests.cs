using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The logit lens against the definition in double precision, and its last row against the run.</summary>
public sealed class LogitLensTests
{
    // Rows of the stream are within 5e-5 of the largest (see ResidualsTests), and the norm divides them by their own size.
    private const double Tolerance = 1e-4;

    [Fact]
    public void Equals_the_definition_before_every_layer() => RandomShapes.Inputs(mostTokens: 20).Sample(input =>
    {
        using Analysed run = Analysed.Of(input);
        LlamaConfig c = input.Config;
        int position = input.Seed % input.Ids.Length, token = input.Seed % c.VocabSize;
        LogitLens lens = LogitLens.Measure(run.Model, run.Cache, position, top: c.VocabSize + 1, token);
        Assert.Equal(Enumerable.Range(0, c.NumHiddenLayers + 1), lens.Rows.Select(row => row.Layer));
        foreach (LogitLensRow row in lens.Rows)
        {
            double[] logits = Logits(run.Reference, row.Layer, position);
            double sum = logits.Sum(Math.Exp);
            Assert.Equal(c.VocabSize, row.Top.Select(candidate => candidate.Token).Distinct().Count());
            LogitCandidate[] byToken = [.. row.Top.OrderBy(candidate => candidate.Token)];
            Close.ToLargest(logits, [.. byToken.Select(candidate => candidate.Logit)], Tolerance, $"logits before layer {row.Layer}");
            // A probability changes by its own size times what its logit changes by; logits of these models stay below 10.
            Close.ToLargest([.. logits.Select(l => Math.Exp(l) / sum)], [.. byToken.Select(candidate => candidate.Probability)], 20 * Tolerance, "probabilities");
            // Order and rank are of the lens's own logits, so that near ties do not matter.
            Assert.Equal(row.Top.OrderByDescending(candidate => candidate.Logit).ThenBy(candidate => candidate.Token), row.Top);
            Assert.Equal(byToken[token], row.Chosen);
            Assert.Equal(row.Top.ToList().IndexOf(row.Chosen), row.Rank);
        }
    }, iter: 60);

    [Theory]
    [InlineData("flow")]
    [InlineData("all")]
    public void The_last_row_is_the_runs_own(string recording)
    {
        LlamaConfig c = ResidualsTests.Small.Config;
        using LlamaModel model = LlamaModel.CreateRandom(c, 5);
        using LlamaSession session = model.CreateSession(RecordingPlan.Parse(recording), Engine.Options());
        float[] logits = session.Forward(ResidualsTests.Small.Ids).ToArray();
        LogitLens lens = LogitLens.Measure(model, session.Cache, ResidualsTests.Small.Ids.Length - 1, top: c.VocabSize);
        LogitLensRow last = lens.Rows[^1];
        // The same products in float32 over 24 terms, in an order of their own at most.
        Close.ToLargest(Engine.Widen(logits), [.. last.Top.OrderBy(t => t.Token).Select(t => t.Logit)], 1e-6, "logits");
        Assert.Equal(recording == "all", lens.LogitError is not null);
        Assert.True(lens.LogitError is null or < 1e-6, $"logits are off by {lens.LogitError}");
        // Without a token of one's own it follows what the model predicts.
        Assert.Equal((last.Top[0], 0), (last.Chosen, last.Rank));
        Assert.All(lens.Rows, row => Assert.Equal(last.Chosen.Token, row.Chosen.Token));
    }

    [Fact]
    public void The_error_shows_another_models_logits()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.All);
        using LlamaModel other = LlamaModel.CreateRandom(ResidualsTests.Small.Config, 77);
        Assert.True(LogitLens.Measure(other, HandMade.Unsaid(run.Cache), 0).LogitError > 0.1);
    }

    [Fact]
    public void Only_the_best_are_listed_and_a_single_token_will_do()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small with { Ids = [3] });
        LogitLens all = LogitLens.Measure(run.Model, run.Cache, 0, 19), few = LogitLens.Measure(run.Model, run.Cache, 0, 3);
        foreach ((LogitLensRow more, LogitLensRow less) in all.Rows.Zip(few.Rows))
            Assert.Equal(more.Top.Take(3), less.Top);
    }

    [Fact]
    public void A_stream_of_nothing_predicts_all_alike()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.All);
        LogitLens lens = LogitLens.Measure(run.Model, HandMade.Nothing(run.Cache), 2, top: 4, token: 7);
        Assert.Equal(0, lens.LogitError);
        foreach (LogitLensRow row in lens.Rows)
        {
            Assert.Equal((new LogitCandidate(7, 0, 1.0 / 19), 7), (row.Chosen, row.Rank));
            Assert.Equal([0, 1, 2, 3], row.Top.Select(candidate => candidate.Token));
        }
    }

    [Fact]
    public void What_it_does_not_take()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.Heads);
        Refused.With("blocks.1.mlp.hook_pre is not recorded: record 'flow'", () => LogitLens.Measure(run.Model, run.Cache, 0));
        Refused.With("position 5 is not in the input of 5 tokens: use 0 to 4", () => LogitLens.Measure(run.Model, run.Cache, 5));
        Refused.With("token id 19 is outside the vocabulary: use 0 to 18", () => LogitLens.Measure(run.Model, run.Cache, 0, token: 19));
        Refused.With("0 candidates: use at least 1", () => LogitLens.Measure(run.Model, run.Cache, 0, top: 0));
    }

    private static double[] Logits(ReferenceRun run, int layer, int position)
    {
        double[] x = run.Residual(layer, position).ToArray();
        double r = Math.Sqrt(Vec.Dot(x, x) / x.Length + run.Config.RmsNormEps);
        double[] normed = Vec.Scaled(Vec.Times(x, run.Weights.FinalNorm), 1 / r);
        return [.. Enumerable.Range(0, run.Config.VocabSize).Select(v => Vec.Dot(normed, run.Weights.Unembedding.Row(v)))];
    }
}
