using Arrakis.Native.Tests.Reference;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The three rules against the reference on random strengths, most of them with ties, and thresholds that are met exactly.</summary>
public sealed class HeadSelectionTests
{
    // Few values, so that there are ties; sixteenths, so that sums are exact and thresholds met to the bit; and any others.
    private static readonly Gen<double[]> s_strengths = Gen.OneOf(
        Gen.Int[0, 3].Select(i => i / 16.0).Array[1, 12],
        Gen.OneOf(Gen.Const(0.0), Gen.Const(1.0)).Array[1, 6],
        Gen.Double[0, 10].Array[1, 40]);

    private static readonly Gen<double> s_thresholds = Gen.OneOf(Gen.Double[1e-9, 1], Gen.Int[1, 16].Select(i => i / 16.0), Gen.OneOf(Gen.Const(1.0), Gen.Const(0.8)));

    [Fact]
    public void Rules_select_what_the_reference_selects() => Gen.Select(s_strengths, s_thresholds).Sample((strengths, threshold) =>
    {
        Assert.Equal(ReferenceAnalysis.Select(strengths, threshold), HeadSelection.Select(strengths, threshold));
        Assert.Equal(ReferenceAnalysis.Select(strengths, threshold, ReferenceRule.Share), HeadSelection.Select(strengths, threshold, SelectionRule.Share));
        Assert.Equal(ReferenceAnalysis.Select(strengths, threshold, ReferenceRule.Top), HeadSelection.Select(strengths, threshold, SelectionRule.Top));
        Assert.Equal(ReferenceAnalysis.Select(strengths, threshold, ReferenceRule.Max), HeadSelection.Select(strengths, threshold, SelectionRule.Max));
    }, iter: 5000);

    /// <summary>What the words of the rules say, and not only that two programs agree.</summary>
    [Fact]
    public void A_share_is_the_shortest_prefix_that_holds_it() => Gen.Select(s_strengths, s_thresholds).Sample((strengths, threshold) =>
    {
        int[] selected = HeadSelection.Select(strengths, threshold);
        double[] sorted = [.. strengths.OrderDescending()];
        double all = sorted.Sum();
        Assert.True(selected.Sum(h => strengths[h]) >= threshold * all);
        Assert.True(selected.Length == 0 ? all == 0 : sorted[..(selected.Length - 1)].Sum() < threshold * all);
        Assert.DoesNotContain(selected, h => strengths[h] == 0);
        Assert.Equal(selected.OrderByDescending(h => strengths[h]).ThenBy(h => h), selected);
    }, iter: 5000);

    [Theory]
    [InlineData(0, "0")]
    [InlineData(-0.5, "-0.5")]
    [InlineData(1.0001, "1.0001")]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    public void A_threshold_outside_its_range_is_refused(double threshold, string said)
    {
        foreach (SelectionRule rule in Enum.GetValues<SelectionRule>())
            Refused.Saying($"the threshold is {said}: use a number above 0, up to 1", () => HeadSelection.Select([1, 2], threshold, rule));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_strength_that_is_no_number_is_refused(double strength)
    {
        foreach (SelectionRule rule in Enum.GetValues<SelectionRule>())
            Refused.Saying($"the strength of head 1 is {(double.IsNaN(strength) ? "NaN" : "Infinity")}: the model's weights or activations", () => HeadSelection.Select([1, strength], 0.5, rule));
    }

    [Fact]
    public void A_negative_strength_and_a_rule_that_there_is_not_are_refused()
    {
        foreach (SelectionRule rule in Enum.GetValues<SelectionRule>())
            Refused.Saying("the strength of head 1 is -2.5: use norms, which are 0 or more", () => HeadSelection.Select([-1, -2.5, 3], 0.5, rule));
        Assert.Throws<ArgumentOutOfRangeException>(() => HeadSelection.Select([1, 2], 0.5, (SelectionRule)3));
    }

    [Fact]
    public void The_smallest_threshold_selects_the_strongest_and_the_largest_all_that_are_any()
    {
        Assert.Equal([2], HeadSelection.Select([1, 2, 3], double.Epsilon));
        Assert.Equal([2], HeadSelection.Select([1, 2, 3], double.Epsilon, SelectionRule.Top));
        Assert.Equal([2, 1, 0], HeadSelection.Select([1, 2, 3], 1));
        Assert.Equal([2, 0], HeadSelection.Select([0.1, 0, 0.7], 1));
        Assert.Equal([2, 0, 1], HeadSelection.Select([0.1, 0, 0.7], 1, SelectionRule.Top));
        Assert.Equal([2], HeadSelection.Select([0.1, 0, 0.7], 1, SelectionRule.Max));
    }
}
