using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

internal static partial class FlowView
{
    private const int MostEdges = 10;
    private const int MostHeads = 8;
    private const int MostSources = 20;
    private const int HeadsPerLayer = 3;
    private const int BarWidth = 20;

    public static void Tables(Terminal terminal, FlowTrace trace, int[] ids, Tokens tokens)
    {
        int last = trace.From + trace.Layers - 1;
        terminal.Title(Invariant($"Flow from {Place(ids, tokens, trace.Source)} to {Place(ids, tokens, trace.Destination)}, through {(trace.Layers == 1 ? "layer" : "layers")} ")
            + (trace.Layers == 1 ? Invariant($"{last}") : Invariant($"{trace.From} to {last}")));
        terminal.Line($"{What(trace, tokens)} that comes from there: [bold]{Flow(trace.Total)}[/]");
        terminal.Note(Unit(trace));
        terminal.Note(trace.Mlp == MlpTreatment.Frozen
            ? "Patterns, norm scales and SiLU(gate) are frozen as they ran. Through the MLPs."
            : "Patterns and norm scales are frozen as they ran. MLPs pass nothing on.");
        Layers(terminal, trace);
        Paths(terminal, trace, int.MaxValue);
        Edges(terminal, trace);
        Heads(terminal, trace, MostHeads);
        if (trace.Sources is not null)
            Sources(terminal, trace, ids, tokens, MostSources);
        terminal.Legend(tokens, ids);
        terminal.Note("This says what moved. Why a head attended there: --target key:HEAD:QUERY, with --layers up to its own. Every number: --json.");
    }

    /// <summary>Paths, strongest first, and how much of the total they are.</summary>
    public static void Paths(Terminal terminal, FlowTrace trace, int most)
    {
        if (trace.Paths.Count == 0)
            return;
        FlowPath[] shown = [.. trace.Paths.Take(most)];
        Table table = View.Table("flow", "of the total", "<strongest paths");
        foreach (FlowPath path in shown)
            table.Row(false, Flow(path.Flow), trace.Total == 0 ? "-" : Percent(path.Flow / trace.Total), Route(path));
        terminal.Write(table);
        double coverage = trace.Total == 0 ? 0 : shown.Sum(path => path.Flow) / trace.Total;
        terminal.Line(Invariant($"Coverage: {(shown.Length == 1 ? "this path is" : $"the {shown.Length} paths make up")} {Percent(coverage)} of the total, {Flow(trace.Total)}. The search was ")
            + (trace.PathsExhaustive ? "exhaustive." : "not exhaustive."));
    }

    /// <summary>The heads that carry the most, and what they write and read on the way.</summary>
    public static void Heads(Terminal terminal, FlowTrace trace, int most)
    {
        FlowHead[] heads = [.. trace.Heads.Where(head => head.Flow != 0).OrderByDescending(head => Math.Abs(head.Flow)).Take(most)];
        if (heads.Length == 0)
            return;
        Table table = View.Table("<head", "carries", "<role", "at", "write\nnorm", "reads\nq", "\nk", "\nv");
        foreach (FlowHead head in heads)
        {
            table.Row(
                false, Invariant($"L{head.Layer}H{head.Head}"), Flow(head.Flow), Role(head.Role) ?? "-", Invariant($"{head.Query}"), Size(head.QueryWriteNorm),
                Share(head.QShare), Share(head.KShare), Share(head.VShare));
        }

        terminal.Write(table);
        terminal.Note("carries: the flow over all its edges; at: where the strongest of them ends.");
        terminal.Note("reads: the signed part of its query there, of the keys it looks at and of its mixed values that came from the source.");
        terminal.Note("A writer is a write head of its layer there, and a reader one of the heads that take the most of what the source sent.");
    }

    /// <summary>What every position up to the destination contributes, in the order of the input, the weakest together.</summary>
    public static void Sources(Terminal terminal, FlowTrace trace, int[] ids, Tokens tokens, int most)
    {
        double[] flows = [.. trace.Sources!.Take(trace.Destination + 1)];
        HashSet<int> shown = [trace.Source, .. Enumerable.Range(0, flows.Length).Where(t => flows[t] != 0).OrderByDescending(t => Math.Abs(flows[t])).Take(most)];
        double[] mlps = [.. trace.MlpSources ?? []];
        double largest = flows.Concat(mlps).Max(Math.Abs);
        Table table = View.Table("source", tokens.Column, "flow", "<");
        for (int t = 0; t < flows.Length; t++)
        {
            if (shown.Contains(t))
                table.Row(t == trace.Source, Invariant($"{t}"), tokens.Cell(ids[t]), Flow(flows[t]), Bar(flows[t], largest));
        }

        if (shown.Count < flows.Length)
        {
            double rest = Enumerable.Range(0, flows.Length).Where(t => !shown.Contains(t)).Sum(t => flows[t]);
            table.Row(false, Invariant($"{flows.Length - shown.Count} more"), "", Flow(rest), Bar(rest, largest));
        }

        for (int i = 0; i < mlps.Length; i++)
            table.Row(false, Invariant($"L{trace.From + i} MLP"), "", Flow(mlps[i]), Bar(mlps[i], largest));
        terminal.Write(table);
        FlowConservation whole = trace.Conservation!.Value;
        string expected = trace.Target switch
        {
            { TokenId: not null } => $"{Flow(whole.Expected)}, the logit",
            { Score: not null } => $"{Flow(whole.Expected)}, the score",
            _ => "1, the whole",
        };
        terminal.Line($"All sources add up to {Flow(whole.Sum)} of {expected} (off by {Error(whole.Error)}).");
        terminal.Note("Bars: = is for, - against.");
    }

    /// <summary>What flow is counted in.</summary>
    public static string Unit(FlowTrace trace) => trace.Target switch
    {
        { TokenId: not null } => "Flow is in logits; + is for the token, - against it.",
        { Score: not null } => "Flow is in units of the score, before the softmax; + is for attention, - against it.",
        _ => "Flow is a share of what stands at the destination; + is along it, - against it.",
    };

    private static string What(FlowTrace trace, Tokens tokens) => trace.Target switch
    {
        { TokenId: { } token } => Invariant($"The part of token {token}'s logit{Markup.Escape(tokens[token] is string piece ? $" ({Tokens.Shown(piece)})" : "")} at the destination"),
        { Score: { IsKey: false } score } => Invariant($"The part of head {trace.From + trace.Layers}.{score.Head}'s score of position {score.Other}, as the query that it looks from,"),
        { Score: { } score } => Invariant($"The part of head {trace.From + trace.Layers}.{score.Head}'s score, as the key that position {score.Other} looks for,"),
        _ => "The share of what stands at the destination",
    };

    private static void Layers(Terminal terminal, FlowTrace trace)
    {
        Table table = View.Table("layer", "stays", "through\nheads", "<strongest heads", "through\nMLP");
        foreach (FlowLayer layer in trace.PerLayer)
        {
            IEnumerable<string> strongest = Enumerable.Range(0, layer.Heads.Count).Where(h => layer.Heads[h] != 0)
                .OrderByDescending(h => Math.Abs(layer.Heads[h])).Take(HeadsPerLayer).Select(h => Invariant($"H{h} {Flow(layer.Heads[h])}"));
            table.Row(
                false, Invariant($"{layer.Layer}"), Flow(layer.Residual), Flow(layer.Heads.Sum()), string.Join("  ", strongest), Flow(layer.Mlp));
        }

        terminal.Write(table);
        terminal.Line($"At every layer stays + heads = total (off by {Error(CutError(trace))}).");
    }

    private static void Edges(Terminal terminal, FlowTrace trace)
    {
        if (trace.Edges.Count == 0)
            return;
        Table table = View.Table("flow", "<strongest edges");
        foreach (FlowEdge edge in trace.Edges.Take(MostEdges))
            table.Row(false, Flow(edge.Flow), Invariant($"L{edge.Layer}H{edge.Head}  {edge.Key} -> {edge.Query}"));
        terminal.Write(table);
    }

    private static double CutError(FlowTrace trace) =>
        trace.PerLayer.Max(layer => Math.Abs(layer.Sum - trace.Total));

    /// <summary>A path as it goes, <c>1 -> L0H3 -> 2 -> L1MLP -> L2H5 -> 3</c>: as it says it itself, without the flow at the end, which has a column of its own.</summary>
    private static string Route(FlowPath path)
    {
        string text = path.ToString(), route = text[..text.LastIndexOf(' ')].TrimEnd();
        return route.Contains("->", StringComparison.Ordinal) ? route : $"{route}  (stays in the stream)";
    }

    private static string Place(int[] ids, Tokens tokens, int position) => Invariant($"position {position} ({tokens.Full(ids[position])})");

    // Bars grow to the right whatever their sign; what opposes is hatched.
    private static string Bar(double flow, double largest) =>
        largest == 0 ? "" : new string(flow < 0 ? '-' : '=', (int)Math.Round(BarWidth * Math.Abs(flow) / largest));
}
