using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>One document as JSON, or its fields as a table.</summary>
internal static class PlainView
{
    // By how a field's name ends.
    private static readonly (string End, string Unit)[] s_units = [("tokens_per_second", "tokens/s"), ("gflops", "GFLOP/s"), ("bytes", "bytes")];

    /// <param name="terminal">Where it is written.</param>
    /// <param name="json">Whether as JSON.</param>
    /// <param name="result">The document.</param>
    /// <param name="remarks">What people are told of fields, behind them.</param>
    public static void Write(Terminal terminal, bool json, JsonObject result, params (string Field, string Remark)[] remarks)
    {
        if (json)
        {
            terminal.Write(result);
            return;
        }

        Table table = new Table().AddColumn("", name => name.NoWrap()).AddColumn("").HideHeaders().Border(TableBorder.None);
        foreach ((string name, JsonNode? value) in result)
        {
            if (value is null || (value is JsonArray { Count: > 0 } rows && rows[0] is JsonObject))
                continue;
            string remark = string.Concat(remarks.Where(remark => remark.Field == name).Select(remark => $" ({remark.Remark})"));
            table.AddRow(new Spectre.Console.Text(name), new Spectre.Console.Text(Field(name, value) + remark));
        }

        terminal.Write(table);
        foreach ((_, JsonNode? value) in result)
        {
            if (value is JsonArray { Count: > 0 } rows && rows[0] is JsonObject first)
                WriteRows(terminal, rows, first);
        }
    }

    private static void WriteRows(Terminal terminal, JsonArray rows, JsonObject first)
    {
        string[] columns = [.. first.Select(cell => cell.Key).Where(key => rows.Any(row => row![key] is not null))];
        Table table = View.Table([.. columns.Select(column => rows.Any(row => IsText(row![column])) ? $"<{column}" : column)]);
        foreach (JsonNode? row in rows)
            table.Row(false, columns.Select(column => Cell(row![column])));
        terminal.Write(table);
    }

    private static string Field(string name, JsonNode value) => value switch
    {
        JsonArray items => string.Join(' ', items.Select(Cell)),
        JsonValue time when name.EndsWith("seconds", StringComparison.Ordinal) => Seconds(Real(time)),
        JsonValue number when IsNumber(number) => Plain(number) + string.Concat(s_units.Where(unit => name.EndsWith(unit.End, StringComparison.Ordinal)).Select(unit => $" {unit.Unit}")),
        _ => Plain(value),
    };

    private static string Seconds(double seconds) => seconds < 1 ? $"{Size(1e3 * seconds)} ms" : $"{Size(seconds)} s";

    /// <summary>A value in words: an object as <c>name value, name value</c>, without what is null in it.</summary>
    private static string Plain(JsonNode value) => value switch
    {
        JsonObject { Count: 0 } => "none",
        JsonObject parts => string.Join(", ", parts.Where(part => part.Value is not null).Select(part => $"{part.Key} {(part.Value is JsonObject whole ? $"({Plain(whole)})" : Plain(part.Value!))}")),
        JsonValue number when IsNumber(number) => Number(number),
        JsonValue text when text.TryGetValue(out string? plain) => Said.OneLine(plain),
        _ => value.ToJsonString(),
    };

    private static string Number(JsonValue value)
    {
        if (value.TryGetValue(out int count))
            return Whole(count);
        if (value.TryGetValue(out long many))
            return Whole(many);
        double number = Real(value);
        // Of a thousand and more nobody reads what is behind the point.
        return number == Math.Truncate(number) || Math.Abs(number) >= 1e3 ? Whole((long)Math.Round(number)) : Size(number);
    }

    /// <summary>What stands in a list or a column: ids as they are, pieces as tokens.</summary>
    private static string Cell(JsonNode? value)
    {
        if (value is null)
            return "-";
        if (value.AsValue().TryGetValue(out string? piece))
            return Tokens.Shown(piece);
        return value.AsValue().TryGetValue(out int id) ? Invariant($"{id}") : Size(Real(value.AsValue()));
    }

    private static bool IsText(JsonNode? value) => value?.GetValueKind() == JsonValueKind.String;

    private static bool IsNumber(JsonValue value) => value.GetValueKind() == JsonValueKind.Number;

    private static double Real(JsonValue value) => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture);
}
