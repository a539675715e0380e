using System.Numerics.Tensors;
using Arrakis.Native;
using MathNet.Numerics;
using MathNet.Numerics.Distributions;
using MathNet.Numerics.Statistics;

namespace Arrakis.Experiments;

/// <summary>How two samples are compared.</summary>
public enum HypothesisMethod
{
    /// <summary>Welch's t (Welch 1947): of means, whatever the variances; for samples that are about normal, or large.</summary>
    Welch,

    /// <summary>A permutation test of the difference of the means: assumes nothing but that under the null hypothesis the labels could be exchanged.</summary>
    Permutation,
}

/// <summary>Whether two samples' means differ by more than chance; two-sided.</summary>
/// <param name="Method">How it was tested.</param>
/// <param name="Statistic">t, or for a permutation test the difference of the means, alternative − null.</param>
/// <param name="DegreesOfFreedom">Those of t, after Welch and Satterthwaite; null for a permutation test.</param>
/// <param name="PValue">The probability of a statistic at least as far from 0 under the null hypothesis.</param>
/// <param name="Alpha">The level of the test.</param>
/// <param name="NullMean">The mean of the sample under the null hypothesis.</param>
/// <param name="AlternativeMean">The mean of the other.</param>
/// <param name="NullCount">The size of the sample under the null hypothesis.</param>
/// <param name="AlternativeCount">The size of the other.</param>
/// <param name="Permutations">How many relabellings were looked at; 0 for Welch's t.</param>
/// <param name="Exact">Whether those were all that there are.</param>
public sealed record HypothesisTest(
    HypothesisMethod Method, double Statistic, double? DegreesOfFreedom, double PValue, double Alpha, double NullMean, double AlternativeMean, int NullCount,
    int AlternativeCount, int Permutations, bool Exact)
{
    /// <summary>Whether the null hypothesis, that the means are the same, is rejected at the level of the test.</summary>
    public bool RejectNull => PValue < Alpha;

    /// <summary>Welch's t test of two samples.</summary>
    /// <param name="sample">The sample under the null hypothesis, two numbers or more.</param>
    /// <param name="alternative">The other, two numbers or more.</param>
    /// <param name="alpha">The level of the test, in (0, 1).</param>
    /// <exception cref="ArrakisException">A sample is too small, holds what is not a finite number, or both are constant, or their numbers lie too far apart for a finite t.</exception>
    public static HypothesisTest Welch(ReadOnlySpan<double> sample, ReadOnlySpan<double> alternative, double alpha = 0.05)
    {
        Check(sample, alternative, alpha, least: 2);
        if (!sample.ContainsAnyExcept(sample[0]) && !alternative.ContainsAnyExcept(alternative[0]))
            throw new ArrakisException("both samples are constant, and Welch's t divides by their spread: use a permutation test, or sample what varies");
        // Each about a number of its own, so that the variance of a constant sample is 0 to the bit.
        double[] a = Less(sample, sample[0]), b = Less(alternative, alternative[0]);
        int unit = Unit([.. a, .. b]);
        (double m1, double v1) = ArrayStatistics.MeanVariance(InUnits(a, unit));
        (double m2, double v2) = ArrayStatistics.MeanVariance(InUnits(b, unit));
        double e1 = v1 / sample.Length, e2 = v2 / alternative.Length;
        double t = Finite((Math.ScaleB(alternative[0] - sample[0], -unit) + (m2 - m1)) / Math.Sqrt(e1 + e2));
        // The ratio of squares, so that tiny variances do not underflow.
        double r1 = e1 / (e1 + e2), r2 = e2 / (e1 + e2);
        double df = 1 / (r1 * r1 / (sample.Length - 1) + r2 * r2 / (alternative.Length - 1));
        double p = Math.Min(1, 2 * StudentT.CDF(0, 1, df, -Math.Abs(t)));
        return new(HypothesisMethod.Welch, t, df, p, alpha, Mean(sample), Mean(alternative), sample.Length, alternative.Length, 0, false);
    }

    /// <summary>A permutation test of the difference of two samples' means: over all relabellings where there are no more than asked for, else over random ones.</summary>
    /// <param name="sample">The sample under the null hypothesis.</param>
    /// <param name="alternative">The other.</param>
    /// <param name="alpha">The level of the test, in (0, 1).</param>
    /// <param name="permutations">How many relabellings to look at, at most.</param>
    /// <param name="seed">Which random ones.</param>
    /// <returns>A p-value that is never 0: of random relabellings the observed one counts as one (Phipson and Smyth 2010).</returns>
    /// <exception cref="ArrakisException">
    /// A sample is empty or holds what is not a finite number, their numbers lie too far apart for a finite difference, or there are no permutations.
    /// </exception>
    public static HypothesisTest Permutation(
        ReadOnlySpan<double> sample, ReadOnlySpan<double> alternative, double alpha = 0.05, int permutations = 10_000, int seed = 0)
    {
        Check(sample, alternative, alpha, least: 1);
        if (permutations < 1)
            throw new ArrakisException($"{permutations} permutations test nothing: use at least 1");
        double[] all = [.. sample, .. alternative];
        // About their median, from which the sum of distances, and with it the rounding, is the smallest.
        all = Less(all, all.Order().ElementAt(all.Length / 2));
        int n = sample.Length, unit = Unit(all);
        all = InUnits(all, unit);
        var means = new Means(all, n);
        double observed = means.Of(all), difference = Finite(Math.ScaleB(observed, unit)), bound = Math.Abs(observed) - means.Rounding;
        bool exact = Combinatorics.Combinations(all.Length, n) <= permutations;
        (int extreme, int seen) = exact ? CountAll(all, n, means, bound) : CountRandom(all, means, bound, permutations, seed);
        double p = exact ? extreme / (double)seen : (extreme + 1) / (double)(seen + 1);
        return new(HypothesisMethod.Permutation, difference, null, p, alpha, Mean(sample), Mean(alternative), n, alternative.Length, seen, exact);
    }

    // A test is of the distances between numbers: less a common one, and in units of a power of two, an offset costs no digits, and no square or sum over- or underflows.
    private static double[] Less(ReadOnlySpan<double> numbers, double centre)
    {
        double[] less = new double[numbers.Length];
        TensorPrimitives.Subtract(numbers, centre, less);
        return less;
    }

    private static double[] InUnits(double[] numbers, int unit) => Array.ConvertAll(numbers, number => Math.ScaleB(number, -unit));

    /// <summary>The power of two of the largest of them.</summary>
    private static int Unit(ReadOnlySpan<double> numbers) => Math.ILogB(Math.Max(double.Epsilon, Math.Abs(TensorPrimitives.MaxMagnitude(numbers))));

    // A running mean: that of the largest numbers is finite, and that of a constant sample its number.
    private static double Mean(ReadOnlySpan<double> sample) => Finite(ArrayStatistics.Mean(sample.ToArray()));

    private static double Finite(double result) => double.IsFinite(result)
        ? result
        : throw new ArrakisException("the samples' numbers lie too far apart for a finite statistic: find out where the largest come from");

    private static (int Extreme, int Seen) CountRandom(double[] all, Means means, double bound, int permutations, int seed)
    {
        var random = new Random(seed);
        double[] shuffled = [.. all];
        int extreme = 0;
        for (int i = 0; i < permutations; i++)
        {
            Combinatorics.SelectPermutationInplace(shuffled, random);
            extreme += Math.Abs(means.Of(shuffled)) >= bound ? 1 : 0;
        }

        return (extreme, permutations);
    }

    /// <summary>Every choice of n of all, in lexicographic order.</summary>
    private static (int Extreme, int Seen) CountAll(double[] all, int n, Means means, double bound)
    {
        int[] chosen = [.. Enumerable.Range(0, n)];
        int extreme = 0, seen = 0;
        while (true)
        {
            double sum = 0;
            foreach (int i in chosen)
                sum += all[i];
            seen++;
            extreme += Math.Abs(means.Of(sum)) >= bound ? 1 : 0;
            int last = n - 1;
            while (last >= 0 && chosen[last] == all.Length - n + last)
                last--;
            if (last < 0)
                return (extreme, seen);
            chosen[last]++;
            for (int i = last + 1; i < n; i++)
                chosen[i] = chosen[i - 1] + 1;
        }
    }

    private static void Check(ReadOnlySpan<double> sample, ReadOnlySpan<double> alternative, double alpha, int least)
    {
        if (Math.Min(sample.Length, alternative.Length) < least)
            throw new ArrakisException($"samples of {sample.Length} and {alternative.Length} are too small: each needs at least {least}");
        if (!TensorPrimitives.IsFiniteAll(sample) || !TensorPrimitives.IsFiniteAll(alternative))
            throw new ArrakisException("a sample holds what is not a finite number: leave it out, or find out where it comes from");
        if (!(alpha > 0 && alpha < 1))
            throw new ArrakisException(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"alpha is {alpha}: use a number between 0 and 1"));
    }

    /// <summary>The difference of the means when the first n of all are one sample and the rest the other.</summary>
    private readonly struct Means(double[] all, int n)
    {
        private readonly double _sum = all.Sum();
        private readonly int _n = n, _rest = all.Length - n;

        /// <summary>
        /// Relabellings that are equal in exact arithmetic differ by no more than this: a sum of m numbers, each rounded once before, is off by at most m·2⁻⁵³ times the sum of their
        /// sizes, the means are made of two such sums, over n and over the rest, and two differences are compared.
        /// </summary>
        public double Rounding { get; } = 4 * all.Length * (1 / (double)(1L << 53)) * all.Sum(Math.Abs) * (1.0 / n + 1.0 / (all.Length - n));

        public double Of(ReadOnlySpan<double> relabelled) => Of(TensorPrimitives.Sum(relabelled[.._n]));

        public double Of(double sum) => (_sum - sum) / _rest - sum / _n;
    }
}
