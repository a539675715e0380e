using System.Globalization;
using System.Text.Json;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>flow</c> against the golden models.</summary>
public sealed class FlowTests
{
    private static readonly string[] s_keys = ["src", "dst", "from", "layers", "mlp", "target", "total", "conservation", "per_layer", "edges", "paths", "coverage"];

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Totals_layers_and_edges(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        foreach (JsonElement expected in golden.Json.Items("flow"))
        {
            string target = expected.TryGetProperty("target", out JsonElement token) ? token.GetString()! : "residual";
            JsonElement document = golden.Call(
                "flow", "--src", $"{expected.Int("src")}", "--dst", $"{expected.Int("dst")}", "--from", $"{expected.Int("from")}", "--layers", $"{expected.Int("layers")}",
                "--mlp", expected.GetProperty("mlp").GetString()!, "--target", target, "--edges", "40", "--paths", "0");
            document.HasKeys([.. s_keys, "paths_exhaustive", "heads", "error", "tokens"]);
            foreach (string key in new[] { "src", "dst", "from", "layers" })
                Assert.Equal(expected.Int(key), document.Int(key));
            Assert.Equal((expected.GetProperty("mlp").GetString(), target), (document.GetProperty("mlp").GetString(), document.GetProperty("target").GetString()));
            Assert.Equal(JsonValueKind.Null, document.GetProperty("conservation").ValueKind);
            Documents.Same(expected.Numbers("total"), document.Numbers("total"), "total");
            SameLayers(expected, document);
            SameEdges(expected.Items("edges"), document.Items("edges"));
            AddsUp(golden, document);
        }
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Sources_of_a_logit(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        JsonElement expected = golden.Json.GetProperty("sources_to_logit");
        // No --layers: a token's logit is traced through all of them.
        JsonElement document = golden.Call("flow", "--src", "0", "--dst", "-1", "--target", $"token:{expected.Int("token")}", "--all-sources", "--paths", "0");
        document.HasKeys([.. s_keys, "sources", "paths_exhaustive", "heads", "error", "tokens"]);
        Assert.Equal((golden.Ids.Length - 1, golden.Layers), (document.Int("dst"), document.Int("layers")));
        Assert.Equal(Enumerable.Range(0, golden.Ids.Length), document.Items("sources").Select(source => source.Int("position")));
        Documents.Same(expected.Numbers("flows"), [.. document.Items("sources").Select(source => source.Number("flow"))], "sources");
        document.GetProperty("conservation").HasKeys("sum", "expected");
        Documents.Same(expected.Numbers("logit"), document.GetProperty("conservation").Numbers("sum"), "sum");
        Documents.Same(expected.Numbers("logit"), document.GetProperty("conservation").Numbers("expected"), "expected");
        Assert.True(document.Number("error") < 1e-5);
        Assert.Equal((0, 0.0), (document.Items("paths").Length, document.Number("coverage")));
    }

    [Theory]
    [InlineData("residual", "frozen", "2")]
    [InlineData("residual", "source", "2")]
    [InlineData("residual", "source", "3")]
    [InlineData("token:66", "source", "3")]
    [InlineData("key:3:9", "frozen", "2")]
    [InlineData("query:1:4", "source", "1")]
    public void All_sources_add_up_whatever_is_traced(string target, string mlp, string layers)
    {
        JsonElement document = GoldenModel.First.Call("flow", "--src", "2", "--dst", "8", "--layers", layers, "--target", target, "--mlp", mlp, "--all-sources");
        double sum = document.GetProperty("conservation").Number("sum");
        Close.To(document.GetProperty("conservation").Number("expected"), sum, 1e-5, "conservation", 1);
        double parts = document.Items("sources").Sum(source => source.Number("flow"));
        if (mlp == "source")
            parts += document.Items("mlp_sources").Sum(source => source.Number("flow"));
        Close.To(sum, parts, 1e-9, "listed sources", 1);
        Close.To(document.Number("total"), document.Items("sources")[2].Number("flow"), 1e-4, "total");
    }

    [Fact]
    public void Sources_are_those_of_the_library_and_none_lies_after_the_destination()
    {
        FlowTrace trace = Trace(1, 4, new FlowOptions { AllSources = true });
        JsonElement[] sources = GoldenModel.First.Call("flow", "--src", "1", "--dst", "4", "--all-sources").Items("sources");
        Assert.Equal(Enumerable.Range(0, trace.Sources!.Count), sources.Select(source => source.Int("position")));
        Assert.Equal(trace.Sources, sources.Select(source => source.Number("flow")));
        Assert.All(sources.Skip(5), source => Assert.Equal(0, source.Number("flow")));
        // The tables have a row for every position that can contribute.
        string[] lines = Called.Text(["flow", "--src", "1", "--dst", "4", "--all-sources", .. GoldenModel.First.Options]).Split('\n');
        string[] rows = [.. lines.SkipWhile(line => !line.TrimStart().StartsWith("source", StringComparison.Ordinal)).Skip(2).TakeWhile(line => line.Trim().Length > 0)];
        Assert.Equal(["0", "1", "2", "3", "4"], rows.Select(row => row.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]));
    }

    [Fact]
    public void Tables_write_paths_as_the_library_does()
    {
        FlowTrace trace = Trace(1, 8, new FlowOptions { Layers = 3, Paths = 40 });
        string text = Called.Text(["flow", "--src", "1", "--dst", "8", "--layers", "3", "--paths", "40", .. GoldenModel.First.Options]);
        string[] lines = [.. text.Split('\n').Select(line => line.Trim())];
        Assert.Contains(trace.Paths, path => path.Steps.Any(step => step.Mlp));
        foreach (FlowPath path in trace.Paths)
        {
            string flow = string.Create(CultureInfo.InvariantCulture, $"   {path.Flow:+0.000;-0.000}"), route = path.ToString();
            Assert.EndsWith(flow, route);
            Assert.Contains(lines, line => line.EndsWith($"%  {route[..^flow.Length]}", StringComparison.Ordinal));
        }
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Paths(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        JsonElement expected = golden.Json.GetProperty("paths");
        string[] call =
        [
            "flow", "--src", $"{expected.Int("src")}", "--dst", $"{expected.Int("dst")}", "--layers", $"{expected.Int("layers")}", "--mlp", expected.GetProperty("mlp").GetString()!,
        ];
        JsonElement document = golden.Call([.. call, "--paths", "10"]);
        JsonElement[] top = expected.Items("top"), paths = document.Items("paths");
        Assert.Equal(top.Length, paths.Length);
        Documents.Same([.. top.Select(path => path.Number("flow"))], [.. paths.Select(path => path.Number("flow"))], "path flows");
        Close.To(paths.Sum(path => path.Number("flow")) / document.Number("total"), document.Number("coverage"), 1e-9, "coverage");
        for (int i = 0; i < paths.Length; i++)
        {
            paths[i].HasKeys("steps", "flow");
            JsonElement[] steps = paths[i].Items("steps");
            steps[0].HasKeys("layer", "head", "from", "to", "mlp");
            Assert.Equal(top[i].Items("steps").Select(Step), steps.Select(Step));
            Assert.Equal(document.Int("src"), steps[0].Int("from"));
            Assert.Equal(document.Int("dst"), steps[^1].Int("to"));
            Assert.All(steps, step => Assert.False(step.GetProperty("mlp").GetBoolean()));
        }

        JsonElement all = golden.Call([.. call, "--paths", "1000"]);
        Assert.Equal(expected.Int("count"), all.Items("paths").Length);
        Assert.True(all.GetProperty("paths_exhaustive").GetBoolean());
        Close.To(1, all.Number("coverage"), 1e-5, "coverage of all paths");
    }

    [Fact]
    public void Edges_0_lists_all()
    {
        string[] call = ["flow", "--src", "1", "--dst", "-1"];
        JsonElement some = GoldenModel.First.Call([.. call, "--edges", "5"]), all = GoldenModel.First.Call([.. call, "--edges", "0"]);
        Assert.Equal(5, some.Items("edges").Length);
        double[] sums = new double[2];
        foreach (JsonElement edge in all.Items("edges"))
            sums[edge.Int("layer")] += edge.Number("flow");
        for (int layer = 0; layer < 2; layer++)
            Close.To(all.Items("per_layer")[layer].Numbers("heads").Sum(), sums[layer], 1e-5, $"edges of layer {layer}", 1);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    [InlineData(0)]
    public void The_document_comes_an_edge_at_a_time(int? edges)
    {
        FlowTrace trace = Trace(1, 8, new FlowOptions { Edges = edges, AllSources = true });
        string[] pieces = [.. FlowView.Pieces(trace, tokens: null)];
        Assert.Equal(FlowView.Document(trace).ToJsonString(), string.Concat(pieces));
        // Each is a piece of its own, with what divides it from the one before.
        Assert.Equal(trace.Edges.Count, pieces.Count(piece => piece.TrimStart(',').StartsWith("{\"layer\"", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("-10", "1")]
    [InlineData("token:17", "2")]
    [InlineData("token:5", "1")]
    public void Positions_count_from_the_end_and_by_token(string src, string same)
    {
        string[] rest = ["--dst", "token:12"];
        Assert.Equal(GoldenModel.First.Call(["flow", "--src", same, .. rest]).GetRawText(), GoldenModel.First.Call(["flow", "--src", src, .. rest]).GetRawText());
    }

    [Fact]
    public void Heads_on_the_route_have_roles()
    {
        JsonElement[] heads = GoldenModel.First.Call("flow", "--src", "1", "--dst", "-1").Items("heads");
        Assert.Equal(2 * GoldenModel.First.Heads, heads.Length);
        Assert.All(heads, head => head.HasKeys("layer", "head", "flow", "query", "write_norm", "query_write_norm", "q_share", "k_share", "v_share", "role"));
        Assert.Contains(heads, head => head.GetProperty("role").GetString() == "both");
    }

    [Fact]
    public void The_default_is_two_layers_or_what_is_left()
    {
        string[] call = ["flow", "--src", "1", "--dst", "-1"];
        Assert.Equal(2, GoldenModel.First.Call(call).Int("layers"));
        Assert.Equal(1, GoldenModel.First.Call([.. call, "--from", "2"]).Int("layers"));
        Assert.Equal(2, GoldenModel.First.Call([.. call, "--from", "1", "--target", "token:66"]).Int("layers"));
    }

    /// <summary>What the library says, run as the command runs it.</summary>
    private static FlowTrace Trace(int src, int dst, FlowOptions options)
    {
        using LlamaModel model = LlamaModel.Load(GoldenModel.First.Folder);
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, new SessionOptions { Threads = 1 });
        session.Forward(GoldenModel.First.Ids);
        return FlowTracer.Trace(model, session.Cache, src, dst, options with { Compute = new AnalysisOptions { Threads = 1 } });
    }

    private static (int? Head, int To) Step(JsonElement step) =>
        (step.GetProperty("head") is { ValueKind: JsonValueKind.Number } head ? head.GetInt32() : null, step.Int("to"));

    private static void SameLayers(JsonElement expected, JsonElement document)
    {
        JsonElement[] layers = document.Items("per_layer");
        Assert.Equal(expected.Items("per_layer").Length, layers.Length);
        foreach ((JsonElement e, JsonElement layer) in expected.Items("per_layer").Zip(layers))
        {
            layer.HasKeys("layer", "residual", "mlp", "heads");
            Assert.Equal(e.Int("layer"), layer.Int("layer"));
            // One comparison of all parts of the layer: a part near zero is the remainder of large ones.
            Documents.Same(Parts(e), Parts(layer), $"layer {e.Int("layer")}");
        }

        static double[] Parts(JsonElement layer) => [layer.Number("residual"), layer.Number("mlp"), .. layer.Numbers("heads")];
    }

    private static void SameEdges(JsonElement[] expected, JsonElement[] edges)
    {
        Assert.Equal(expected.Select(Place), edges.Select(Place));
        Documents.Same([.. expected.Select(edge => edge.Number("flow"))], [.. edges.Select(edge => edge.Number("flow"))], "edges");
        static (int, int, int, int) Place(JsonElement edge) => (edge.Int("layer"), edge.Int("head"), edge.Int("query"), edge.Int("key"));
    }

    private static void AddsUp(GoldenModel golden, JsonElement document)
    {
        double total = document.Number("total");
        foreach (JsonElement layer in document.Items("per_layer"))
        {
            double[] parts = [layer.Number("residual"), .. layer.Numbers("heads")];
            Assert.Equal(golden.Heads + 1, parts.Length);
            Close.To(total, parts.Sum(), 1e-5, "residual + heads", parts.Max(Math.Abs));
            if (document.GetProperty("mlp").GetString() == "source")
                Assert.Equal(0, layer.Number("mlp"));
        }
    }
}
