using System.Text.Json.Nodes;
using Arrakis.Analysis;

namespace Arrakis.Cli.Views;

/// <summary>A traced flow.</summary>
internal static partial class FlowView
{
    /// <summary>The document, all at once: for few edges.</summary>
    public static JsonObject Document(FlowTrace trace) => Document(trace, trace.Edges.Select(Edge), tokens: null);

    /// <summary>The document, an edge at a time: there may be millions.</summary>
    public static IEnumerable<string> Pieces(FlowTrace trace, JsonArray? tokens) => Json.Pieces(Document(trace, [], tokens), "edges", trace.Edges.Select(Edge));

    private static JsonObject Document(FlowTrace trace, IEnumerable<JsonObject> edges, JsonArray? tokens)
    {
        var document = new JsonObject
        {
            ["src"] = trace.Source,
            ["dst"] = trace.Destination,
            ["from"] = trace.From,
            ["layers"] = trace.Layers,
            ["mlp"] = trace.Mlp == MlpTreatment.Frozen ? "frozen" : "source",
            ["target"] = trace.Target.ToString(),
            ["total"] = Json.Number(trace.Total),
            ["conservation"] = trace.Conservation is { } whole
                ? new JsonObject { ["sum"] = Json.Number(whole.Sum), ["expected"] = Json.Number(whole.Expected) }
                : null,
            ["per_layer"] = Json.Array(trace.PerLayer.Select(Layer)),
            ["edges"] = Json.Array(edges),
            ["paths"] = Json.Array(trace.Paths.Select(Path)),
            ["coverage"] = Json.Number(trace.Coverage),
        };
        if (trace.Sources is { } sources)
            document["sources"] = Json.Array(sources.Select((flow, position) => new JsonObject { ["position"] = position, ["flow"] = Json.Number(flow) }));
        if (trace.MlpSources is { } mlps)
            document["mlp_sources"] = Json.Array(mlps.Select((flow, i) => new JsonObject { ["layer"] = trace.From + i, ["flow"] = Json.Number(flow) }));
        document["paths_exhaustive"] = trace.PathsExhaustive;
        document["heads"] = Json.Array(trace.Heads.Select(Head));
        document["error"] = Json.Number(trace.ConservationError);
        document["tokens"] = tokens;
        return document;
    }

    private static JsonObject Layer(FlowLayer layer) => new()
    {
        ["layer"] = layer.Layer,
        ["residual"] = Json.Number(layer.Residual),
        ["mlp"] = Json.Number(layer.Mlp),
        ["heads"] = Json.Numbers(layer.Heads),
    };

    private static JsonObject Edge(FlowEdge edge) => new()
    {
        ["layer"] = edge.Layer,
        ["head"] = edge.Head,
        ["query"] = edge.Query,
        ["key"] = edge.Key,
        ["flow"] = Json.Number(edge.Flow),
    };

    private static JsonObject Path(FlowPath path) => new()
    {
        ["steps"] = Json.Array(path.Steps.Select(step => new JsonObject
        {
            ["layer"] = step.Layer,
            ["head"] = step.Head,
            ["from"] = step.From,
            ["to"] = step.To,
            ["mlp"] = step.Mlp,
        })),
        ["flow"] = Json.Number(path.Flow),
    };

    private static JsonObject Head(FlowHead head) => new()
    {
        ["layer"] = head.Layer,
        ["head"] = head.Head,
        ["flow"] = Json.Number(head.Flow),
        ["query"] = head.Query,
        ["write_norm"] = Json.Number(head.WriteNorm),
        ["query_write_norm"] = Json.Number(head.QueryWriteNorm),
        ["q_share"] = Json.Number(head.QShare),
        ["k_share"] = Json.Number(head.KShare),
        ["v_share"] = Json.Number(head.VShare),
        ["role"] = Role(head.Role),
    };

    private static string? Role(HeadRoles role) => role switch
    {
        HeadRoles.Writer => "writer",
        HeadRoles.Reader => "reader",
        HeadRoles.Both => "both",
        _ => null,
    };
}
