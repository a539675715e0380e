namespace Arrakis.Native.Tests.Support;

/// <summary>Comparison of numbers with a tolerance relative to the largest of their kind.</summary>
public static class Close
{
    /// <summary>
    /// Asserts |actual − expected| ≤ tolerance · max |expected| at every place; infinities must stand at the same places, and NaN nowhere.
    /// Relative to the largest because an entry that is a difference of large ones has the rounding error of those.
    /// </summary>
    public static void ToLargest(ReadOnlySpan<double> expected, ReadOnlySpan<double> actual, double tolerance, string what)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values, expected {expected.Length}");
        double largest = 0;
        foreach (double e in expected)
            largest = double.IsFinite(e) ? Math.Max(largest, Math.Abs(e)) : largest;
        for (int i = 0; i < expected.Length; i++)
        {
            double e = expected[i], a = actual[i];
            // Written so that a NaN fails.
            bool close = double.IsFinite(e) ? Math.Abs(a - e) <= tolerance * largest : a.Equals(e);
            Assert.True(close, $"{what}[{i}] is {a:R}, expected {e:R}: off by {Math.Abs(a - e) / largest:E2} of the largest, {largest:R}; allowed {tolerance:E1}");
        }
    }

    /// <summary>Asserts |actual − expected| ≤ tolerance · max(|expected|, scale).</summary>
    public static void To(double expected, double actual, double tolerance, string what, double scale = 0) => Assert.True(
        Math.Abs(actual - expected) <= tolerance * Math.Max(Math.Abs(expected), scale),
        $"{what} is {actual:R}, expected {expected:R}; allowed {tolerance:E1} of {Math.Max(Math.Abs(expected), scale):R}");
}
