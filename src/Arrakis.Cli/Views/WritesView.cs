using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What the heads of a layer write.</summary>
internal static class WritesView
{
    public static JsonObject Document(HeadWrites writes, Selection selection, JsonArray? tokens) => new()
    {
        ["layer"] = writes.Layer,
        ["rule"] = selection.RuleName,
        ["threshold"] = selection.Threshold,
        ["heads"] = Json.Array(HeadSelection.Order(writes.Strengths).Select(head => Head(writes, head))),
        ["selected"] = Selected(writes, selection),
        ["share_error"] = writes.Tokens == 0 ? null : Json.Number(writes.ShareError),
        ["tokens"] = writes.Tokens == 0 ? null : tokens,
    };

    public static void Tables(Terminal terminal, HeadWrites writes, Selection selection, int[] ids, Tokens tokens)
    {
        bool run = writes.Tokens > 0;
        terminal.Title($"What the {View.Count(writes.Heads, "head")} of layer {writes.Layer} write" + (run ? $", over {View.Count(ids.Length, "token")}" : ", by the weights alone"));
        HashSet<int> selected = [.. writes.Select(selection.Threshold, selection.Rule).Select(head => head.Head)];
        Table table = run
            ? View.Table("", "head", "write\nnorm", "of the\nlayer", "so far", "largest\nnorm", "mean\nshare", "largest\nshare", "OV\nnorm")
            : View.Table("", "head", "OV norm", "of the\nlayer", "so far");
        double all = 0, sum = 0;
        foreach (double strength in writes.Strengths)
            all += strength;
        foreach (int head in HeadSelection.Order(writes.Strengths))
        {
            double strength = writes.Strengths[head];
            sum += strength;
            string[] parts = all > 0 ? [Percent(strength / all), Percent(sum / all)] : ["-", "-"];
            string[] measured = run
                ? [View.Largest(writes.Norms(head), Size), Share(View.Mean(writes.Shares(head))), View.Largest(writes.Shares(head), Share), Size(writes.OvNorms[head])]
                : [];
            table.Row(selected.Contains(head), [selected.Contains(head) ? "*" : "", Invariant($"{head}"), Size(strength), .. parts, .. measured]);
        }

        terminal.Write(table);
        terminal.Line($"[bold]*[/] {selection.RuleName} at {Invariant($"{selection.Threshold}")}: {selection.Explain("writing")}.");
        if (!run)
            return;
        terminal.Line($"At every token the shares of the heads sum to 1 (off by {Error(writes.ShareError)}).");
        terminal.Legend(tokens, ids);
        terminal.Note("The write norm is the mean over the tokens; @ is a position. Every token's norm and share: --json.");
    }

    private static JsonArray Selected(HeadWrites writes, Selection selection) =>
        Json.Numbers(writes.Select(selection.Threshold, selection.Rule).Select(head => head.Head));

    private static JsonObject Head(HeadWrites writes, int head) => new()
    {
        ["head"] = head,
        ["strength"] = Json.Number(writes.Strengths[head]),
        ["ov_norm"] = Json.Number(writes.OvNorms[head]),
        ["norm"] = writes.Tokens == 0 ? null : Json.Numbers(writes.Norms(head)),
        ["share"] = writes.Tokens == 0 ? null : Json.Numbers(writes.Shares(head)),
    };
}
