using Arrakis.Analysis;

namespace Arrakis.Report;

/// <summary>Read shares of every head of a layer, each the mean over the tokens. [H]</summary>
internal static class MeanShares
{
    private delegate ReadOnlySpan<float> SharesOf(int head);

    public static double[] Q(HeadReads reads) => Of(reads.Heads, reads.QShares);

    public static double[] K(HeadReads reads) => Of(reads.Heads, reads.KShares);

    /// <summary>Of the values as the head's pattern mixes them.</summary>
    public static double[] V(HeadReads reads) => Of(reads.Heads, reads.ZShares);

    private static double[] Of(int heads, SharesOf shares)
    {
        double[] means = new double[heads];
        for (int h = 0; h < heads; h++)
        {
            double sum = 0;
            foreach (float share in shares(h))
                sum += share;
            means[h] = sum / shares(h).Length;
        }

        return means;
    }
}
