using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Experiments;
using Arrakis.Native.Weights;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>Runs of experiments: all of a folder, one, or two beside each other.</summary>
internal static class ExperimentsView
{
    // As many digits of a version as nobody will see twice.
    private const int Digits = 12;

    // What a cell holds of a value that may be of any length.
    private const int LongestCell = 40;

    // Of a percentage, and the smallest that can so be written.
    private const string PartsOfPercent = "0.00";
    private const double LeastDifference = 1e-4;

    public static JsonObject Document(string folder, ExperimentListing listing) => new()
    {
        ["folder"] = folder,
        ["runs"] = Json.Array(listing.Runs.Select(Summary)),
        ["faults"] = Json.Array(listing.Faults.Select(fault => JsonValue.Create(fault))),
    };

    public static JsonObject Document(ExperimentRecord record, int runs)
    {
        JsonObject document = JsonSerializer.SerializeToNode(record, RecordJson.Default.ExperimentRecord)!.AsObject();
        document["runs"] = runs;
        return document;
    }

    public static JsonObject Document(ExperimentDiff diff) => new()
    {
        ["before"] = Summary(diff.Before),
        ["after"] = Summary(diff.After),
        ["tolerance"] = diff.Tolerance,
        ["within_tolerance"] = diff.WithinTolerance,
        ["changes"] = Json.Array(diff.Changes.Select(change => new JsonObject
        {
            ["path"] = change.Path,
            ["before"] = change.Before?.DeepClone(),
            ["after"] = change.After?.DeepClone(),
            ["difference"] = change.Difference,
        })),
    };

    public static void Tables(Terminal terminal, ExperimentListing listing)
    {
        if (listing.Runs.Count == 0)
        {
            terminal.Line("No runs.");
            return;
        }

        Table table = View.Table("<experiment", "<version", "<when (UTC)", "seconds", "<outcome", "<arguments").Wrapping(last: 1);
        foreach (ExperimentRecord run in listing.Runs)
        {
            table.Row(
                run.Content.Failure is not null, run.Content.Experiment, run.Version[..Digits], Time(run), Size(run.Seconds), Outcome(run), Cell(run.Content.Arguments));
        }

        terminal.Write(table);
        int versions = listing.Runs.Select(run => run.Version).Distinct().Count();
        terminal.Line($"{View.Count(listing.Runs.Count, "run")} of {View.Count(versions, "version")}: runs of one version differ in nothing but when and how fast.");
    }

    public static void Tables(Terminal terminal, ExperimentRecord record, int runs)
    {
        ExperimentContent content = record.Content;
        terminal.Title($"{content.Experiment}, version {record.Version[..Digits]}, {(runs == 1 ? "run once" : Invariant($"run {runs} times, the last"))} {Time(record)} UTC");
        var table = new Table().AddColumns("", "").HideHeaders().Border(TableBorder.None);
        void Field(string name, string value) => table.AddRow(new Spectre.Console.Text(name), new Spectre.Console.Text(value));
        void Input(IReadOnlyList<int> ids) => Field("input", string.Join(' ', ids.Select(id => id.ToString(CultureInfo.InvariantCulture))));
        Field("version", record.Version);
        Field("arguments", Readable(content.Arguments));
        Field("seed", Invariant($"{content.Seed}"));
        Field("model", Said.OneLine(record.Model) + (record.ModelSeed is { } seed ? Invariant($", random of seed {seed}") : ""));
        Field("model hash", content.ModelHash);
        Field("tools", content.Tools.Count == 0 ? "none" : Said.OneLine(string.Join(", ", content.Tools)));
        if (content.Input is { } first)
            Input(first);
        foreach (IReadOnlyList<int> other in content.MoreInputs ?? [])
            Input(other);
        Field("seconds", Size(record.Seconds));
        Field("kernels", Said.OneLine(record.Kernels));
        Field("source", Said.OneLine(Invariant($"{content.Source.Member} in {content.Source.File}, line {record.Line}")));
        terminal.Write(table);
        terminal.Line();
        terminal.Write(new Spectre.Console.Text(Lines(content.Source.Text) + "\n\n"));
        if (content.Failure is { } failure)
            terminal.Write(new Spectre.Console.Text(Said.OneLine($"failed with {failure.Type}: {failure.Message.ReplaceLineEndings(" ")}") + "\n"));
        else
            terminal.Write(new Spectre.Console.Text(Readable(content.Result) + "\n"));
        if (record.Profile is { } profile)
            Profile(terminal, profile);
    }

    public static void Tables(Terminal terminal, ExperimentDiff diff)
    {
        terminal.Title($"From {Name(diff.Before)} to {Name(diff.After)}");
        string within = diff.WithinTolerance == 0 ? "" : Invariant($" {View.Count(diff.WithinTolerance, "number")} more within the tolerance of {diff.Tolerance}.");
        if (diff.Changes.Count == 0)
        {
            terminal.Line($"Nothing differs.{within}");
            return;
        }

        Table table = View.Table("<what", "by", "<before", "<after").Wrapping(last: 2);
        foreach (ExperimentChange change in diff.Changes)
            table.Row(false, Said.OneLine(change.Path), By(change), Value(change.Before), Value(change.After));
        terminal.Write(table);
        terminal.Line($"{View.Count(diff.Changes.Count, "value")} {(diff.Changes.Count == 1 ? "differs" : "differ")}.{within}");
        if (diff.Changes.Any(change => change.Difference is not null))
            terminal.Note("by: relative to the larger, where a number is not whole. Numbers to six digits; all of them: --json.");
    }

    private static void Profile(Terminal terminal, ModelProfile profile)
    {
        terminal.Line();
        terminal.Title($"A pass of {View.Count(profile.Tokens, "token")} took {Size(1e3 * profile.Seconds)} ms: the median of {View.Count(profile.Runs, "run")}");
        double sum = profile.Components.Sum(component => component.Seconds);
        Table table = View.Table("layer", "<component", "ms", "of all", "weight bytes", "activation bytes");
        foreach (ComponentCost component in profile.Components)
        {
            table.Row(
                false, component.Layer is { } layer ? Invariant($"{layer}") : "", component.Component, Size(1e3 * component.Seconds),
                sum > 0 ? Percent(component.Seconds / sum) : "-", Whole(component.WeightBytes), Whole(component.ActivationBytes));
        }

        terminal.Write(table);
    }

    private static JsonObject Summary(ExperimentRecord run) => new()
    {
        ["experiment"] = run.Content.Experiment,
        ["version"] = run.Version,
        ["time"] = JsonValue.Create(run.Time),
        ["seconds"] = run.Seconds,
        ["outcome"] = Outcome(run),
        ["arguments"] = run.Content.Arguments.DeepClone(),
        ["seed"] = run.Content.Seed,
        ["model"] = run.Model,
        ["model_hash"] = run.Content.ModelHash,
    };

    // Where a terminal is too narrow these give way, and the others stay whole.
    private static Table Wrapping(this Table table, int last)
    {
        foreach (TableColumn column in table.Columns.TakeLast(last))
            column.NoWrap = false;
        return table;
    }

    // Whole numbers count and name: how many percent head 2 is more than head 1 says nothing.
    private static string By(ExperimentChange change) => change.Difference switch
    {
        null => "",
        _ when IsWhole(change.Before!) && IsWhole(change.After!) => "",
        < LeastDifference => $"< {Percent(LeastDifference, PartsOfPercent)}",
        { } difference => Percent(difference, PartsOfPercent),
    };

    private static string Value(JsonNode? node) => node?.GetValueKind() == JsonValueKind.Number && !IsWhole(node) ? Significant(Number(node)) : Cell(node);

    private static bool IsWhole(JsonNode number) => double.IsInteger(Number(number));

    private static double Number(JsonNode number) => double.Parse(number.ToJsonString(), CultureInfo.InvariantCulture);

    private static string Outcome(ExperimentRecord run) => run.Content.Failure is null ? "done" : "failed";

    private static string Name(ExperimentRecord run) => $"{run.Content.Experiment} {run.Version[..Digits]}";

    private static string Time(ExperimentRecord run) => run.Time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    private static string Readable(JsonNode? node) => node is null ? "null" : Lines(JsonSerializer.Serialize(node, RecordJson.Readable.JsonNode));

    // What a file holds, without the characters that could do something to a terminal.
    private static string Lines(string text) => string.Join('\n', text.Replace("\t", "    ", StringComparison.Ordinal).ReplaceLineEndings("\n").Split('\n').Select(Said.OneLine));

    private static string Cell(JsonNode? node)
    {
        string text = node is null ? "-" : node.ToJsonString();
        return text.Length <= LongestCell ? text : text[..(LongestCell - 1)] + "…";
    }
}
