using System.Globalization;
using System.Text.Json.Nodes;
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
                table.AddRow(new Text(name), new Text(value is JsonArray ids ? string.Join(' ', ids.Select(id => id!.ToJsonString())) : value.ToJsonString().Trim('"')));
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
        string[] columns = [.. first.Where(cell => cell.Value is not null).Select(cell => cell.Key)];
        var table = new Table().AddColumns(columns);
        foreach (JsonNode? row in rows)
            table.AddRow([.. columns.Select(column => new Text(Cell(row![column]!)))]);
        terminal.Write(table);
    }

    private static string Cell(JsonNode value) =>
        value.AsValue().TryGetValue(out float number) ? number.ToString("0.0000", CultureInfo.InvariantCulture) : value.ToJsonString();
}
