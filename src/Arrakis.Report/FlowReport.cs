using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>The flow from one position to the logit, with what passes every token on its way.</summary>
public sealed class FlowReport
{
    // At 64 tokens of 32 layers of 32 heads a flow has 2.1 million edges; above twice that they are not all held at once.
    private const long MostHeld = 4_300_000;
    private const int MostEdges = 1500;

    // What stays at a token is a difference of sums: where it should be nothing, this much of the largest part may be left of rounding.
    private const double Rounding = 1e-6;

    private FlowReport(FlowTrace trace, FlowEdge[] edges, double[][]? through, double[][]? stays)
    {
        (Trace, Edges) = (trace, edges);
        (Through, Stays) = (through, stays);
    }

    /// <summary>The flow itself.</summary>
    public FlowTrace Trace { get; }

    /// <summary>Its strongest edges, strongest first.</summary>
    public IReadOnlyList<FlowEdge> Edges { get; }

    /// <summary>
    /// What passes each token before each layer, and after the last: what arrives there by heads or has stayed. Over the tokens it is the total, at every height.
    /// Null where not every edge was held. [L + 1][T]
    /// </summary>
    public IReadOnlyList<double[]>? Through { get; }

    /// <summary>What of that stays at its token while each layer's heads run: what passes it less what the heads take from there. [L][T]</summary>
    public IReadOnlyList<double[]>? Stays { get; }

    /// <summary>How many edges the flow has; null where only its strongest were held.</summary>
    public int? EdgesInAll => Stays is null ? null : Trace.Edges.Count;

    /// <summary>How large a part may be and yet be nothing but rounding.</summary>
    internal double Least => Rounding * Edges.Select(edge => Math.Abs(edge.Flow)).Append(Math.Abs(Trace.Total)).Max();

    internal static FlowReport[] Measure(
        LlamaModel model, ActivationCache cache, LogitReport logit, ReportOptions options, List<string> leftOut, Stages stages)
    {
        LlamaConfig c = model.Config;
        int[] sources = Sources(logit, options);
        long edges = (long)cache.Tokens * (cache.Tokens + 1) / 2 * c.NumHiddenLayers * c.NumAttentionHeads;
        FlowOptions flow = LogitReport.Flow(c, logit.Token.Id, options) with { Paths = options.Paths, Edges = edges <= MostHeld ? null : MostEdges };
        var reports = new FlowReport[sources.Length];
        bool cut = false;
        for (int i = 0; i < sources.Length; i++)
        {
            FlowTrace trace = FlowTracer.Trace(model, cache, sources[i], logit.Position, flow, stages.Cancellation);
            reports[i] = flow.Edges is null ? Whole(trace, cache.Tokens) : new FlowReport(trace, [.. trace.Edges], null, null);
            cut |= trace.Edges.Count > MostEdges;
            stages.Done((i + 1.0) / sources.Length);
        }

        int carrying = logit.Trace.Sources!.Count(contribution => contribution != 0);
        if (carrying > sources.Length)
            leftOut.Add($"The flow from {carrying - sources.Length} of {carrying} tokens that contribute: it is traced from the {sources.Length} that contribute the most.");
        if (cut)
            leftOut.Add($"Edges of a flow beyond its {MostEdges} strongest; 'arrakis flow --edges 0' lists them all.");
        if (flow.Edges is not null)
            leftOut.Add($"What stays at each token between layers: the flow has up to {edges} edges, and only its {MostEdges} strongest were held.");
        return reports;
    }

    /// <summary>The positions to trace from: first the one to open with, then the strongest.</summary>
    private static int[] Sources(LogitReport logit, ReportOptions options)
    {
        IReadOnlyList<double> flows = logit.Trace.Sources!;
        int last = logit.Position;
        int first = options.Source ?? Enumerable.Range(0, Math.Max(1, last)).MaxBy(t => Math.Abs(flows[t]));
        if (first > last)
            throw new ArrakisException($"the source is {first}, after the destination {last}: a token is only read by those after it");
        if (first < 0)
            throw new ArrakisException($"the source is {first}: positions count from 0");
        IEnumerable<int> strongest = Enumerable.Range(0, last + 1).Where(t => flows[t] != 0 && t != first).OrderByDescending(t => Math.Abs(flows[t]));
        return [first, .. strongest.Take(Math.Max(0, options.Traces - 1))];
    }

    // What enters a token leaves it: by a head, or by staying.
    private static FlowReport Whole(FlowTrace trace, int tokens)
    {
        double[][] through = [.. Enumerable.Range(0, trace.Layers + 1).Select(_ => new double[tokens])];
        double[][] stays = [.. Enumerable.Range(0, trace.Layers).Select(_ => new double[tokens])];
        through[0][trace.Source] = trace.Total;
        ILookup<int, FlowEdge> byLayer = trace.Edges.ToLookup(edge => edge.Layer);
        for (int layer = 0; layer < trace.Layers; layer++)
        {
            through[layer].CopyTo(stays[layer], 0);
            foreach (FlowEdge edge in byLayer[trace.From + layer])
            {
                stays[layer][edge.Key] -= edge.Flow;
                through[layer + 1][edge.Query] += edge.Flow;
            }

            for (int t = 0; t < tokens; t++)
                through[layer + 1][t] += stays[layer][t];
        }

        return new FlowReport(trace, [.. trace.Edges.Take(MostEdges)], through, stays);
    }
}
