using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>routes</c> and <c>compose</c>.</summary>
public sealed class RoutesAndComposeTests
{
    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Routes(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        int tokens = golden.Ids.Length;
        JsonElement document = golden.Call("routes", "--dst", "-1");
        document.HasKeys("dst", "tau", "layers", "edges", "error", "tokens");
        Assert.Equal((tokens - 1, 0.04), (document.Int("dst"), document.Number("tau")));
        JsonElement[] expected = golden.Json.Items("routes"), layers = document.Items("layers");
        Assert.Equal(expected.Length, layers.Length);
        for (int l = 0; l < layers.Length; l++)
        {
            layers[l].HasKeys("layer", "attention", "residual", "mlp", "bypass");
            Assert.Equal(l, layers[l].Int("layer"));
            Assert.Equal(golden.Heads, layers[l].Items("attention").Length);
            Assert.All(layers[l].Items("attention"), head => Assert.All(head.EnumerateArray(), row => Assert.Equal(tokens, row.GetArrayLength())));
            foreach (string key in new[] { "attention", "residual", "mlp", "bypass" })
                Documents.Same(expected[l].Numbers(key), layers[l].Numbers(key), key);
        }

        Assert.NotEmpty(document.Items("edges"));
        Assert.Equal(layers.Length - 1, document.Items("edges")[0].Int("layer"));
        foreach (JsonElement edge in document.Items("edges"))
        {
            edge.HasKeys("layer", "kind", "query", "key", "weight");
            Assert.True(edge.Number("weight") > 0.04);
            Close.To(Weight(layers[edge.Int("layer")], edge), edge.Number("weight"), 1e-5, "edge");
        }
    }

    [Fact]
    public void A_higher_tau_keeps_fewer_edges()
    {
        int Count(string tau) => GoldenModel.First.Call("routes", "--dst", "5", "--tau", tau).Items("edges").Length;
        Assert.True(Count("0.01") > Count("0.1"));
    }

    [Theory]
    [InlineData("q")]
    [InlineData("k")]
    [InlineData("v")]
    public void Compositions_of_every_pair_highest_first(string kind)
    {
        GoldenModel golden = GoldenModel.First;
        JsonElement document = Called.Json("compose", "--model", golden.Folder, "--kind", kind);
        document.HasKeys("kind", "scores", "offset", "pairs");
        Assert.Equal(kind, document.GetProperty("kind").GetString());
        JsonElement[] scores = document.Items("scores");
        Assert.Equal(golden.Heads * golden.Heads * golden.Layers * (golden.Layers - 1) / 2, scores.Length);
        Assert.Equal(scores.Select(score => score.Number("score")).OrderDescending(), scores.Select(score => score.Number("score")));
        double root = Math.Sqrt(golden.Config.Int("hidden_size"));
        foreach (JsonElement score in scores)
        {
            score.HasKeys("from", "to", "score", "normalized", "ceiling");
            score.GetProperty("from").HasKeys("layer", "head");
            Assert.True(score.GetProperty("from").Int("layer") < score.GetProperty("to").Int("layer"));
            Close.To(score.Number("score") * root, score.Number("normalized"), 1e-9, "normalized");
            Assert.InRange(score.Number("score"), 0, score.Number("ceiling"));
        }

        Assert.Equal(
            scores.Where(score => score.GetProperty("from").Int("layer") >= 1).Take(4).Select(score => score.GetRawText()),
            Called.Json("compose", "--model", golden.Folder, "--kind", kind, "--layers", "1-2", "--top", "4").Items("scores").Select(score => score.GetRawText()));
    }

    [Fact]
    public void Keys_are_the_default_and_rotation_counts()
    {
        string[] call = ["compose", "--model", GoldenModel.First.Folder];
        Assert.Equal("k", Called.Json(call).GetProperty("kind").GetString());
        Assert.NotEqual(Called.Json(call).GetProperty("scores").GetRawText(), Called.Json([.. call, "--offset", "3"]).GetProperty("scores").GetRawText());
    }

    private static double Weight(JsonElement layer, JsonElement edge)
    {
        int query = edge.Int("query"), key = edge.Int("key");
        return edge.GetProperty("kind").GetString() switch
        {
            "attention" => layer.Items("attention").Sum(head => head[query][key].GetDouble()),
            string kind => layer.Numbers(kind)[query],
            null => double.NaN,
        };
    }
}
