using System.Globalization;
using System.Text.Json;
using Arrakis.Analysis;

namespace Arrakis.Report;

/// <summary>
/// The flow that the page opens with in Neuronpedia's attribution-graph schema, as its viewers and circuit-tracer's read it.
/// </summary>
/// <remarks>
/// <para>
/// Nodes: the source's embedding; every head at each query where it carries anything (<c>attention head</c>); the residual stream of a token after a layer
/// (<c>residual stream</c>); the logit. Links: from the stream at a key to the head at its query, with the flow of that edge; from the head to the stream after its
/// layer, with all that it carries there; and along the stream, with what stays. What enters a node leaves it, so the weights into the logit add up to the flow's total,
/// as long as every edge is there.
/// </para>
/// <para>
/// <c>activation</c> is what passes the node; <c>influence</c>, by which viewers prune, the part of all that passes nodes which this one and the stronger ones make up.
/// </para>
/// </remarks>
public static class AttributionGraph
{
    /// <summary>Writes the graph of the report's first flow.</summary>
    public static void Write(HeadReport report, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(stream);
        var graph = new Graph(report, report.Flows[0]);
        graph.Build();
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        Metadata(json, report, graph);
        Parameters(json, graph);
        json.WriteStartArray("nodes");
        foreach (Node node in graph.Nodes)
            Write(json, report, node);
        json.WriteEndArray();
        json.WriteStartArray("links");
        foreach (Link link in graph.Links)
        {
            json.WriteStartObject();
            json.WriteString("source", link.Source);
            json.WriteString("target", link.Target);
            json.WriteNumber("weight", link.Weight);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Metadata(Utf8JsonWriter json, HeadReport report, Graph graph)
    {
        FlowTrace trace = report.Flows[0].Trace;
        json.WriteStartObject("metadata");
        json.WriteString("slug", Invariant($"arrakis-flow-{trace.Source}-{trace.Destination}-{report.Logit.Token.Id}"));
        json.WriteString("scan", report.Model);
        json.WriteStartArray("prompt_tokens");
        foreach (TokenReport token in report.Tokens)
            json.WriteStringValue(token.Text);
        json.WriteEndArray();
        json.WriteString("prompt", report.Prompt);
        json.WriteStartObject("info");
        json.WriteString("description", Invariant($"Flow from position {trace.Source} to the logit of {report.Logit.Token.Text} at position {trace.Destination}, with attention patterns, norm scales and SiLU(gate) frozen"));
        json.WriteStartObject("generator");
        json.WriteString("name", "arrakis");
        json.WriteString("version", typeof(AttributionGraph).Assembly.GetName().Version?.ToString(3));
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("generation_settings");
        json.WriteString("mlp", FlowData.MlpName(trace.Mlp));
        json.WriteNumber("total", trace.Total);
        json.WriteNumber("edges", graph.Edges);
        FlowData.NumberOrNull(json, "edges_in_all", report.Flows[0].EdgesInAll);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Parameters(Utf8JsonWriter json, Graph graph)
    {
        json.WriteStartObject("qParams");
        json.WriteStartArray("pinnedIds");
        foreach (string id in graph.Pinned)
            json.WriteStringValue(id);
        json.WriteEndArray();
        json.WriteStartArray("supernodes");
        json.WriteEndArray();
        json.WriteString("linkType", "both");
        json.WriteString("clickedId", graph.Logit);
        json.WriteString("sg_pos", "");
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, HeadReport report, Node node)
    {
        json.WriteStartObject();
        json.WriteString("node_id", node.Id);
        FlowData.NumberOrNull(json, "feature", node.Feature);
        json.WriteString("layer", node.Layer);
        json.WriteNumber("ctx_idx", node.Position);
        json.WriteString("feature_type", node.Type);
        json.WriteNumber("token_prob", node.Type == "logit" ? report.Logit.Token.Probability : 0);
        json.WriteBoolean("is_target_logit", node.Type == "logit");
        json.WriteNumber("run_idx", 0);
        json.WriteNumber("reverse_ctx_idx", 0);
        json.WriteString("jsNodeId", node.Id);
        json.WriteString("clerp", node.Label);
        json.WriteNumber("influence", node.Influence);
        json.WriteNumber("activation", node.Flow);
        json.WriteEndObject();
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private readonly record struct Link(string Source, string Target, double Weight);

    private sealed record Node(string Id, int? Feature, string Layer, int Position, string Type, string Label)
    {
        public double Flow { get; set; }

        public double Influence { get; set; }
    }

    /// <summary>Nodes and links of one flow.</summary>
    private sealed class Graph(HeadReport report, FlowReport flow)
    {
        private readonly Dictionary<string, Node> _nodes = [];
        private readonly double _least = flow.Least;

        public IEnumerable<Node> Nodes => _nodes.Values;

        public List<Link> Links { get; } = [];

        public int Edges => flow.Edges.Count;

        public List<string> Pinned { get; } = [];

        public string Logit { get; private set; } = "";

        public void Build()
        {
            FlowTrace trace = flow.Trace;
            Stream(0, trace.Source).Flow = trace.Total;
            for (int layer = 0; layer < trace.Layers; layer++)
            {
                foreach (IGrouping<(int Head, int Query), FlowEdge> carried in flow.Edges.Where(edge => edge.Layer == layer).GroupBy(edge => (edge.Head, edge.Query)))
                    Carry(layer, carried.Key.Head, carried.Key.Query, carried);
                for (int t = 0; flow.Stays is not null && t < report.Tokens.Count; t++)
                    Join(Stream(layer, t), Stream(layer + 1, t), flow.Stays[layer][t]);
            }

            Logit = Stream(trace.Layers, trace.Destination).Id;
            Drop();
            Rank();
            Pin(trace);
        }

        private void Carry(int layer, int head, int query, IEnumerable<FlowEdge> edges)
        {
            Node node = Add(new Node(
                Invariant($"H{layer}_{head}_{query}"), head, Invariant($"{layer}"), query, "attention head", Invariant($"L{layer}H{head} writes at {Text(query)}")));
            double carried = 0;
            foreach (FlowEdge edge in edges)
            {
                Join(Stream(layer, edge.Key), node, edge.Flow);
                carried += edge.Flow;
            }

            Join(node, Stream(layer + 1, query), carried);
        }

        private void Join(Node from, Node to, double weight)
        {
            if (Math.Abs(weight) <= _least)
                return;
            Links.Add(new Link(from.Id, to.Id, weight));
            to.Flow += weight;
        }

        /// <summary>The stream at a token before a layer: the embedding before the first, the logit after the last at the destination.</summary>
        private Node Stream(int before, int position)
        {
            if (before == 0)
            {
                TokenReport token = report.Tokens[position];
                return Add(new Node(Invariant($"E_{token.Id}_{position}"), token.Id, "E", position, "embedding", $"Emb: {Text(position)}"));
            }

            if (before == flow.Trace.Layers && position == flow.Trace.Destination)
            {
                TokenCandidate logit = report.Logit.Token;
                return Add(new Node(
                    Invariant($"{before}_{logit.Id}_{position}"), logit.Id, Invariant($"{before}"), position, "logit", Invariant($"Output \"{logit.Text}\" (p={logit.Probability:0.000})")));
            }

            return Add(new Node(
                Invariant($"R{before - 1}_{position}"), null, Invariant($"{before - 1}"), position, "residual stream", Invariant($"Stream at {Text(position)} after layer {before - 1}")));
        }

        private Node Add(Node node)
        {
            if (_nodes.TryGetValue(node.Id, out Node? there))
                return there;
            _nodes.Add(node.Id, node);
            return node;
        }

        // Tokens that nothing passes; the source and the logit are there in any case.
        private void Drop()
        {
            HashSet<string> linked = [.. Links.SelectMany(link => new[] { link.Source, link.Target }), Stream(0, flow.Trace.Source).Id, Logit];
            foreach (string id in _nodes.Keys.Where(id => !linked.Contains(id)).ToArray())
                _nodes.Remove(id);
        }

        private void Rank()
        {
            double all = _nodes.Values.Sum(node => Math.Abs(node.Flow)), sum = 0;
            foreach (Node node in _nodes.Values.OrderByDescending(node => Math.Abs(node.Flow)))
            {
                sum += Math.Abs(node.Flow);
                node.Influence = all == 0 ? 1 : sum / all;
            }
        }

        /// <summary>The strongest path.</summary>
        private void Pin(FlowTrace trace)
        {
            Pinned.Add(Stream(0, trace.Source).Id);
            IEnumerable<FlowStep> steps = trace.Paths.Count > 0 ? trace.Paths[0].Steps : [];
            Pinned.AddRange(steps.Where(step => step.Head is not null).Select(step => Invariant($"H{step.Layer}_{step.Head}_{step.To}")).Where(_nodes.ContainsKey));
            Pinned.Add(Logit);
        }

        private string Text(int position) => Invariant($"“{report.Tokens[position].Text}” ({position})");
    }
}
