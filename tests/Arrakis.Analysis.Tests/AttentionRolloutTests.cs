using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Attention rollout against the double-precision reference.</summary>
public sealed class AttentionRolloutTests
{
    // Patterns in float32 are within 1e-5 of the reference's after three layers of random weights; averages and rows of one add nothing to that.
    private const double Tolerance = 2e-5;

    [Fact]
    public void Equals_the_reference_on_random_models() =>
        RandomShapes.Inputs(mostTokens: 40).Select(Gen.Int[1, 3]).Sample((input, layers) =>
        {
            using Analysed run = Analysed.Of(input, RecordingPlan.Parse("pattern"));
            layers = Math.Min(layers, input.Config.NumHiddenLayers);
            AttentionRollout rollout = AttentionRollout.Measure(run.Model, run.Cache, lastLayer: layers - 1);
            Assert.Equal((0, layers - 1, input.Ids.Length), (rollout.FirstLayer, rollout.LastLayer, rollout.Tokens));
            Matrix expected = ReferenceAnalysis.AttentionRollout(run.Reference, layers);
            Close.ToLargest(expected.Data, Engine.Widen(rollout.Values), Tolerance, "rollout");
            // Rows of at most 40 positive float32, each rounded once a layer.
            Assert.True(rollout.RowError < 1e-6, $"rows are off by {rollout.RowError}");
        }, iter: 60);

    [Fact]
    public void Ranges_of_layers_multiply()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        Assert.Equal(2, ResidualsTests.Small.Config.NumHiddenLayers);
        AttentionRollout low = AttentionRollout.Measure(run.Model, run.Cache, 0, 0), high = AttentionRollout.Measure(run.Model, run.Cache, 1, 1);
        AttentionRollout both = AttentionRollout.Measure(run.Model, run.Cache);
        Assert.Equal((0, 1), (both.FirstLayer, both.LastLayer));
        for (int t = 0; t < both.Tokens; t++)
        {
            for (int s = 0; s < both.Tokens; s++)
            {
                double sum = 0;
                for (int i = 0; i < both.Tokens; i++)
                    sum += (double)high[t, i] * low[i, s];
                // Five products of numbers up to 1, rounded to float32.
                Assert.Equal(sum, both[t, s], 1e-6);
                Assert.Equal(s > t, both[t, s] == 0);
            }
        }
    }

    [Fact]
    public void A_single_token_is_all_there_is()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small with { Ids = [3] });
        Assert.Equal([1f], AttentionRollout.Measure(run.Model, run.Cache).Values.ToArray());
    }

    [Fact]
    public void What_it_does_not_take()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.Heads.ForLayers(0, 0));
        Refused.With("blocks.1.attn.hook_pattern is not recorded: record 'heads'", () => AttentionRollout.Measure(run.Model, run.Cache));
        Refused.With("layer 2 is not in the model: use 0 to 1", () => AttentionRollout.Measure(run.Model, run.Cache, 0, 2));
        Refused.With("layer -1 is not in the model: use 0 to 1", () => AttentionRollout.Measure(run.Model, run.Cache, -1));
        Refused.With("layers 1-0 are none: name the lower layer first", () => AttentionRollout.Measure(run.Model, run.Cache, 1, 0));
        Refused.Continued((model, cache) => AttentionRollout.Measure(model, cache));
    }
}
