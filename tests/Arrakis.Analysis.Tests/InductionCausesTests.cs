using Arrakis.Native;

namespace Arrakis.Analysis.Tests;

/// <summary>
/// On the hand-built model (weights/induction and its variant with grouped queries) the causal measures name the circuit, 0.0 into the keys of 1.1, and nothing else;
/// not the decoy 0.1, which writes the most.
/// </summary>
public sealed class InductionCausesTests
{
    // Positions of "0 5 9 3 7 5": the second 5 stands at 5, so 9 is to come, which stood at 2 behind the first 5 at 1.
    private static readonly int[] s_prompt = [0, 5, 9, 3, 7, 5];

    // The first 5 and the 3 change places: now the 5 stands before 7, at 4, which is to come. The tokens at 2 and 4 stay; what stood before them is other.
    private static readonly int[] s_swapped = [0, 3, 9, 5, 7, 5];

    // Float32 sums of a few terms. The least exact is the half: of two matches that score 38 each, float32 has the scores to a few 1e-6, and the slow rotary pairs of 1.1 turn
    // them apart by 2e-6; a quarter of their difference is missing from the half.
    private const double Tolerance = 1e-5;

    private static readonly CausalMetric s_difference = CausalMetric.LogitDifference(9, 7);

    public static TheoryData<string> Variants => ["induction", "induction-gqa"];

    [Theory]
    [InlineData("induction", AblationKind.Mean)]
    [InlineData("induction", AblationKind.Resample)]
    [InlineData("induction-gqa", AblationKind.Mean)]
    [InlineData("induction-gqa", AblationKind.Resample)]
    public void Ablation_costs_the_prediction_for_the_circuit_alone(string variant, AblationKind kind)
    {
        using LlamaModel model = Load(variant);
        HeadAblation ablation = HeadAblation.Measure(model, s_prompt, s_difference, new() { Kind = kind, References = [s_swapped, [0, 8, 2, 6, 8, 2]] });
        Assert.Equal([(0, 0), (1, 1)], ablation.Strongest().Take(2).Order());
        foreach ((int layer, int head) in ablation.Strongest().Take(2))
            Assert.True(ablation.Effect(layer, head) < -0.8 * ablation.Baseline, $"without {layer}.{head} the difference of {ablation.Baseline} changes by {ablation.Effect(layer, head)}");
        // The others write nothing, or what they always write: the rounding of a mean is all that is left. (Zeroed, the decoy would be missed by the last norm.)
        Assert.All(ablation.Strongest().Skip(2), h => Assert.Equal(0, ablation.Effect(h.Layer, h.Head), 1e-4 * ablation.Baseline));
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Patching_recovers_through_the_circuit_alone(string variant)
    {
        using LlamaModel model = Load(variant);
        ActivationPatching heads = ActivationPatching.Measure(model, s_prompt, s_swapped, s_difference, new() { ByPosition = false });
        Assert.True(heads.Clean > 10 && heads.Corrupted < -10, $"the runs predict with {heads.Clean} and {heads.Corrupted}");
        foreach (PatchedSite site in heads.Sites)
            Assert.Equal((site.Layer, site.Head) is (0, 0) or (1, 1) ? 1 : 0, site.Recovered!.Value, Tolerance);

        // The copy is made at the last position. It is found by what head 0.0 wrote at 2 and 4: with one of them from the clean run both keys match, or none does.
        ActivationPatching places = ActivationPatching.Measure(model, s_prompt, s_swapped, s_difference);
        foreach (PatchedSite site in places.Sites)
        {
            double expected = (site.Layer, site.Head, site.Position) switch
            {
                (0, 0, 2 or 4) => 0.5,
                (1, 1, 5) => 1,
                _ => 0,
            };
            Assert.Equal(expected, site.Recovered!.Value, Tolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void The_path_is_from_head_0_0_into_the_keys_of_1_1(string variant)
    {
        using LlamaModel model = Load(variant);
        foreach (bool holdMlps in new[] { false, true })
        {
            PathPatching paths = PathPatching.Measure(model, s_prompt, s_swapped, s_difference, [(0, 0), (0, 1)], null, new() { HoldMlps = holdMlps });
            Assert.Equal(0, paths.WholeEffect((0, 1)), 1e-4 * paths.Baseline);
            foreach (PathEffect path in paths.Paths)
            {
                bool circuit = path.Sender == (0, 0) && path.Receiver == new PathReceiver(ReceiverInput.K, 1, 1);
                if (circuit)
                    Assert.True(path.Effect < -0.8 * paths.Baseline, $"{path} of {paths.Baseline}");
                else
                    Assert.Equal(0, path.Effect, 1e-4 * paths.Baseline);
            }
        }
    }

    /// <summary>What moved is not what mattered: the previous-token head's whole effect is on a pattern, which the frozen network keeps.</summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void Attribution_misses_the_head_that_works_through_a_pattern(string variant)
    {
        using LlamaModel model = Load(variant);
        HeadAttribution attribution = HeadAttribution.Measure(model, s_prompt, s_difference, new() { Kind = AblationKind.Mean, References = [s_prompt, s_swapped, [0, 8, 2, 6, 8, 2]] });
        AttributedHead previous = attribution.Heads.Single(h => h is { Layer: 0, Head: 0 }), induction = attribution.Heads.Single(h => h is { Layer: 1, Head: 1 });
        Assert.Equal(0, previous.Frozen, 1e-4 * attribution.Baseline);
        Assert.True(previous.Measured > 0.8 * attribution.Baseline);
        Assert.True(induction.Frozen > 0.8 * attribution.Baseline && induction.Measured > 0.8 * attribution.Baseline, $"{induction} of {attribution.Baseline}");
        Assert.Equal(induction.Direct, induction.Frozen, 1e-4 * attribution.Baseline);
        Assert.NotNull(attribution.FrozenCorrelation);

        // Against zero it is the whole prediction, of which its mean is a part.
        AttributedHead whole = HeadAttribution.Measure(model, s_prompt, s_difference).Heads.Single(h => h is { Layer: 1, Head: 1 });
        Assert.Equal(1, whole.Frozen / attribution.Baseline, Tolerance);
        Assert.Equal(1, whole.Direct / attribution.Baseline, Tolerance);
        Assert.True(induction.Frozen < whole.Frozen);
    }

    private static LlamaModel Load(string variant)
    {
        string root = AppContext.BaseDirectory;
        while (!Directory.Exists(Path.Combine(root, "weights", variant)))
            root = Path.GetDirectoryName(root) ?? throw new DirectoryNotFoundException($"weights/{variant} is not above the tests");
        return LlamaModel.Load(Path.Combine(root, "weights", variant));
    }
}
