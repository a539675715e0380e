using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>The strongest pairs of heads of one kind of composition.</summary>
/// <param name="Kind">Through which input the later head reads.</param>
/// <param name="Pairs">How many pairs there are.</param>
/// <param name="Scores">The strongest of them, highest score first; pairs that score nothing are not listed.</param>
public sealed record CompositionReport(CompositionKind Kind, int Pairs, IReadOnlyList<CompositionScore> Scores)
{
    private const int Most = 500;

    internal static CompositionReport[] Measure(LlamaModel model, ReportOptions options, List<string> leftOut, Stages stages)
    {
        if (!options.Composition)
        {
            leftOut.Add("Composition, which was not asked for.");
            return [];
        }

        CompositionKind[] kinds = [CompositionKind.K, CompositionKind.V, CompositionKind.Q];
        var reports = new CompositionReport[kinds.Length];
        for (int i = 0; i < kinds.Length; i++)
        {
            IReadOnlyList<CompositionScore> scores = HeadComposition.Measure(
                model, kinds[i], options: options.Compute, progress: stages.Part((double)i / kinds.Length, (i + 1.0) / kinds.Length), cancellation: stages.Cancellation);
            reports[i] = new CompositionReport(kinds[i], scores.Count, [.. scores.TakeWhile(score => score.Score > 0).Take(Most)]);
        }

        if (reports[0].Pairs > Most)
            leftOut.Add($"Composition scores of all but the strongest {Most} of {reports[0].Pairs} pairs of heads of each kind; 'arrakis compose --json' lists them all.");
        return reports;
    }
}
