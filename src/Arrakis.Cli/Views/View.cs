using System.Numerics.Tensors;
using Arrakis.Native;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What the tables have in common.</summary>
internal static class View
{
    // What fits a terminal of 80 columns; Spectre's own is two spaces on either side.
    private static readonly Padding s_padding = new(1, 0, 0, 0);

    /// <summary>A table with these columns; those marked <c>&lt;</c> are aligned to the left. It brings an empty line before and after it.</summary>
    public static Table Table(params ReadOnlySpan<string> columns)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (string column in columns)
        {
            bool left = column.StartsWith('<');
            TableColumn made = new TableColumn(Markup.Escape(column.TrimStart('<'))).NoWrap().Padding(s_padding);
            table.AddColumn(left ? made.LeftAligned() : made.RightAligned());
        }

        return table;
    }

    /// <summary>A row of plain text, bold where it stands out.</summary>
    public static void Row(this Table table, bool strong, params IEnumerable<string> cells) =>
        table.AddRow([.. cells.Select(cell => new Spectre.Console.Text(cell, strong ? new Style(decoration: Decoration.Bold) : Style.Plain))]);

    /// <summary>Runs a prompt, and shows how far that is where it takes long.</summary>
    /// <returns>The logits of the last position; stale after the next pass.</returns>
    public static ReadOnlySpan<float> Forward(this Terminal terminal, LlamaSession session, int[] ids)
    {
        terminal.Work("prompt", progress =>
        {
            session.Progress = progress;
            session.Forward(ids, terminal.Cancellation);
            session.Progress = null;
            return true;
        }, ids.Length, "tokens");
        return session.Logits;
    }

    public static void Title(this Terminal terminal, string text) => terminal.Line($"[bold]{Markup.Escape(text)}[/]");

    public static void Note(this Terminal terminal, string text) => terminal.Line($"[dim]{Markup.Escape(text)}[/]");

    /// <summary>Which token stands at which position, where that is known.</summary>
    public static void Legend(this Terminal terminal, Tokens tokens, int[] ids)
    {
        if (tokens.Legend(ids) is string legend)
            terminal.Note(legend);
    }

    /// <summary>The value that is largest in size, and its position: <c>+0.214 @4</c>.</summary>
    public static string Largest(ReadOnlySpan<float> values, Func<double, string> say)
    {
        if (values.IsEmpty)
            return "";
        int at = TensorPrimitives.IndexOfMaxMagnitude(values);
        return Invariant($"{say(values[at])} @{at}");
    }

    public static double Mean(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
            sum += value;
        return sum / values.Length;
    }

    /// <summary>A count and its noun.</summary>
    public static string Count(int count, string noun) => Invariant($"{count} {noun}{(count == 1 ? "" : "s")}");
}
