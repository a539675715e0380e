using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>Composition scores.</summary>
internal static class ComposeView
{
    /// <summary>The document, a score at a time: a model has hundreds of thousands.</summary>
    public static IEnumerable<string> Pieces(CompositionKind kind, int offset, IReadOnlyList<CompositionScore> scores, int top)
    {
        var document = new JsonObject { ["kind"] = Name(kind), ["scores"] = new JsonArray(), ["offset"] = offset, ["pairs"] = scores.Count };
        return Json.Pieces(document, "scores", scores.Take(top).Select(Score));
    }

    public static void Tables(Terminal terminal, CompositionKind kind, int offset, IReadOnlyList<CompositionScore> scores, int top)
    {
        terminal.Title($"{kind}-composition: which heads read with their {Input(kind)} what heads below them write");
        if (scores.Count == 0)
        {
            terminal.Line("There are no heads above others in these layers.");
            return;
        }

        Table table = View.Table("<writes", "<reads", "score", "times random", "ceiling", "of the ceiling");
        foreach (CompositionScore score in scores.Take(top))
        {
            table.Row(
                false, Invariant($"L{score.FromLayer}H{score.FromHead}"), Invariant($"L{score.ToLayer}H{score.ToHead}"), Size(score.Score), Size(score.Normalized), Size(score.Ceiling),
                score.Ceiling == 0 ? "-" : Percent(score.Score / score.Ceiling));
        }

        terminal.Write(table);
        terminal.Line(Invariant($"The {Math.Min(top, scores.Count)} highest of {Whole(scores.Count)} pairs, whose mean is {Size(scores.Average(score => score.Normalized))} times random."));
        if (kind != CompositionKind.V)
            terminal.Line(Invariant($"Scored for a query {(offset == 0 ? "and a key at the same position" : $"{View.Count(offset, "token")} after its key")} (--offset {offset})."));
        terminal.Note("Heads of random orientation score 1 times random; the ceiling is the best orientation.");
    }

    private static string Name(CompositionKind kind) => kind switch
    {
        CompositionKind.Q => "q",
        CompositionKind.K => "k",
        _ => "v",
    };

    private static string Input(CompositionKind kind) => kind switch
    {
        CompositionKind.Q => "queries",
        CompositionKind.K => "keys",
        _ => "values",
    };

    private static JsonObject Score(CompositionScore score) => new()
    {
        ["from"] = new JsonObject { ["layer"] = score.FromLayer, ["head"] = score.FromHead },
        ["to"] = new JsonObject { ["layer"] = score.ToLayer, ["head"] = score.ToHead },
        ["score"] = Json.Number(score.Score),
        ["normalized"] = Json.Number(score.Normalized),
        ["ceiling"] = Json.Number(score.Ceiling),
    };
}
