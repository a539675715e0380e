namespace Arrakis.Analysis;

/// <summary>What documents call these.</summary>
internal static class ReadingNames
{
    public static IEnumerable<string> Names(this HeadInputs inputs) =>
        new[] { (HeadInputs.Q, "q"), (HeadInputs.K, "k"), (HeadInputs.V, "v") }.Where(input => inputs.HasFlag(input.Item1)).Select(input => input.Item2);
}
