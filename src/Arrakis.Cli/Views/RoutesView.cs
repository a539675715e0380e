using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>Information flow routes.</summary>
internal static class RoutesView
{
    private const int EdgesPerLayer = 2;

    /// <summary>The document, a layer at a time: all of it is T² · H · L numbers.</summary>
    public static IEnumerable<string> Pieces(InformationFlowRoutes routes, IReadOnlyList<RouteEdge> edges, int dst, double tau, JsonArray? tokens)
    {
        var document = new JsonObject
        {
            ["dst"] = dst,
            ["tau"] = Json.Number(tau),
            ["layers"] = new JsonArray(),
            ["edges"] = Json.Array(edges.Select(Edge)),
            // Before any layer is written, because it is finite only where every share is.
            ["error"] = Json.Number(Math.Max(routes.AttentionError, routes.MlpError)),
            ["tokens"] = tokens,
        };
        return Json.Pieces(document, "layers", routes.Layers.Select(Layer));
    }

    public static void Tables(Terminal terminal, InformationFlowRoutes routes, IReadOnlyList<RouteEdge> edges, int dst, double tau, int[] ids, Tokens tokens)
    {
        terminal.Title(Invariant($"Routes to position {dst} ({tokens.Full(ids[dst])}) after the last layer: {View.Count(edges.Count, "edge")} heavier than {tau}"));
        Table table = View.Table("layer", "places", "edges", "<heaviest through attention", "residual", "MLP", "bypass");
        foreach (RouteLayer layer in routes.Layers.Reverse())
        {
            RouteEdge[] own = [.. edges.Where(edge => edge.Layer == layer.Layer)];
            IEnumerable<string> attention = own.Where(edge => edge.Kind == RouteKind.Attention).OrderByDescending(edge => edge.Weight).Take(EdgesPerLayer)
                .Select(edge => Invariant($"{edge.Key} -> {edge.Query} {Size(edge.Weight)}"));
            table.Row(
                false, Invariant($"{layer.Layer}"), Reached(own), Invariant($"{own.Length}"), string.Join("  ", attention),
                Mean(own, RouteKind.Residual), Mean(own, RouteKind.Mlp), Mean(own, RouteKind.Bypass));
        }

        terminal.Write(table);
        terminal.Line("From the top down: how many places each layer still reaches; to the right, means over them.");
        terminal.Line($"At every place attention + residual = 1 (off by {Error(routes.AttentionError)}), and MLP + bypass = 1 (off by {Error(routes.MlpError)}).");
        terminal.Legend(tokens, ids);
        terminal.Note("Weights have no sign: a part that opposes the whole gets a share just above 0. For signed amounts: arrakis flow. Every contribution: --json.");
    }

    private static string Reached(RouteEdge[] edges)
    {
        int positions = edges.Select(edge => edge.Query).Distinct().Count();
        return positions == 0 ? "-" : Invariant($"{positions}");
    }

    private static string Mean(RouteEdge[] edges, RouteKind kind)
    {
        double[] weights = [.. edges.Where(edge => edge.Kind == kind).Select(edge => edge.Weight)];
        return weights.Length == 0 ? "-" : Size(weights.Average());
    }

    private static JsonObject Layer(RouteLayer layer) => new()
    {
        ["layer"] = layer.Layer,
        ["attention"] = Json.Array(Enumerable.Range(0, layer.Heads).Select(h => Json.Array(Enumerable.Range(0, layer.Tokens).Select(t => Json.Numbers(layer.Of(h, t)))))),
        ["residual"] = Json.Numbers(layer.Residual),
        ["mlp"] = Json.Numbers(layer.Mlp),
        ["bypass"] = Json.Numbers(layer.Bypass),
    };

    private static JsonObject Edge(RouteEdge edge) => new()
    {
        ["layer"] = edge.Layer,
        ["kind"] = edge.Kind switch
        {
            RouteKind.Attention => "attention",
            RouteKind.Residual => "residual",
            RouteKind.Mlp => "mlp",
            _ => "bypass",
        },
        ["query"] = edge.Query,
        ["key"] = edge.Key,
        ["weight"] = Json.Number(edge.Weight),
    };
}
