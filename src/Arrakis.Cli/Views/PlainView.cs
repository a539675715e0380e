using System.Globalization;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;
using Spectre.Console;

namespace Arrakis.Cli.Views;

/// <summary>One document as JSON, or its fields as a table.</summary>
internal static class PlainView
{
    public static void Write(Terminal terminal, bool json, JsonObject result)
    {
        if (json)
        {
            terminal.Write(result);
            return;
        }

        var table = new Table().AddColumns("", "").HideHeaders().Border(TableBorder.None);
        foreach ((string name, JsonNode? value) in result)
        {
            if (value is JsonArray { Count: > 0 } rows && rows[0] is JsonObject)
                continue;
            if (value is not null)
                table.AddRow(new Spectre.Console.Text(name), new Spectre.Console.Text(Field(value)));
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
        var table = new Table().AddColumns(columns);
        foreach (JsonNode? row in rows)
            table.AddRow([.. columns.Select(column => new Spectre.Console.Text(Cell(row![column])))]);
        terminal.Write(table);
    }

    private static string Field(JsonNode value) => value switch
    {
        JsonArray items => string.Join(' ', items.Select(Cell)),
        JsonValue text when text.TryGetValue(out string? plain) => Said.OneLine(plain),
        _ => value.ToJsonString(),
    };

    private static string Cell(JsonNode? value)
    {
        if (value is null)
            return "-";
        if (value.AsValue().TryGetValue(out string? piece))
            return Tokens.Shown(piece);
        return value.AsValue().TryGetValue(out float number) ? number.ToString("0.0000", CultureInfo.InvariantCulture) : value.ToJsonString();
    }
}
