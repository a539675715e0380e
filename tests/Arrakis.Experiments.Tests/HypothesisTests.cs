using Arrakis.Native;

namespace Arrakis.Experiments.Tests;

public sealed class HypothesisTests
{
    // Relative. The library's incomplete beta function claims 14 digits; a variance of 30 numbers loses one of them, and a small p-value magnifies the rest by its t.
    private const double Tolerance = 1e-10;

    // Two samples of equal size and unlike spread; two of which one is tiny; two far apart.
    public static TheoryData<double[], double[], double, double, double> Samples => new()
    {
        {
            [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4],
            [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.8, 20.1], 2.4945289509423534, 27.99765805555374, 0.018785823597013971
        },
        { [3.0, 4.0, 1.0, 2.1], [490.2, 340.0, 433.9], 9.5594977219326583, 2.0008523488562839, 0.010751561149784497 },
        { [0.1, 0.2, 0.3, 0.4], [10.1, 10.2, 10.35, 10.4, 10.6], 93.72520997891004, 6.869000532440861, 6.2565558310191802e-12 },
    };

    /// <summary>Against the formulas in 40 digits (mpmath's regularised incomplete beta function).</summary>
    [Theory]
    [MemberData(nameof(Samples))]
    public void Welch_s_t_is_that_of_the_formulas(double[] a, double[] b, double t, double df, double p)
    {
        HypothesisTest test = HypothesisTest.Welch(a, b), back = HypothesisTest.Welch(b, a);
        Close(t, test.Statistic);
        Close(df, test.DegreesOfFreedom!.Value);
        Close(p, test.PValue);
        Close(-t, back.Statistic);
        Close(p, back.PValue);
        Assert.Equal((a.Length, b.Length, p < 0.05, p < 0.01), (test.NullCount, test.AlternativeCount, test.RejectNull, HypothesisTest.Welch(a, b, alpha: 0.01).RejectNull));
    }

    /// <summary>Against a count in exact fractions: equal differences are counted as equal, whatever their rounding.</summary>
    [Theory]
    [InlineData(new[] { 0.1, 0.2, 0.3, 0.4 }, new[] { 0.2, 0.3, 0.35, 0.4, 0.6 }, 36, 126)]
    [InlineData(new[] { 1.1, 2.2, 3.3 }, new[] { 2.2, 1.1, 4.4 }, 20, 20)]
    [InlineData(new[] { 5.0, 5.0 }, new[] { 5.0, 5.0 }, 6, 6)]
    [InlineData(new[] { 1.0 }, new[] { 2.0 }, 2, 2)]
    [InlineData(new[] { 0.0, 0.0, 0.0 }, new[] { 1.0, 1.0, 1.0 }, 2, 20)]
    public void All_relabellings_are_counted(double[] a, double[] b, int extreme, int all)
    {
        HypothesisTest test = HypothesisTest.Permutation(a, b);
        Assert.Equal((extreme / (double)all, all, true), (test.PValue, test.Permutations, test.Exact));
    }

    /// <summary>A test is of distances: neither where the numbers lie nor how large they are matters. Every number here is exact, and so are the distances: the same bits.</summary>
    [Theory]
    [InlineData(-10, 1e10)]
    [InlineData(-40, -1)]
    [InlineData(-1074, 0)]
    [InlineData(1020, 0)]
    public void Neither_offset_nor_scale_changes_a_test(int scale, double offset)
    {
        double[] a = [3, 1, 4, 1, 5, 2, 1], b = [5, 9, 2, 6, 5, 3, 5];
        foreach (HypothesisMethod method in Enum.GetValues<HypothesisMethod>())
        {
            HypothesisTest plain = Test(method, a, b), moved = Test(method, Moved(a), Moved(b));
            double unit = method == HypothesisMethod.Welch ? 1 : Math.ScaleB(1, scale);
            Assert.InRange(plain.PValue, 0.001, 0.1);
            Assert.Equal((plain.PValue, plain.DegreesOfFreedom, plain.Statistic * unit), (moved.PValue, moved.DegreesOfFreedom, moved.Statistic));
        }

        double[] Moved(double[] numbers) => Array.ConvertAll(numbers, number => Math.ScaleB(number, scale) + offset);
    }

    [Fact]
    public void Numbers_whose_squares_overflow_or_underflow_are_tested()
    {
        HypothesisTest plain = HypothesisTest.Welch([1, 2, 3], [-1, -2, -5]);
        foreach (double size in new[] { 1e200, 1e-170 })
        {
            HypothesisTest test = HypothesisTest.Welch([size, 2 * size, 3 * size], [-size, -2 * size, -5 * size]);
            Close(plain.Statistic, test.Statistic);
            Close(plain.PValue, test.PValue);
        }
    }

    /// <summary>The variance of equal numbers that are no sum of few powers of two is 0, which adding them up and dividing does not always find.</summary>
    [Theory]
    [InlineData(0.1, 10, 0.2, 10)]
    [InlineData(0.1, 6, 0.3, 100)]
    [InlineData(1.1, 30, 0.3, 100)]
    [InlineData(0.1, 7, 0.1, 6)]
    public void A_metric_that_is_always_the_same_has_no_t(double a, int countA, double b, int countB) => Refused(
        "both samples are constant, and Welch's t divides by their spread: use a permutation test, or sample what varies",
        () => HypothesisTest.Welch([.. Enumerable.Repeat(a, countA)], [.. Enumerable.Repeat(b, countB)]));

    [Fact]
    public void Random_relabellings_agree_with_all()
    {
        var random = new Random(3);
        double[] a = Draw(random, 9, 0), b = Draw(random, 9, 0.9);
        HypothesisTest all = HypothesisTest.Permutation(a, b, permutations: 50_000), some = HypothesisTest.Permutation(a, b, permutations: 40_000, seed: 5);
        Assert.Equal((true, 48_620, false, 40_000), (all.Exact, all.Permutations, some.Exact, some.Permutations));
        // Five standard deviations of a count of 40,000.
        Assert.InRange(some.PValue, all.PValue - Spread(all.PValue, 40_000), all.PValue + Spread(all.PValue, 40_000));
        Assert.Equal(some, HypothesisTest.Permutation(a, b, permutations: 40_000, seed: 5));
        Assert.NotEqual(some.PValue, HypothesisTest.Permutation(a, b, permutations: 40_000, seed: 6).PValue);
    }

    /// <summary>Where there is nothing, a test at level 0.05 finds something in one case of twenty; where there is a lot, always.</summary>
    [Theory]
    [InlineData(HypothesisMethod.Welch)]
    [InlineData(HypothesisMethod.Permutation)]
    public void The_level_is_kept_and_an_effect_is_found(HypothesisMethod method)
    {
        const int Cases = 2000;
        var random = new Random(11);
        int falsely = 0, rightly = 0;
        for (int i = 0; i < Cases; i++)
        {
            falsely += Test(method, Draw(random, 12, 0), Draw(random, 12, 0)).RejectNull ? 1 : 0;
            rightly += i < 100 && Test(method, Draw(random, 12, 0), Draw(random, 12, 3)).RejectNull ? 1 : 0;
        }

        Assert.InRange(falsely / (double)Cases, 0.05 - Spread(0.05, Cases), 0.05 + Spread(0.05, Cases));
        Assert.Equal(100, rightly);
    }

    [Fact]
    public void What_cannot_be_tested_is_refused()
    {
        Refused("samples of 1 and 2 are too small: each needs at least 2", () => HypothesisTest.Welch([1], [1, 2]));
        Refused("samples of 0 and 1 are too small: each needs at least 1", () => HypothesisTest.Permutation([], [1]));
        Refused("both samples are constant, and Welch's t divides by their spread: use a permutation test, or sample what varies", () => HypothesisTest.Welch([1, 1], [2, 2]));
        Refused("a sample holds what is not a finite number: leave it out, or find out where it comes from", () => HypothesisTest.Welch([1, double.NaN], [2, 3]));
        Refused("alpha is 1: use a number between 0 and 1", () => HypothesisTest.Permutation([1], [2], alpha: 1));
        const string TooFar = "the samples' numbers lie too far apart for a finite statistic: find out where the largest come from";
        Refused(TooFar, () => HypothesisTest.Welch([1.7e308, 1.6e308], [-1.7e308, -1.6e308]));
        Refused(TooFar, () => HypothesisTest.Welch([1, 1], [0, double.Epsilon]));
        Refused(TooFar, () => HypothesisTest.Permutation([1.7e308], [-1.7e308]));
        Refused(TooFar, () => HypothesisTest.Permutation([1.7e308, -1.7e308], [0, 0]));
        Refused("0 permutations test nothing: use at least 1", () => HypothesisTest.Permutation([1], [2], permutations: 0));
    }

    private static HypothesisTest Test(HypothesisMethod method, double[] a, double[] b) =>
        method == HypothesisMethod.Welch ? HypothesisTest.Welch(a, b) : HypothesisTest.Permutation(a, b, permutations: 400);

    // Nearly normal, of variance 1.
    private static double[] Draw(Random random, int count, double mean) =>
        [.. Enumerable.Range(0, count).Select(_ => mean + Enumerable.Range(0, 12).Sum(_ => random.NextDouble()) - 6)];

    private static double Spread(double p, int count) => 5 * Math.Sqrt(p * (1 - p) / count);

    private static void Close(double expected, double actual) => Assert.InRange(Math.Abs(actual / expected - 1), 0, Tolerance);

    private static void Refused(string message, Func<object> test) => Assert.Equal(message, Assert.Throws<ArrakisException>(test).Message);
}
