using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Report.Tests;

/// <summary>The graph is what Neuronpedia's schema (Anthropic Attribution Graph 1.0.0) asks for, and its weights conserve the flow.</summary>
public sealed class AttributionGraphTests
{
    private static readonly JsonValueKind[] s_text = [JsonValueKind.String], s_number = [JsonValueKind.Number], s_list = [JsonValueKind.Array];

    /// <summary>What the schema requires, and of which kind; the optional fields that its viewers read are among them.</summary>
    private static readonly Dictionary<string, (string Field, JsonValueKind[] Kinds)[]> s_schema = new()
    {
        ["metadata"] = [("slug", s_text), ("scan", s_text), ("prompt_tokens", s_list), ("prompt", s_text)],
        ["qParams"] = [("pinnedIds", s_list), ("supernodes", s_list), ("linkType", s_text), ("clickedId", s_text), ("sg_pos", s_text)],
        ["node"] =
        [
            ("node_id", s_text), ("feature", [JsonValueKind.Number, JsonValueKind.Null]), ("layer", [JsonValueKind.String, JsonValueKind.Number]), ("ctx_idx", s_number),
            ("feature_type", s_text), ("jsNodeId", s_text), ("clerp", s_text), ("influence", [JsonValueKind.Number, JsonValueKind.Null]),
            ("activation", [JsonValueKind.Number, JsonValueKind.Null]), ("token_prob", s_number), ("is_target_logit", [JsonValueKind.True, JsonValueKind.False]),
            ("run_idx", s_number), ("reverse_ctx_idx", s_number),
        ],
        ["link"] = [("source", s_text), ("target", s_text), ("weight", s_number)],
    };

    [Theory]
    [InlineData(null)]
    [InlineData(0)]
    public void It_has_every_field_of_the_schema(int? source)
    {
        using Reported reported = Reported.Golden(new ReportOptions { Source = source, Label = id => $" t{id}" });
        JsonElement graph = reported.Graph();
        Assert.Equal(["metadata", "qParams", "nodes", "links"], graph.EnumerateObject().Select(field => field.Name));
        Matches(graph.GetProperty("metadata"), "metadata");
        Matches(graph.GetProperty("qParams"), "qParams");
        Assert.All(graph.Items("nodes"), node => Matches(node, "node"));
        Assert.All(graph.Items("links"), link => Matches(link, "link"));
        JsonElement metadata = graph.GetProperty("metadata");
        Assert.Equal(reported.Cache.Tokens, metadata.Items("prompt_tokens").Length);
        Assert.Equal(string.Concat(metadata.Items("prompt_tokens").Select(token => token.GetString())), metadata.Text("prompt"));
    }

    [Fact]
    public void Every_link_joins_nodes_and_every_name_is_one_nodes()
    {
        using Reported reported = Reported.Golden();
        JsonElement graph = reported.Graph();
        string[] ids = [.. graph.Items("nodes").Select(node => node.Text("node_id")!)];
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.All(graph.Items("links"), link => Assert.True(ids.Contains(link.Text("source")) && ids.Contains(link.Text("target"))));
        JsonElement parameters = graph.GetProperty("qParams");
        Assert.All(parameters.Items("pinnedIds"), id => Assert.Contains(id.GetString(), ids));
        Assert.Contains(parameters.Text("clickedId"), ids);
        // Viewers read the probability out of the logit's label.
        JsonElement logit = Assert.Single(graph.Items("nodes"), node => node.Text("feature_type") == "logit");
        Assert.Matches("""^Output ".*" \(p=0\.\d{3}\)$""", logit.Text("clerp"));
        Assert.True(logit.GetProperty("is_target_logit").GetBoolean());
        Assert.Equal($"{reported.Model.Config.NumHiddenLayers}", logit.Text("layer"));
        Assert.Equal("E", Assert.Single(graph.Items("nodes"), node => node.Text("feature_type") == "embedding").Text("layer"));
    }

    [Fact]
    public void What_enters_a_node_leaves_it()
    {
        using Reported reported = Reported.Golden();
        JsonElement graph = reported.Graph();
        double total = graph.GetProperty("metadata").GetProperty("generation_settings").Number("total");
        double scale = graph.Items("links").Select(link => Math.Abs(link.Number("weight"))).Append(Math.Abs(total)).Max();
        foreach (JsonElement node in graph.Items("nodes"))
        {
            string id = node.Text("node_id")!, type = node.Text("feature_type")!;
            double enters = graph.Items("links").Where(link => link.Text("target") == id).Sum(link => link.Number("weight"));
            double leaves = graph.Items("links").Where(link => link.Text("source") == id).Sum(link => link.Number("weight"));
            Close.To(type == "embedding" ? total : enters, type == "logit" ? total : leaves, 1e-4, $"what leaves {id}", scale);
            Close.To(type == "embedding" ? total : enters, node.Number("activation"), 1e-9, $"what passes {id}", scale);
            Assert.InRange(node.Number("influence"), 0, 1 + 1e-9);
        }
    }

    private static void Matches(JsonElement e, string type)
    {
        foreach ((string field, JsonValueKind[] kinds) in s_schema[type])
        {
            Assert.True(e.TryGetProperty(field, out JsonElement value), $"{type} lacks {field}");
            Assert.True(kinds.Contains(value.ValueKind), $"{type}.{field} is {value.ValueKind}");
        }
    }
}
