using System.Text.Json;
using Arrakis.Analysis;

namespace Arrakis.Report;

/// <summary>A flow in the report's document.</summary>
internal static class FlowData
{
    public static void NumberOrNull(Utf8JsonWriter json, string name, int? number)
    {
        if (number is { } there)
            json.WriteNumber(name, there);
        else
            json.WriteNull(name);
    }

    public static string MlpName(MlpTreatment mlp) => mlp == MlpTreatment.Frozen ? "frozen" : "source";

    public static void Write(Utf8JsonWriter json, FlowReport flow, Numbers numbers)
    {
        FlowTrace trace = flow.Trace;
        json.WriteStartObject();
        json.WriteNumber("src", trace.Source);
        json.WriteNumber("dst", trace.Destination);
        json.WriteNumber("total", trace.Total);
        json.WriteNumber("coverage", trace.Coverage);
        json.WriteBoolean("paths_exhaustive", trace.PathsExhaustive);
        json.WriteNumber("error", trace.ConservationError);
        json.WriteNumber("least", flow.Least);
        NumberOrNull(json, "edges_in_all", flow.EdgesInAll);
        Array(json, "per_layer", trace.PerLayer, layer => Layer(json, layer, numbers));
        Array(json, "edges", flow.Edges, edge => Edge(json, edge));
        Array(json, "paths", trace.Paths, path => Path(json, path));
        Array(json, "heads", trace.Heads, head => Head(json, head));
        Rows(json, "through", flow.Through, numbers);
        Rows(json, "stays", flow.Stays, numbers);
        json.WriteEndObject();
    }

    /// <summary>The flow from every layer's MLP outputs, where those are sources of their own.</summary>
    public static void MlpSources(Utf8JsonWriter json, IReadOnlyList<double> flows)
    {
        json.WriteStartArray("mlp_sources");
        for (int layer = 0; layer < flows.Count; layer++)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", layer);
            json.WriteNumber("flow", flows[layer]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void Layer(Utf8JsonWriter json, FlowLayer layer, Numbers numbers)
    {
        json.WriteNumber("layer", layer.Layer);
        json.WriteNumber("residual", layer.Residual);
        json.WriteNumber("mlp", layer.Mlp);
        numbers.Row(json, "heads", layer.Heads.ToArray());
    }

    private static void Edge(Utf8JsonWriter json, FlowEdge edge)
    {
        json.WriteNumber("layer", edge.Layer);
        json.WriteNumber("head", edge.Head);
        json.WriteNumber("query", edge.Query);
        json.WriteNumber("key", edge.Key);
        json.WriteNumber("flow", edge.Flow);
    }

    private static void Path(Utf8JsonWriter json, FlowPath path)
    {
        Array(json, "steps", path.Steps, step =>
        {
            json.WriteNumber("layer", step.Layer);
            NumberOrNull(json, "head", step.Head);
            json.WriteNumber("from", step.From);
            json.WriteNumber("to", step.To);
            json.WriteBoolean("mlp", step.Mlp);
        });
        json.WriteNumber("flow", path.Flow);
    }

    private static void Head(Utf8JsonWriter json, FlowHead head)
    {
        json.WriteNumber("layer", head.Layer);
        json.WriteNumber("head", head.Head);
        json.WriteNumber("flow", head.Flow);
        json.WriteNumber("query", head.Query);
        json.WriteNumber("write_norm", head.WriteNorm);
        json.WriteNumber("query_write_norm", head.QueryWriteNorm);
        json.WriteNumber("q_share", head.QShare);
        json.WriteNumber("k_share", head.KShare);
        json.WriteNumber("v_share", head.VShare);
        json.WriteString("role", head.Role == HeadRoles.None ? null : head.Role.ToString().ToLowerInvariant());
    }

    private static void Rows(Utf8JsonWriter json, string name, IReadOnlyList<double[]>? rows, Numbers numbers)
    {
        if (rows is null)
        {
            json.WriteNull(name);
            return;
        }

        Array(json, name, rows, row => numbers.Row(json, "tokens", row));
    }

    private static void Array<T>(Utf8JsonWriter json, string name, IReadOnlyList<T> items, Action<T> write)
    {
        json.WriteStartArray(name);
        foreach (T item in items)
        {
            json.WriteStartObject();
            write(item);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
