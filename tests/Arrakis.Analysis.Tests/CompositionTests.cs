using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Composition scores and their ceilings against the double-precision reference, which writes every D×D matrix out.</summary>
public sealed class CompositionTests
{
    // Of the circuits' norms, which are 1: products of float32 are off by 1e-6 of that, and so is the score. A Gram matrix in float32 knows σ² of a head to 1e-7 of the
    // largest or so, some dozens of them add up in the ceiling's square, and its root is half as sensitive.
    private const double Tolerance = 1e-5;

    private static readonly LlamaConfig s_config = ModelFiles.Small with { NumHiddenLayers = 3, NumAttentionHeads = 4, NumKeyValueHeads = 2 };

    public static TheoryData<CompositionKind> Kinds => [.. Enum.GetValues<CompositionKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Equals_the_reference_on_random_models(CompositionKind kind) => Gen.Select(RandomShapes.Inputs(1), Gen.Int[-40, 40]).Sample((input, offset) =>
    {
        LlamaConfig config = input.Config with { NumHiddenLayers = Math.Max(2, input.Config.NumHiddenLayers) };
        using LlamaModel model = LlamaModel.CreateRandom(config, (ulong)input.Seed);
        IReadOnlyList<CompositionScore> scores = HeadComposition.Measure(model, kind, offset: offset);
        Complete(scores, config, 0, config.NumHiddenLayers - 1);
        // The reference takes apart D×D matrices by Jacobi's rotations: a few pairs of each model, other ones of every model.
        EqualReference(scores, ReferenceWeights.From(model), kind, offset, new Random(input.Seed), pairs: 5);
    }, iter: 40);

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Equals_the_reference_where_nothing_is_turned(CompositionKind kind) => RandomShapes.Inputs(1).Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config with { NumHiddenLayers = 2 }, (ulong)input.Seed);
        EqualReference(HeadComposition.Measure(model, kind), ReferenceWeights.From(model), kind, 0, new Random(input.Seed), pairs: 3);
    }, iter: 10);

    public static TheoryData<string, CompositionKind> GoldenByKind
    {
        get
        {
            var all = new TheoryData<string, CompositionKind>();
            foreach (string name in Golden.Find())
            {
                foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
                    all.Add(name, kind);
            }

            return all;
        }
    }

    [Theory]
    [MemberData(nameof(GoldenByKind))]
    public void Equals_the_reference_on_golden_models(string name, CompositionKind kind)
    {
        GoldenCase golden = Golden.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        EqualReference(HeadComposition.Measure(model, kind, offset: 5), golden.Weights, kind, 5, new Random(1), pairs: 20);
    }

    [Theory]
    [InlineData(ElementType.F32)]
    [InlineData(ElementType.BF16)]
    [InlineData(ElementType.Q8_0)]
    [InlineData(ElementType.Q4_0)]
    public void Equals_the_reference_for_stored_types_with_divided_frequencies(ElementType type)
    {
        using var folder = new TemporaryFolder();
        float[] divisors = [1, 1, 1, 2, 4, 8, 8, 8];
        string path = folder.Write("a.gguf", ModelFiles.Gguf(ModelFiles.Small, type).Tensor("rope_freqs.weight", ElementType.F32, [8], divisors).Build());
        using LlamaModel model = LlamaModel.Load(path);
        var reference = new ReferenceWeights(model.Config, ReferenceWeights.From(model).Tensor, Engine.Widen(divisors));
        foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
            EqualReference(HeadComposition.Measure(model, kind, offset: 11), reference, kind, 11, new Random(1), pairs: 6);
    }

    [Fact]
    public void One_pair_scores_the_same_bits_alone()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { HeadDim = 12 }, 3);
        foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
        {
            foreach (CompositionScore score in HeadComposition.Measure(model, kind, offset: -2))
                Assert.Equal(score, HeadComposition.Measure(model, kind, (score.FromLayer, score.FromHead), (score.ToLayer, score.ToHead), -2));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Threads_change_no_bit_and_kernels_only_rounding(CompositionKind kind)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { HeadDim = 10, HiddenSize = 33 }, 4);
        IReadOnlyList<CompositionScore> one = HeadComposition.Measure(model, kind, offset: 1, options: new() { Threads = 1 });
        Assert.Equal(one, HeadComposition.Measure(model, kind, offset: 1, options: new() { Threads = 3 }));
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            // A model of its own, so that its Gram matrices are of this tier too.
            using LlamaModel same = LlamaModel.CreateRandom(s_config with { HeadDim = 10, HiddenSize = 33 }, 4);
            IReadOnlyList<CompositionScore> other = HeadComposition.Measure(same, kind, offset: 1, options: new() { Kernels = tier });
            Close.ToLargest(ByPair(one, s => s.Score), ByPair(other, s => s.Score), Tolerance, $"{tier} scores");
            Close.ToLargest(ByPair(one, s => s.Ceiling), ByPair(other, s => s.Ceiling), Tolerance, $"{tier} ceilings");
        }
    }

    [Fact]
    public void A_part_of_the_layers_scores_as_it_does_among_all()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumHiddenLayers = 4 }, 5);
        IReadOnlyList<CompositionScore> all = HeadComposition.Measure(model, CompositionKind.V), part = HeadComposition.Measure(model, CompositionKind.V, 1, 2);
        Complete(part, model.Config, 1, 2);
        Assert.Equal(all.Where(s => s.FromLayer >= 1 && s.ToLayer <= 2), part);
        Assert.Empty(HeadComposition.Measure(model, CompositionKind.V, 2, 2));
        using LlamaModel single = LlamaModel.CreateRandom(s_config with { NumHiddenLayers = 1 }, 5);
        Assert.Empty(HeadComposition.Measure(single, CompositionKind.Q));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Aligned_heads_reach_the_ceiling(CompositionKind kind)
    {
        // A later head whose M is OV₁ᵀ reads exactly what the earlier one writes, the strongest most.
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumAttentionHeads = 2, NumKeyValueHeads = 2, NumHiddenLayers = 2 }, 6);
        LlamaLayer first = WeightEditing.Layer(model, 0), second = WeightEditing.Layer(model, 1);
        int k = model.Config.HeadDim;
        // Ŵ₂ = W_O1ᵀ; what stands behind it is Ŵ_V1.
        WeightMatrix reads = kind switch { CompositionKind.Q => second.Query, CompositionKind.K => second.Key, _ => second.Value };
        WeightEditing.Change(reads, (r, c, v) => r < k ? WeightEditing.At(first.Output, c, r) / second.AttentionNorm[c] : v);
        if (kind == CompositionKind.V)
            WeightEditing.Change(second.Output, (r, c, v) => c < k ? WeightEditing.At(first.Value, c, r) * first.AttentionNorm[r] : v);
        else
            WeightEditing.Change(kind == CompositionKind.Q ? second.Key : second.Query, (r, c, v) => r < k ? WeightEditing.At(first.Value, r, c) * first.AttentionNorm[c] / second.AttentionNorm[c] : v);

        CompositionScore aligned = HeadComposition.Measure(model, kind, (0, 0), (1, 0));
        Close.To(aligned.Ceiling, aligned.Score, Tolerance, "aligned");
        Assert.Equal(aligned, HeadComposition.Measure(model, kind)[0]);
        Assert.True(HeadComposition.Measure(model, kind, (0, 0), (1, 1)).Score < 0.9 * aligned.Score);
    }

    [Fact]
    public void What_changes_no_function_changes_no_score()
    {
        // W_V → W_V A, W_O → A⁻¹ W_O, and the like for Q and K of a rotated pair, which must be scaled alike. Powers of two, exact, that differ by 2^40: more than float32
        // could hold beside each other in one sum of squares.
        static float Scale(int i) => MathF.ScaleB(1, i * 11 % 41 - 20);
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 7), changed = LlamaModel.CreateRandom(s_config, 7);
        int k = s_config.HeadDim, half = k / 2;
        foreach (LlamaLayer layer in changed.Weights.Layers)
        {
            WeightEditing.Change(layer.Value, (r, _, v) => v * Scale(r % k));
            WeightEditing.Change(layer.Output, (_, c, v) => v / Scale(c % k));
            WeightEditing.Change(layer.Query, (r, _, v) => v * Scale(r % half));
            WeightEditing.Change(layer.Key, (r, _, v) => v / Scale(r % half));
        }

        foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
        {
            IReadOnlyList<CompositionScore> before = HeadComposition.Measure(model, kind, offset: 3), after = HeadComposition.Measure(changed, kind, offset: 3);
            Close.ToLargest(ByPair(before, s => s.Score), ByPair(after, s => s.Score), Tolerance, $"{kind} scores");
            Close.ToLargest(ByPair(before, s => s.Ceiling), ByPair(after, s => s.Ceiling), Tolerance, $"{kind} ceilings");
        }
    }

    [Fact]
    public void A_head_without_weights_scores_nothing()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { NumHiddenLayers = 2 }, 8);
        int k = s_config.HeadDim;
        WeightEditing.Silence(model, 0, 1);
        WeightEditing.Silence(model, 1, 2);
        WeightEditing.Change(WeightEditing.Layer(model, 1).Query, (r, _, v) => r / k == 3 ? 0 : v);
        foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
        {
            foreach (CompositionScore s in HeadComposition.Measure(model, kind, offset: 2))
            {
                bool nothing = s.FromHead == 1 || s.ToHead == (kind == CompositionKind.V ? 2 : 3);
                Assert.All([s.Score, s.Normalized, s.Ceiling], v => Assert.True(nothing ? v == 0 : v > 0 && v <= Math.Sqrt(s_config.HiddenSize), $"{kind} {s}"));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Heads_of_random_orientation_score_the_baseline(CompositionKind kind)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { HiddenSize = 256, HeadDim = 32, NumAttentionHeads = 8, NumKeyValueHeads = 2, NumHiddenLayers = 4 }, 9);
        IReadOnlyList<CompositionScore> scores = HeadComposition.Measure(model, kind, offset: 4);
        // D · score² is a mean of K² = 1024 squares of nearly normal numbers: it varies by 5% or so from pair to pair. 384 pairs, of which those of a kv head share weights:
        // a standard error below 1%.
        Close.To(1, scores.Average(s => s.Normalized * s.Normalized), 0.03, "D · E[score²]");
        Assert.All(scores, s => Assert.Equal(s.Score * 16, s.Normalized));
    }

    [Fact]
    public void Tells_its_progress_and_can_be_cancelled()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 10);
        var seen = new Seen();
        HeadComposition.Measure(model, CompositionKind.K, progress: seen);
        Assert.Equal([1 / 3.0, 2 / 3.0, 1], seen.Parts);
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => HeadComposition.Measure(model, CompositionKind.K, cancellation: source.Token));
    }

    [Fact]
    public void Layers_heads_and_weights_that_have_no_score_are_refused()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 11);
        Refused("layer 3 is not in the model: use 0 to 2", () => HeadComposition.Measure(model, CompositionKind.V, 0, 3));
        Refused("layer -1 is not in the model: use 0 to 2", () => HeadComposition.Measure(model, CompositionKind.V, -1));
        Refused("layers 2 to 1 run backwards: name the lower one first", () => HeadComposition.Measure(model, CompositionKind.V, 2, 1));
        Refused("head 4 is not in the model: use 0 to 3", () => HeadComposition.Measure(model, CompositionKind.V, (0, 4), (1, 0)));
        Refused("head 1.0 is not below head 1.3", () => HeadComposition.Measure(model, CompositionKind.V, (1, 0), (1, 3)));
        Refused("head 2.0 is not below head 1.3", () => HeadComposition.Measure(model, CompositionKind.V, (2, 0), (1, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => HeadComposition.Measure(model, (CompositionKind)3));
        WeightEditing.Change(WeightEditing.Layer(model, 1).Query, (r, c, v) => (r, c) == (20, 7) ? float.NaN : v);
        Refused("head 1.1 has weights that are not finite", () => HeadComposition.Measure(model, CompositionKind.Q));
        Refused("head 1.1 has weights that are not finite", () => HeadComposition.Measure(model, CompositionKind.K, (0, 0), (1, 1)));
        Assert.All(HeadComposition.Measure(model, CompositionKind.V), s => Assert.True(s.Score > 0));
    }

    private static void Refused(string message, Action measure) => Assert.StartsWith(message, Assert.Throws<ArrakisException>(measure).Message, StringComparison.Ordinal);

    /// <summary>Every pair once, highest first, none above its ceiling.</summary>
    private static void Complete(IReadOnlyList<CompositionScore> scores, LlamaConfig config, int first, int last)
    {
        int layers = last - first + 1;
        Assert.Equal(layers * (layers - 1) / 2 * config.NumAttentionHeads * config.NumAttentionHeads, scores.Count);
        Assert.Equal(scores.Count, scores.Select(s => (s.FromLayer, s.FromHead, s.ToLayer, s.ToHead)).Distinct().Count());
        Assert.Equal(scores.OrderByDescending(s => s.Score).ThenBy(s => (s.FromLayer, s.FromHead)).ThenBy(s => (s.ToLayer, s.ToHead)), scores);
        Assert.All(scores, s => Assert.True(first <= s.FromLayer && s.FromLayer < s.ToLayer && s.ToLayer <= last && s.Score <= s.Ceiling && s.Ceiling <= 1 + Tolerance, $"{s}"));
    }

    private static void EqualReference(IReadOnlyList<CompositionScore> scores, ReferenceWeights reference, CompositionKind kind, int offset, Random random, int pairs)
    {
        for (int i = 0; i < pairs; i++)
        {
            CompositionScore s = scores[random.Next(scores.Count)];
            ReferenceComposition expected = ReferenceAnalysis.Compose(reference, (s.FromLayer, s.FromHead), (s.ToLayer, s.ToHead), (ReferenceKind)kind, offset);
            Close.To(expected.Score, s.Score, Tolerance, $"{s}", 1);
            Close.To(expected.Normalized, s.Normalized, Tolerance, $"normalised of {s}", Math.Sqrt(reference.Config.HiddenSize));
            Close.To(expected.Ceiling, s.Ceiling, Tolerance, $"ceiling of {s}", 1);
        }
    }

    private static double[] ByPair(IReadOnlyList<CompositionScore> scores, Func<CompositionScore, double> value) =>
        [.. scores.OrderBy(s => (s.FromLayer, s.FromHead, s.ToLayer, s.ToHead)).Select(value)];
}

/// <summary>What a measure told of its progress.</summary>
internal sealed class Seen : IProgress<double>
{
    public List<double> Parts { get; } = [];

    public void Report(double value) => Parts.Add(value);
}
