using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Native.Tests.Reference;

/// <summary>What must hold of any Llama holds of the reference, on shapes that the golden models do not have.</summary>
public sealed class ReferenceModelTests
{
    // Double precision, sums of a few hundred products, three layers: rounding stays some orders below this.
    private const double Tolerance = 1e-11;

    [Fact]
    public void The_parts_of_the_residual_stream_add_up() => RandomShapes.Inputs(19).Sample(input =>
    {
        ReferenceRun run = Run(input);
        (int heads, int d) = (run.Config.NumAttentionHeads, run.Config.HiddenSize);
        for (int l = 0; l < run.Config.NumHiddenLayers; l++)
        {
            string p = $"blocks.{l}";
            double[] sum = new double[run.Tokens * d];
            for (int i = 0; i < run.Tokens * heads * d; i++)
                sum[i / (heads * d) * d + i % d] += run[$"{p}.attn.hook_result"][i];
            Close.ToLargest(run[$"{p}.hook_attn_out"], sum, Tolerance, "Σ result");
            Close.ToLargest(run[$"{p}.hook_resid_mid"], Sum(run[$"{p}.hook_resid_pre"], run[$"{p}.hook_attn_out"]), Tolerance, "resid_mid");
            Close.ToLargest(run[$"{p}.hook_resid_post"], Sum(run[$"{p}.hook_resid_mid"], run[$"{p}.hook_mlp_out"]), Tolerance, "resid_post");
            double[] ones = [.. run[$"{p}.attn.hook_pattern"].Chunk(run.Tokens).Select(row => row.Sum())];
            Close.ToLargest([.. ones.Select(_ => 1.0)], ones, Tolerance, "rows of the pattern");
        }
    }, iter: 30);

    /// <summary>A file that rotates pairs is a file that rotates halves with the rows of W_Q and W_K in another order.</summary>
    [Fact]
    public void Both_rotary_layouts_are_one_model() => RandomShapes.Inputs(19).Sample(input =>
    {
        ReferenceRun halves = Run(input with { Config = input.Config with { RotaryLayout = RotaryLayout.Halves } });
        int k = input.Config.HeadDim;
        var config = input.Config with { RotaryLayout = RotaryLayout.Pairs };
        var pairs = new ReferenceModel(new ReferenceWeights(config, Reordered)).Run(input.Ids);
        foreach (string name in halves.Names)
        {
            bool ownLayout = name.EndsWith("_q", StringComparison.Ordinal) || name.EndsWith("_k", StringComparison.Ordinal);
            double[] expected = ownLayout ? [.. halves[name].Chunk(k).SelectMany(head => Interleave(head, 1))] : halves[name];
            Close.ToLargest(expected, pairs[name], Tolerance, name);
        }

        double[] Reordered(string name)
        {
            double[] tensor = halves.Weights.Tensor(name);
            return name.Contains("q_proj", StringComparison.Ordinal) || name.Contains("k_proj", StringComparison.Ordinal)
                ? Interleave(tensor, config.HiddenSize)
                : tensor;
        }

        // Rows (of `width` numbers) i and i + K/2 of every head become rows 2i and 2i + 1.
        double[] Interleave(double[] rows, int width) => [.. rows.Chunk(k * width).SelectMany(head =>
            Enumerable.Range(0, k).SelectMany(i => head.Skip((i % 2 * (k / 2) + i / 2) * width).Take(width)))];
    }, iter: 20);

    /// <summary>Scores are x_t W_QK(t − s) x_sᵀ / √K: rotation enters by the offset alone, whatever the scaling and the divisors.</summary>
    [Fact]
    public void Scores_follow_from_the_query_key_circuit_at_their_offset() => RandomShapes.Inputs(7).Sample(input =>
    {
        double[] divisors = [.. Enumerable.Range(0, input.Config.HeadDim / 2).Select(i => 1 + i % 3)];
        ReferenceRun run = new ReferenceModel(ReferenceWeights.Random(input.Config, input.Seed, divisors)).Run(input.Ids);
        for (int h = 0; h < run.Config.NumAttentionHeads; h++)
        {
            for (int t = 0; t < run.Tokens; t++)
            {
                double[] scores = [.. Enumerable.Range(0, run.Tokens).Select(s => s > t
                    ? double.NegativeInfinity
                    : Vec.Dot(
                        run.Row("blocks.0.ln1.hook_normalized", t).ToArray() * ReferenceAnalysis.QK(run.Weights, 0, h, t - s),
                        run.Row("blocks.0.ln1.hook_normalized", s)) / Math.Sqrt(run.Config.HeadDim))];
                // Against a bound of the scores, not the largest: all scores of a row may be small by cancellation.
                double bound = Math.Max(1, Vec.Norm(run.Row("blocks.0.attn.hook_q", t, h)));
                for (int s = 0; s <= t; s++)
                    Close.To(run.Row("blocks.0.attn.hook_attn_scores", h, t)[s], scores[s], 1e-9, $"score {h} {t} {s}", bound);
            }
        }
    }, iter: 10);

    [Fact]
    public void A_longer_input_changes_nothing_before_it() => RandomShapes.Inputs(19).Sample(input =>
    {
        if (input.Ids.Length == 1)
            input = input with { Ids = [.. input.Ids, 0] };
        ReferenceRun all = Run(input), prefix = Run(input with { Ids = input.Ids[..^1] });
        double[] expected = prefix["logits"];
        Close.ToLargest(expected, all["logits"].AsSpan(0, expected.Length), Tolerance, "logits");
    }, iter: 15);

    [Fact]
    public void Linear_scaling_is_a_slower_clock()
    {
        LlamaConfig plain = Shape(), scaled = plain with { RopeScaling = new RopeScaling(RopeScalingKind.Linear, 4) };
        double[] x = [.. Enumerable.Range(1, plain.HeadDim).Select(i => Math.Sin(i))];
        Close.ToLargest(
            ReferenceRotary.Rotate(x, 3, ReferenceRotary.Frequencies(plain), RotaryLayout.Halves),
            ReferenceRotary.Rotate(x, 12, ReferenceRotary.Frequencies(scaled), RotaryLayout.Halves), Tolerance, "rotated");
    }

    /// <summary>By hand: θ = 10000, K = 8 has frequencies 1, 0.1, 0.01, 0.001, which turn 64/2π = 10.19, 1.019, 0.10 and 0.01 times in 64 tokens.</summary>
    [Fact]
    public void Llama3_scaling_keeps_blends_and_divides()
    {
        LlamaConfig config = Shape() with { RopeScaling = new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 64) };
        double smooth = (6.4 / (2 * Math.PI) - 1) / 3;
        double[] expected = [1, 0.1 * (smooth + (1 - smooth) / 8), 0.01 / 8, 0.001 / 8];
        Close.ToLargest(expected, ReferenceRotary.Frequencies(config), 1e-14, "frequencies");
        Close.ToLargest(
            [expected[0] / 2, expected[1] / 3, expected[2], expected[3] / 5],
            ReferenceRotary.Frequencies(config, [2, 3, 1, 5]), 1e-14, "divided frequencies");
    }

    private static ReferenceRun Run(RandomInput input) => new ReferenceModel(ReferenceWeights.Random(input.Config, input.Seed)).Run(input.Ids);

    private static LlamaConfig Shape() => new()
    {
        HiddenSize = 8, IntermediateSize = 8, NumHiddenLayers = 1, NumAttentionHeads = 1, NumKeyValueHeads = 1, HeadDim = 8, VocabSize = 4,
    };

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}
