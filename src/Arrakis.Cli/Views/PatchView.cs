using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Experiments;
using Arrakis.Native;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What patched places recover, and what paths do.</summary>
internal static class PatchView
{
    private const int MostOthers = 24;

    /// <summary>The document, a place at a time, the largest effect first.</summary>
    public static IEnumerable<string> Pieces(ActivationPatching patched, int top, int[] ids, int[] source, Tokens tokens)
    {
        var document = new JsonObject
        {
            ["metric"] = patched.Metric.Name,
            ["point"] = patched.Point.ShortName(),
            ["source"] = Json.Number(patched.Clean),
            ["baseline"] = Json.Number(patched.Corrupted),
            ["sites"] = new JsonArray(),
        };
        Add(document, patched.Metric, ids, source, tokens);
        return Json.Pieces(document, "sites", Strongest(patched).Take(top).Select(ResultJson.Site));
    }

    public static void Tables(Terminal terminal, ActivationPatching patched, int top, int[] ids, int[] source, Tokens tokens)
    {
        terminal.Title($"The {patched.Metric.Says(tokens)} with {patched.Point.ShortName()} taken from the source, one place at a time");
        terminal.Line(Markup.Escape($"It is {Share(patched.Corrupted)} in this run and {Share(patched.Clean)} in the source's{patched.Metric.Where(tokens, ids)}."));
        Table table = View.Table(
            "layer", patched.Point is HookPoint.K or HookPoint.V or HookPoint.RotK ? "kv head" : "head", "position", tokens.Column, "<the source's", "value", "recovered");
        foreach (PatchedSite site in Strongest(patched).Take(top))
        {
            table.Row(
                false, site.Layer is { } layer ? Invariant($"{layer}") : "-", Place(site.Head), Place(site.Position),
                site.Position is { } at ? tokens.Cell(ids[at]) : "", site.Position is { } there && source[there] != ids[there] ? tokens.Cell(source[there]) : "", Share(site.Value),
                site.Recovered is { } recovered ? Percent(recovered) : "-");
        }

        terminal.Write(table);
        if (top < patched.Sites.Count)
            terminal.Line($"The {top} of {Whole(patched.Sites.Count)} places with the largest effect.");
        terminal.Note("recovered: how much of the way from this run to the source's that is.");
        Legends(terminal, ids, source, tokens);
    }

    public static JsonObject Document(PathPatching patched, (int Layer, int Head) sender, int top, int[] ids, int[] source, Tokens tokens)
    {
        var document = new JsonObject
        {
            ["metric"] = patched.Metric.Name,
            ["sender"] = ResultJson.Head(sender.Layer, sender.Head),
            ["baseline"] = Json.Number(patched.Baseline),
            ["whole"] = Json.Number(patched.WholeEffect(sender)),
            ["paths"] = Json.Array(Strongest(patched).Take(top).Select(ResultJson.Path)),
        };
        Add(document, patched.Metric, ids, source, tokens);
        return document;
    }

    public static void Tables(Terminal terminal, PathPatching patched, (int Layer, int Head) sender, int top, int[] ids, int[] source, Tokens tokens)
    {
        terminal.Title(Invariant($"The {patched.Metric.Says(tokens)} with L{sender.Layer}H{sender.Head} taken from the source, as one receiver at a time sees it"));
        terminal.Line(Markup.Escape(
            $"It is {Share(patched.Baseline)} in this run{patched.Metric.Where(tokens, ids)}; over all paths at once it changes by {Share(patched.WholeEffect(sender))}."));
        Table table = View.Table("<into", "value", "effect");
        foreach (PathEffect path in Strongest(patched).Take(top))
        {
            string into = path.Receiver.Input == ReceiverInput.Logits ? "logits" : Invariant($"{path.Receiver.Input.Name()} of L{path.Receiver.Layer}H{path.Receiver.Head}");
            table.Row(false, into, Share(path.Value), Share(path.Effect));
        }

        terminal.Write(table);
        if (top < patched.Paths.Count)
            terminal.Line($"The {top} of {Whole(patched.Paths.Count)} paths with the largest effect.");
        Legends(terminal, ids, source, tokens);
    }

    private static IEnumerable<PatchedSite> Strongest(ActivationPatching patched) => patched.Sites.OrderByDescending(site => Math.Abs(site.Value - patched.Corrupted));

    private static IEnumerable<PathEffect> Strongest(PathPatching patched) => patched.Paths.OrderByDescending(path => Math.Abs(path.Effect));

    private static string Place(int? place) => place is { } at ? Invariant($"{at}") : "all";

    private static void Add(JsonObject document, CausalMetric metric, int[] ids, int[] source, Tokens tokens)
    {
        metric.AddTo(document, tokens, ids);
        document["source_tokens"] = tokens.Of(source);
    }

    /// <summary>Which tokens stand where, and which others in the source.</summary>
    private static void Legends(Terminal terminal, int[] ids, int[] source, Tokens tokens)
    {
        int[] others = [.. Enumerable.Range(0, ids.Length).Where(t => source[t] != ids[t])];
        terminal.Legend(tokens, ids);
        if (others.Length == 0)
            terminal.Note("The source is the same input: nothing can differ.");
        else if (tokens.Tokenizer is not null)
            terminal.Note($"The source has {string.Join("  ", others.Take(MostOthers).Select(t => Invariant($"{t} {tokens.Name(source[t])}")))}{(others.Length > MostOthers ? "  ..." : "")}");
    }
}
