using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Read weights, strengths and shares of every kind of direction against the double-precision reference on awkward shapes.</summary>
public sealed class HeadReadsTests
{
    // Shares are frozen at the same values as the reference: float32 products of at most 64 terms, relative to the largest. Measured: below 1e-6.
    private const double Tolerance = 1e-5;

    private static readonly ReferenceVia[] s_via = [ReferenceVia.Q, ReferenceVia.K, ReferenceVia.V];

    [Fact]
    public void Lines_equal_the_reference_on_random_models() =>
        Gen.Select(RandomShapes.Inputs(mostTokens: 23), Gen.Int[0, int.MaxValue], Gen.Int[1, 7]).Sample((input, seed, inputs) =>
        {
            using Analysed run = Analysed.Of(input);
            Same(run, seed, (HeadInputs)inputs);
        }, iter: 80);

    internal static void Same(Analysed run, int seed, HeadInputs inputs = HeadInputs.All, AnalysisOptions? options = null)
    {
        ReferenceRun expected = run.Frozen;
        LlamaConfig c = expected.Config;
        var random = new Random(seed);
        int layer = random.Next(c.NumHiddenLayers);
        (ReadDirection direction, double[] u) = Line(expected.Weights, random);
        HeadReads reads = HeadReads.Measure(run.Model, run.Cache, layer, direction, inputs, options);
        SameWeights(reads, (h, via) => ReferenceAnalysis.ReadWeight(expected.Weights, layer, h, via, u));
        ReferenceVia[] chosen = [.. s_via.Where(via => inputs.HasFlag((HeadInputs)(1 << (int)via)))];
        Close.ToLargest(ReferenceAnalysis.ReadStrengths(expected.Weights, layer, u, chosen), reads.Strengths, Tolerance, $"strengths of {direction}");
        SameShares(expected, reads, ReferenceAnalysis.Along(expected, layer, u));

        HeadReads weights = HeadReads.FromWeights(run.Model, layer, direction, inputs, options);
        Assert.Equal(reads.Strengths, weights.Strengths);
        Assert.Equal((0, layer, direction, inputs, 0.0), (weights.Tokens, weights.Layer, weights.Direction, weights.Inputs, weights.ShareError));
        Assert.True(weights.QShares(0).IsEmpty && weights.ZShares(c.NumAttentionHeads - 1).IsEmpty);
    }

    [Fact]
    public void Writes_of_heads_below_equal_the_reference_on_random_models() =>
        Gen.Select(RandomShapes.Inputs(mostTokens: 23), Gen.Int[0, int.MaxValue]).Sample((input, seed) =>
        {
            using Analysed run = Analysed.Of(input with { Config = input.Config with { NumHiddenLayers = Math.Max(2, input.Config.NumHiddenLayers) } });
            SameWrite(run, seed);
        }, iter: 80);

    /// <summary>‖OV₁ Ŵ‖_F / ‖OV₁‖_F from the D×D matrix itself, and what the head wrote as a part of the stream.</summary>
    internal static void SameWrite(Analysed run, int seed, AnalysisOptions? options = null)
    {
        ReferenceRun expected = run.Frozen;
        ReferenceWeights w = expected.Weights;
        var random = new Random(seed);
        int layer = random.Next(1, w.Config.NumHiddenLayers), below = random.Next(layer), writer = random.Next(w.Config.NumAttentionHeads);
        ReadDirection direction = ReadDirection.HeadWrite(below, writer);
        HeadReads reads = HeadReads.Measure(run.Model, run.Cache, layer, direction, options: options);
        Matrix ov = ReferenceAnalysis.OV(w, below, writer);
        SameWeights(reads, (h, via) => (ov * Input(w, layer, h, via).ScaleRows(w.Layers[layer].Norm1)).FrobeniusNorm() / ov.FrobeniusNorm());
        SameShares(expected, reads, [.. Enumerable.Range(0, expected.Tokens).Select(t => expected.Row($"blocks.{below}.attn.hook_result", t, writer).ToArray())]);
        Assert.Equal(reads.Strengths, HeadReads.FromWeights(run.Model, layer, direction, options: options).Strengths);
    }

    [Fact]
    public void Directions_are_named_as_the_command_names_them() => Assert.Equal(
        ["dim:7", "head:0.3", "embedding:7", "unembedding:7", "vector"],
        new[] { ReadDirection.Dimension(7), ReadDirection.HeadWrite(0, 3), ReadDirection.Embedding(7), ReadDirection.Unembedding(7), ReadDirection.Vector([1]) }
            .Select(direction => direction.ToString()));

    [Fact]
    public void Shares_over_all_dimensions_add_up_and_are_those_of_each() =>
        Gen.Select(RandomShapes.Inputs(mostTokens: 13), Gen.Int[0, int.MaxValue]).Sample((input, seed) =>
        {
            using Analysed run = Analysed.Of(input);
            LlamaConfig c = input.Config;
            var random = new Random(seed);
            int layer = random.Next(c.NumHiddenLayers), head = random.Next(c.NumAttentionHeads), token = random.Next(input.Ids.Length), d = random.Next(c.HiddenSize);
            HeadReads reads = HeadReads.Measure(run.Model, run.Cache, layer, ReadDirection.Dimension(d));
            for (int i = 0; i < 3; i++)
            {
                float[] over = HeadReads.OverDimensions(run.Model, run.Cache, layer, head, (HeadInputs)(1 << i), token);
                double largest = over.Append(1).Max(Math.Abs);
                // The project's bound: what cancels between dimensions is relative to the largest of them.
                Close.To(1, over.Sum(x => (double)x), 1e-5, $"Σ over dimensions of {(HeadInputs)(1 << i)}", largest);
                Close.To(over[d], (i == 0 ? reads.QShares(head) : i == 1 ? reads.KShares(head) : reads.VShares(head))[token], Tolerance, $"dimension {d}", largest);
            }
        }, iter: 100);

    /// <summary>The same for what the patterns take of the values, dimension by dimension.</summary>
    [Fact]
    public void Pattern_weighted_shares_over_all_dimensions_add_up()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        HeadReads[] all = [.. Enumerable.Range(0, 24).Select(d => HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Dimension(d)))];
        for (int h = 0; h < all[0].Heads; h++)
        {
            for (int t = 0; t < all[0].Tokens; t++)
                Close.To(1, all.Sum(reads => (double)reads.ZShares(h)[t]), 1e-5, $"Σ of z[{t}, {h}]", all.Max(reads => Math.Abs(reads.ZShares(h)[t])));
        }
    }

    /// <summary>The measure is of a direction, not of a vector's length or sign.</summary>
    [Fact]
    public void A_vectors_length_does_not_matter()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        float[] v = ModelFiles.Numbers("v", 24);
        HeadReads one = HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Vector(v));
        foreach (float factor in new[] { 1024f, -1f, 1e-38f, 1e37f })
        {
            HeadReads other = HeadReads.Measure(run.Model, run.Cache, 1, ReadDirection.Vector([.. v.Select(x => x * factor)]));
            Close.ToLargest(one.Strengths, other.Strengths, Tolerance, $"strengths of {factor} v");
            Close.ToLargest(Engine.Widen(one.ZShares(2)), Engine.Widen(other.ZShares(2)), Tolerance, $"shares of {factor} v");
        }
    }

    private static void SameWeights(HeadReads reads, Func<int, ReferenceVia, double> expected)
    {
        for (int i = 0; i < 3; i++)
        {
            double[] weights = [.. Enumerable.Range(0, reads.Heads).Select(h => expected(h, s_via[i]))];
            ReadOnlySpan<double> actual = i == 0 ? reads.QWeights : i == 1 ? reads.KWeights : reads.VWeights;
            Close.ToLargest(weights, actual, Tolerance, $"{s_via[i]} weights of {reads.Direction}");
        }
    }

    private static void SameShares(ReferenceRun run, HeadReads reads, double[][] part)
    {
        Same(ReferenceAnalysis.ReadSharesOf(run, reads.Layer, ReferenceVia.Q, part), reads.QShares, "q");
        Same(ReferenceAnalysis.ReadSharesOf(run, reads.Layer, ReferenceVia.K, part), reads.KShares, "k");
        Same(ReferenceAnalysis.ReadSharesOf(run, reads.Layer, ReferenceVia.V, part), reads.VShares, "v");
        Same(ReferenceAnalysis.PatternWeightedReadSharesOf(run, reads.Layer, part), reads.ZShares, "z");
        // The project's bound. Measured: below 1e-6.
        Assert.True(reads.ShareError < 1e-5, $"shares are off by {reads.ShareError}");

        void Same(double[][] expected, HeadWritesTests.Row actual, string name)
        {
            double[] wholes = Wholes(run, reads.Layer, name), e = HeadWritesTests.Flat(expected), a = HeadWritesTests.ByHead(reads.Heads, actual);
            for (int i = 0; i < e.Length; i++)
            {
                // A share is a part over a whole. The part was rounded relative to what such wholes are, and a whole may by chance be far smaller.
                double scale = Math.Max(Math.Abs(e[i]), wholes.Max() / wholes[i]);
                Close.To(e[i], a[i], Tolerance, $"{name} share {i} of {reads.Direction}", scale);
            }
        }
    }

    /// <summary>‖q‖, ‖k‖, ‖v‖ or ‖z‖, [H][T].</summary>
    private static double[] Wholes(ReferenceRun run, int layer, string name)
    {
        int heads = run.Shape($"blocks.{layer}.attn.hook_{name}")[1], group = run.Config.NumAttentionHeads / heads;
        return [.. Enumerable.Range(0, run.Config.NumAttentionHeads)
            .SelectMany(h => Enumerable.Range(0, run.Tokens).Select(t => Vec.Norm(run.Row($"blocks.{layer}.attn.hook_{name}", t, h / group))))];
    }

    private static (ReadDirection Direction, double[] Unit) Line(ReferenceWeights w, Random random)
    {
        int d = w.Config.HiddenSize, dimension = random.Next(d), token = random.Next(w.Config.VocabSize);
        float[] vector = [.. Enumerable.Range(0, d).Select(_ => random.NextSingle() - 0.5f)];
        return random.Next(4) switch
        {
            0 => (ReadDirection.Dimension(dimension), Vec.Unit(d, dimension)),
            1 => (ReadDirection.Embedding(token), Vec.Normalised(w.Embedding.Row(token))),
            2 => (ReadDirection.Unembedding(token), Vec.Normalised(w.Unembedding.Row(token))),
            _ => (ReadDirection.Vector(vector), Vec.Normalised(Engine.Widen(vector))),
        };
    }

    private static Matrix Input(ReferenceWeights w, int layer, int head, ReferenceVia via) =>
        via == ReferenceVia.Q ? w.WQ(layer, head) : via == ReferenceVia.K ? w.WK(layer, head) : w.WV(layer, head);
}
