using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>One value that differs.</summary>
/// <param name="Path">Where: <c>result.write_heads[0].strength</c>, <c>arguments.src_idx</c>, <c>seed</c>, <c>source.text</c>.</param>
/// <param name="Before">What it was; null where it was not there, or was null.</param>
/// <param name="After">What it is; null where it is not there, or is null.</param>
/// <param name="Difference">Of two numbers, |after − before| / max(|after|, |before|).</param>
public sealed record ExperimentChange(string Path, JsonNode? Before, JsonNode? After, double? Difference);

/// <summary>What differs between two runs of one experiment, or of two: everything that makes a version, value by value.</summary>
/// <param name="Before">The one.</param>
/// <param name="After">The other.</param>
/// <param name="Tolerance">By how much two numbers may differ, relative to the larger, and still count as the same.</param>
/// <param name="Changes">What differs by more.</param>
/// <param name="WithinTolerance">How many numbers differ by no more than the tolerance.</param>
public sealed record ExperimentDiff(
    ExperimentRecord Before, ExperimentRecord After, double Tolerance, IReadOnlyList<ExperimentChange> Changes, int WithinTolerance)
{
    /// <summary>Compares two runs.</summary>
    /// <param name="before">The one.</param>
    /// <param name="after">The other.</param>
    /// <param name="tolerance">By how much two numbers may differ, relative to the larger, and still count as the same.</param>
    /// <exception cref="ArrakisException">The tolerance is negative, or not a number.</exception>
    public static ExperimentDiff Of(ExperimentRecord before, ExperimentRecord after, double tolerance = 0)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        if (!(tolerance >= 0 && double.IsFinite(tolerance)))
            throw new ArrakisException(string.Create(CultureInfo.InvariantCulture, $"the tolerance is {tolerance}: use 0 or more"));
        var comparison = new Comparison(tolerance);
        comparison.Compare("", Content(before), Content(after));
        return new ExperimentDiff(before, after, tolerance, comparison.Changes, comparison.Within);
    }

    private static JsonNode? Content(ExperimentRecord record) => JsonSerializer.SerializeToNode(record.Content, RecordJson.Default.ExperimentContent);

    private sealed class Comparison(double tolerance)
    {
        public List<ExperimentChange> Changes { get; } = [];

        public int Within { get; private set; }

        public void Compare(string path, JsonNode? before, JsonNode? after)
        {
            switch (before, after)
            {
                case (JsonObject a, JsonObject b):
                    foreach (string name in a.Select(p => p.Key).Concat(b.Select(p => p.Key).Where(name => !a.ContainsKey(name))))
                        Compare(path.Length == 0 ? name : $"{path}.{name}", a[name], b[name]);
                    break;
                case (JsonArray a, JsonArray b):
                    for (int i = 0; i < Math.Max(a.Count, b.Count); i++)
                        Compare(string.Create(CultureInfo.InvariantCulture, $"{path}[{i}]"), i < a.Count ? a[i] : null, i < b.Count ? b[i] : null);
                    break;
                default:
                    CompareValues(path, before, after);
                    break;
            }
        }

        private void CompareValues(string path, JsonNode? before, JsonNode? after)
        {
            if (Same(before, after))
                return;
            double? difference = null;
            if (before?.GetValueKind() == JsonValueKind.Number && after?.GetValueKind() == JsonValueKind.Number)
            {
                double a = Number(before), b = Number(after), larger = Math.Max(Math.Abs(a), Math.Abs(b));
                difference = larger == 0 ? 0 : Math.Abs(b - a) / larger;
                if (difference <= tolerance)
                {
                    Within++;
                    return;
                }
            }

            Changes.Add(new ExperimentChange(path, before?.DeepClone(), after?.DeepClone(), difference));
        }

        private static bool Same(JsonNode? before, JsonNode? after) =>
            before is null || after is null
                ? before is null && after is null
                : CanonicalJson.Write(Element(before)) == CanonicalJson.Write(Element(after));

        private static double Number(JsonNode node) => Element(node).GetDouble();

        private static JsonElement Element(JsonNode node) => JsonSerializer.SerializeToElement(node, RecordJson.Default.JsonNode);
    }
}
