using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Rows of the stream and of what the MLPs wrote, recorded and recomputed, against the double-precision reference.</summary>
public sealed unsafe class ResidualsTests
{
    // Recomputed in float32 from the very values that the reference is given. Relative to the stream: an MLP one wide may write next to nothing, but what it
    // writes was rounded as the stream that it read. Measured: below 1e-6.
    private const double Tolerance = 1e-5;

    // What 'flow' records, everything, and what leaves something to every way of getting a row.
    private static readonly string[] s_recordings = ["flow", "all", "embed,resid_post,attn_out,resid_pre,mlp.pre,ln2.scale", "resid_pre,resid_mid,mlp_out"];

    [Fact]
    public void Equal_the_reference_at_any_place_and_positions() =>
        RandomShapes.Inputs(mostTokens: 20).Select(Gen.OneOf(s_recordings), Gen.Int[0, int.MaxValue]).Sample((input, recording, seed) =>
        {
            using Analysed run = Analysed.Of(input, RecordingPlan.Parse(recording));
            LlamaConfig c = input.Config;
            // More than the input has in all, in any order and twice: rows are asked for, not a window.
            var random = new Random(seed);
            int[] positions = [.. Enumerable.Range(0, random.Next(1, input.Ids.Length + 3)).Select(_ => random.Next(input.Ids.Length))];
            using Compute compute = Compute.Rent(run.Model, null, positions.Length, Residuals.Depth(c), Residuals.Floats(c, positions.Length));
            var residuals = new Residuals(compute, run.Cache, positions.Length);
            float* to = compute.Take((long)positions.Length * c.HiddenSize);
            for (int b = 0; b <= c.NumHiddenLayers; b++)
            {
                int boundary = b;
                residuals.Stream(b, positions, to);
                Same(t => run.Frozen.Residual(boundary, t), $"stream before layer {b}");
            }

            for (int l = 0; l < c.NumHiddenLayers; l++)
            {
                int layer = l;
                residuals.Mid(l, positions, to);
                Same(t => run.Frozen.Row($"blocks.{layer}.hook_resid_mid", t), $"resid_mid of layer {l}");
                residuals.MlpOut(l, positions, to);
                Same(t => run.Frozen.Row($"blocks.{layer}.hook_mlp_out", t), $"mlp_out of layer {l}");
            }

            void Same(Row expected, string what)
            {
                double[] values = [.. positions.SelectMany(t => expected(t).ToArray())];
                double scale = values.Concat(run.Frozen["hook_embed"]).Max(Math.Abs);
                for (int i = 0; i < values.Length; i++)
                {
                    Close.To(values[i], to[i], Tolerance, $"{what} [{i}] from '{recording}'", scale);
                }
            }
        }, iter: 100);

    [Theory]
    [InlineData("resid_pre,mlp.pre,ln2.scale", "blocks.1.attn.hook_z")]
    [InlineData("resid_pre,attn.z,ln2.scale", "blocks.1.mlp.hook_pre")]
    [InlineData("resid_pre,attn.z,mlp.pre", "blocks.1.ln2.hook_scale")]
    [InlineData("attn.z,mlp.pre,ln2.scale", "blocks.1.hook_resid_pre")]
    public void What_lacks_is_named_with_the_recording_that_has_it(string recording, string missing)
    {
        using Analysed run = Analysed.Of(Small, RecordingPlan.Parse(recording));
        var e = Assert.Throws<ArrakisException>(() => Residuals.RequireStream(Small.Config, run.Cache, 2));
        Assert.Equal($"{missing} is not recorded: record 'flow'", e.Message);
    }

    [Fact]
    public void A_stream_between_layers_is_not_recomputed()
    {
        using Analysed run = Analysed.Of(Small, RecordingPlan.Flow.ForLayers(0, 0));
        Residuals.RequireStream(Small.Config, run.Cache, 0);
        var e = Assert.Throws<ArrakisException>(() => Residuals.RequireStream(Small.Config, run.Cache, 1));
        Assert.Equal("blocks.1.hook_resid_pre is not recorded: record 'flow'", e.Message);
    }

    /// <summary>Two layers, grouped heads, five tokens.</summary>
    internal static RandomInput Small { get; } = new(
        new LlamaConfig
        {
            HiddenSize = 24,
            IntermediateSize = 30,
            NumHiddenLayers = 2,
            NumAttentionHeads = 4,
            NumKeyValueHeads = 2,
            HeadDim = 6,
            VocabSize = 19,
        },
        [3, 7, 1, 18, 7],
        Seed: 4);

    private delegate ReadOnlySpan<double> Row(int position);
}
