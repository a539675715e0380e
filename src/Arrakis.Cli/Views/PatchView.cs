using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What patched places recover, and what paths do.</summary>
internal static class PatchView
{
    /// <summary>The document, a place at a time, the largest effect first.</summary>
    public static IEnumerable<string> Pieces(ActivationPatching patched, int top)
    {
        var document = new JsonObject
        {
            ["metric"] = patched.Metric.Name,
            ["point"] = patched.Point.ShortName(),
            ["source"] = Json.Number(patched.Clean),
            ["baseline"] = Json.Number(patched.Corrupted),
            ["sites"] = new JsonArray(),
        };
        return Json.Pieces(document, "sites", Strongest(patched).Take(top).Select(site => new JsonObject
        {
            ["layer"] = patched.Point.IsPerLayer() ? site.Layer : null,
            ["head"] = site.Head,
            ["position"] = site.Position,
            ["value"] = Json.Number(site.Value),
            ["recovered"] = site.Recovered is { } recovered ? Json.Number(recovered) : null,
        }));
    }

    public static void Tables(Terminal terminal, ActivationPatching patched, int top)
    {
        terminal.Title($"The {patched.Metric.Name} with {patched.Point.ShortName()} taken from the source, one place at a time");
        terminal.Line($"It is {Share(patched.Corrupted)} in this run and {Share(patched.Clean)} in the source's.");
        Table table = View.Table("layer", patched.Point is HookPoint.K or HookPoint.V or HookPoint.RotK ? "kv head" : "head", "position", "value", "recovered");
        foreach (PatchedSite site in Strongest(patched).Take(top))
        {
            table.Row(
                false, patched.Point.IsPerLayer() ? Invariant($"{site.Layer}") : "-", Place(site.Head), Place(site.Position), Share(site.Value),
                site.Recovered is { } recovered ? Percent(recovered) : "-");
        }

        terminal.Write(table);
        if (top < patched.Sites.Count)
            terminal.Line($"The {top} of {Whole(patched.Sites.Count)} places with the largest effect.");
        terminal.Note("recovered: how much of the way from this run to the source's that is.");
    }

    public static JsonObject Document(PathPatching patched, (int Layer, int Head) sender, int top) => new()
    {
        ["metric"] = patched.Metric.Name,
        ["sender"] = new JsonObject { ["layer"] = sender.Layer, ["head"] = sender.Head },
        ["baseline"] = Json.Number(patched.Baseline),
        ["whole"] = Json.Number(patched.WholeEffect(sender)),
        ["paths"] = Json.Array(Strongest(patched).Take(top).Select(path => new JsonObject
        {
            ["input"] = Name(path.Receiver.Input),
            ["layer"] = path.Receiver.Input == ReceiverInput.Logits ? null : path.Receiver.Layer,
            ["head"] = path.Receiver.Input == ReceiverInput.Logits ? null : path.Receiver.Head,
            ["value"] = Json.Number(path.Value),
            ["effect"] = Json.Number(path.Effect),
        })),
    };

    public static void Tables(Terminal terminal, PathPatching patched, (int Layer, int Head) sender, int top)
    {
        terminal.Title(Invariant($"The {patched.Metric.Name} with L{sender.Layer}H{sender.Head} taken from the source, as one receiver at a time sees it"));
        terminal.Line($"It is {Share(patched.Baseline)} in this run; over all paths at once it changes by {Share(patched.WholeEffect(sender))}.");
        Table table = View.Table("<into", "value", "effect");
        foreach (PathEffect path in Strongest(patched).Take(top))
        {
            string into = path.Receiver.Input == ReceiverInput.Logits ? "logits" : Invariant($"{Name(path.Receiver.Input)} of L{path.Receiver.Layer}H{path.Receiver.Head}");
            table.Row(false, into, Share(path.Value), Share(path.Effect));
        }

        terminal.Write(table);
        if (top < patched.Paths.Count)
            terminal.Line($"The {top} of {Whole(patched.Paths.Count)} paths with the largest effect.");
    }

    private static IEnumerable<PatchedSite> Strongest(ActivationPatching patched) => patched.Sites.OrderByDescending(site => Math.Abs(site.Value - patched.Corrupted));

    private static IEnumerable<PathEffect> Strongest(PathPatching patched) => patched.Paths.OrderByDescending(path => Math.Abs(path.Effect));

    private static string Place(int? place) => place is { } at ? Invariant($"{at}") : "all";

    private static string Name(ReceiverInput input) => input switch
    {
        ReceiverInput.Q => "q",
        ReceiverInput.K => "k",
        ReceiverInput.V => "v",
        _ => "logits",
    };
}
