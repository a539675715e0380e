using System.Globalization;
using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What the heads of a layer read of a direction.</summary>
internal static class ReadsView
{
    public static JsonObject Document(HeadReads reads, Selection selection, JsonArray? tokens) => new()
    {
        ["layer"] = reads.Layer,
        ["direction"] = reads.Direction.ToString(),
        ["rule"] = selection.RuleName,
        ["threshold"] = selection.Threshold,
        ["via"] = Json.Array(reads.Inputs.Names().Select(input => JsonValue.Create(input))),
        ["heads"] = Json.Array(HeadSelection.Order(reads.Strengths).Select(head => Head(reads, head))),
        ["selected"] = Json.Numbers(reads.Select(selection.Threshold, selection.Rule).Select(head => head.Head)),
        ["share_error"] = reads.Tokens == 0 ? null : Json.Number(reads.ShareError),
        ["tokens"] = reads.Tokens == 0 ? null : tokens,
    };

    public static void Tables(Terminal terminal, HeadReads reads, Selection selection, int[] ids, Tokens tokens)
    {
        bool run = reads.Tokens > 0;
        terminal.Title($"What the {View.Count(reads.Heads, "head")} of layer {reads.Layer} read of {Name(reads.Direction, tokens)} through {string.Join(", ", reads.Inputs.Names())}"
            + (run ? $", over {View.Count(ids.Length, "token")}" : ""));
        HashSet<int> selected = [.. reads.Select(selection.Threshold, selection.Rule).Select(head => head.Head)];
        Table table = run
            ? View.Table("", "head", "strength", "q", "k", "v", "q share", "k share", "v share")
            : View.Table("", "head", "strength", "q", "k", "v");
        foreach (int head in HeadSelection.Order(reads.Strengths))
        {
            string[] shares = run
                ? [View.Largest(reads.QShares(head), Share), View.Largest(reads.KShares(head), Share), View.Largest(reads.VShares(head), Share)]
                : [];
            table.Row(
                selected.Contains(head),
                [
                    selected.Contains(head) ? "*" : "", Invariant($"{head}"), Size(reads.Strengths[head]), Size(reads.QWeights[head]), Size(reads.KWeights[head]),
                    Size(reads.VWeights[head]), .. shares,
                ]);
        }

        terminal.Write(table);
        terminal.Line($"[bold]*[/] {selection.RuleName} at {Invariant($"{selection.Threshold}")}: {selection.Explain("reading")}.");
        terminal.Line("q, k and v are read weights; strength is the root of the sum of their squares.");
        if (!run)
            return;
        terminal.Line("Shares are the signed parts of q, k and v that come from there: the largest, and @ which position. "
            + $"Of the whole stream they are 1 (off by {Error(reads.ShareError)}): its q, k and v computed again are the run's.");
        terminal.Legend(tokens, ids);
        terminal.Note("Every token's shares, and those of the mixed values z: --json.");
    }

    private static string Name(ReadDirection direction, Tokens tokens)
    {
        string[] parts = direction.ToString().Split(':');
        return parts[0] switch
        {
            "dim" => $"dimension {parts[1]}",
            "head" => $"what head {parts[1]} writes",
            _ => $"the {parts[0]} of token {parts[1]}{(tokens[int.Parse(parts[1], CultureInfo.InvariantCulture)] is string piece ? $", {Tokens.Shown(piece)}" : "")}",
        };
    }

    private static JsonObject Head(HeadReads reads, int head) => new()
    {
        ["head"] = head,
        ["strength"] = Json.Number(reads.Strengths[head]),
        ["q"] = Json.Number(reads.QWeights[head]),
        ["k"] = Json.Number(reads.KWeights[head]),
        ["v"] = Json.Number(reads.VWeights[head]),
        ["q_share"] = Shares(reads, reads.QShares(head)),
        ["k_share"] = Shares(reads, reads.KShares(head)),
        ["v_share"] = Shares(reads, reads.VShares(head)),
        ["z_share"] = Shares(reads, reads.ZShares(head)),
    };

    private static JsonArray? Shares(HeadReads reads, ReadOnlySpan<float> shares) => reads.Tokens == 0 ? null : Json.Numbers(shares);
}
