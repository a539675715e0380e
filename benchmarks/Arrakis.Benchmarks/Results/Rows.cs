using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Benchmarks.Reach;
using BenchmarkDotNet.Parameters;
using BenchmarkDotNet.Reports;

namespace Arrakis.Benchmarks.Results;

/// <summary>A claim as an object of the results file.</summary>
internal static class ClaimResults
{
    public static JsonNode Of(Claim claim) => new JsonObject
    {
        ["claim"] = claim.Name.Trim(),
        ["wanted"] = claim.Bound == Bound.None ? null : claim.Wanted,
        ["bound"] = claim.Bound switch { Bound.AtLeast => "at least", Bound.AtMost => "at most", _ => null },
        ["measured"] = claim.Measured,
        ["reached"] = claim.Reached,
        ["note"] = claim.Note,
    };
}

/// <summary>One of BenchmarkDotNet's reports as an object of the results file; without figures where the benchmark could not run.</summary>
internal static class BenchmarkResults
{
    public static JsonNode Of(Summary summary, BenchmarkReport report)
    {
        var row = new JsonObject
        {
            ["benchmark"] = report.BenchmarkCase.Descriptor.Type.Name,
            ["method"] = report.BenchmarkCase.Descriptor.WorkloadMethod.Name,
        };
        foreach (ParameterInstance parameter in report.BenchmarkCase.Parameters.Items)
            row[parameter.Name.ToLowerInvariant()] = parameter.Value?.ToString();
        row["median_seconds"] = report.ResultStatistics?.Median / 1e9;
        row["min_seconds"] = report.ResultStatistics?.Min / 1e9;
        row["runs"] = report.ResultStatistics?.N;
        foreach (WorkColumn column in WorkColumn.All)
        {
            if (column.Value(summary, report.BenchmarkCase) is { } value)
                row[column.ColumnName] = value;
        }

        return row;
    }
}

/// <summary>Writes everything to two places.</summary>
internal sealed class Twice(TextWriter first, TextWriter second) : TextWriter
{
    public override Encoding Encoding => first.Encoding;

    public override void Write(char value)
    {
        first.Write(value);
        second.Write(value);
    }
}
