using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The reference analysis against the golden one, field by field.</summary>
public sealed class GoldenAnalysisTests
{
    // Both sides are double precision and the file has 17 digits; sums of some hundred products in another order differ by a few 1e-15 of the
    // largest, grown by the layers, and ε is a float here (off by 3e-8 of itself). Everything agrees to 1e-11; ten times that is allowed.
    private const double Tolerance = 1e-10;

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Write_norms_shares_strengths_and_selections(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();
        int layers = 0;
        foreach (JsonElement e in golden.Json.GetProperty("write").EnumerateArray())
        {
            int l = e.GetProperty("layer").GetInt32();
            double[] strengths = ReferenceAnalysis.WriteStrengths(run, l);
            double[] ov = [.. Enumerable.Range(0, strengths.Length).Select(h => ReferenceAnalysis.OvNorm(golden.Weights, l, h))];
            Same(e, "norm", Flat(ReferenceAnalysis.WriteNorms(run, l)));
            Same(e, "share", Flat(ReferenceAnalysis.WriteShares(run, l)));
            Same(e, "strength", strengths);
            Same(e, "ov_norm", ov);
            SameSelection(e.GetProperty("selected"), strengths);
            SameSelection(e.GetProperty("selected_weights_only"), ov);
            layers++;
        }

        Assert.Equal(run.Config.NumHiddenLayers, layers);
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Read_weights_shares_strengths_and_selections(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();
        Assert.NotEqual(0, golden.Json.GetProperty("read").GetArrayLength());
        foreach (JsonElement e in golden.Json.GetProperty("read").EnumerateArray())
        {
            int l = e.GetProperty("layer").GetInt32();
            double[] u = Vec.Unit(run.Config.HiddenSize, e.GetProperty("dim").GetInt32());
            foreach ((ReferenceVia via, string key) in new[] { (ReferenceVia.Q, "q"), (ReferenceVia.K, "k"), (ReferenceVia.V, "v") })
            {
                Same(e, key, [.. Enumerable.Range(0, run.Config.NumAttentionHeads).Select(h => ReferenceAnalysis.ReadWeight(golden.Weights, l, h, via, u))]);
                Same(e, $"{key}_share", Flat(ReferenceAnalysis.ReadShares(run, l, via, u)));
            }

            double[] strengths = ReferenceAnalysis.ReadStrengths(golden.Weights, l, u);
            Same(e, "strength", strengths);
            SameSelection(e.GetProperty("selected"), strengths);
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Flow_totals_cuts_and_strongest_edges(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();
        Assert.NotEqual(0, golden.Json.GetProperty("flow").GetArrayLength());
        foreach (JsonElement e in golden.Json.GetProperty("flow").EnumerateArray())
        {
            int dst = e.GetProperty("dst").GetInt32();
            var flow = new ReferenceFlow(run, e.GetProperty("from").GetInt32(), e.GetProperty("layers").GetInt32(), e.GetProperty("mlp").GetString() == "frozen");
            double[] target = e.TryGetProperty("target", out JsonElement token)
                ? flow.TokenTarget(dst, int.Parse(token.GetString()!["token:".Length..], System.Globalization.CultureInfo.InvariantCulture))
                : flow.ResidualTarget(dst);
            int src = e.GetProperty("src").GetInt32();
            ReferenceTrace trace = flow.Trace(src, dst, target);

            Same(e, "total", [trace.Total]);
            Close.To(trace.Total, flow.Total(src, dst, target), Tolerance, "total by propagation alone");
            SameLayers(e.GetProperty("per_layer"), trace.Layers);
            SameEdges(e.GetProperty("edges"), trace.Edges);
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Flows_of_all_sources_add_up_to_the_logit(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();
        JsonElement e = golden.Json.GetProperty("sources_to_logit");
        int dst = run.Tokens - 1, token = e.GetProperty("token").GetInt32();
        var flow = new ReferenceFlow(run, 0, run.Config.NumHiddenLayers, throughMlp: true);
        double[] flows = flow.AllSources(dst, flow.TokenTarget(dst, token));

        Same(e, "flows", flows);
        Same(e, "logit", [run.Row("logits", dst)[token]]);
        Close.To(run.Row("logits", dst)[token], flows.Sum(), Tolerance, "the sum of the sources", flows.Max(Math.Abs));
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Paths_in_number_sum_and_the_ten_strongest(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();
        JsonElement e = golden.Json.GetProperty("paths");
        int src = e.GetProperty("src").GetInt32(), dst = e.GetProperty("dst").GetInt32();
        var flow = new ReferenceFlow(run, 0, e.GetProperty("layers").GetInt32(), e.GetProperty("mlp").GetString() == "frozen");
        ReferencePath[] paths = [.. flow.AllPaths(src, dst, flow.ResidualTarget(dst)).OrderByDescending(p => Math.Abs(p.Flow))];

        Assert.Equal(e.GetProperty("count").GetInt32(), paths.Length);
        Same(e, "total", [paths.Sum(p => p.Flow)]);
        JsonElement[] top = [.. e.GetProperty("top").EnumerateArray()];
        Assert.NotEmpty(top);
        for (int i = 0; i < top.Length; i++)
        {
            Same(top[i], "flow", [paths[i].Flow]);
            var expected = top[i].GetProperty("steps").EnumerateArray()
                .Select(s => (s.GetProperty("head") is { ValueKind: JsonValueKind.Number } h ? h.GetInt32() : (int?)null, s.GetProperty("to").GetInt32()));
            Assert.Equal(expected, paths[i].Steps.Select(s => (s.Head, s.To)));
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Information_flow_routes(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRouteLayer[] routes = ReferenceAnalysis.Routes(golden.Run());
        JsonElement[] expected = [.. golden.Json.GetProperty("routes").EnumerateArray()];

        Assert.Equal(expected.Length, routes.Length);
        for (int l = 0; l < expected.Length; l++)
        {
            Same(expected[l], "attention", [.. routes[l].Attention.SelectMany(Flat)]);
            Same(expected[l], "residual", routes[l].Residual);
            Same(expected[l], "mlp", routes[l].Mlp);
            Same(expected[l], "bypass", routes[l].Bypass);
        }
    }

    private static void SameLayers(JsonElement expected, ReferenceLayerFlow[] layers)
    {
        Assert.Equal(expected.GetArrayLength(), layers.Length);
        foreach ((JsonElement e, ReferenceLayerFlow layer) in expected.EnumerateArray().Zip(layers))
        {
            Assert.Equal(e.GetProperty("layer").GetInt32(), layer.Layer);
            // One comparison of all parts of the layer: a part near zero is the remainder of large ones.
            double[] parts = [e.GetProperty("residual").GetDouble(), e.GetProperty("mlp").GetDouble(), .. Numbers(e.GetProperty("heads"))];
            Close.ToLargest(parts, [layer.Residual, layer.Mlp, .. layer.Heads], Tolerance, $"layer {layer.Layer}");
        }
    }

    private static void SameEdges(JsonElement expected, ReferenceEdge[] edges)
    {
        JsonElement[] listed = [.. expected.EnumerateArray()];
        ReferenceEdge[] strongest = [.. edges.Where(e => e.Flow != 0).OrderByDescending(e => Math.Abs(e.Flow)).Take(40)];
        Assert.Equal(listed.Length, strongest.Length);
        for (int i = 0; i < listed.Length; i++)
        {
            int[] place = [.. new[] { "layer", "head", "query", "key" }.Select(key => listed[i].GetProperty(key).GetInt32())];
            ReferenceEdge edge = strongest[i];
            Assert.Equal(place, new[] { edge.Layer, edge.Head, edge.Query, edge.Key });
            Close.To(listed[i].GetProperty("flow").GetDouble(), edge.Flow, Tolerance, $"edge {edge}", Math.Abs(strongest[0].Flow));
        }
    }

    private static void SameSelection(JsonElement byThreshold, double[] strengths)
    {
        foreach (JsonProperty selection in byThreshold.EnumerateObject())
        {
            double threshold = double.Parse(selection.Name, System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal(selection.Value.EnumerateArray().Select(h => h.GetInt32()), ReferenceAnalysis.Select(strengths, threshold));
        }
    }

    private static void Same(JsonElement e, string key, double[] actual) =>
        Close.ToLargest([.. Numbers(e.GetProperty(key))], actual, Tolerance, key);

    /// <summary>All numbers of a value, whatever its nesting, in order.</summary>
    private static IEnumerable<double> Numbers(JsonElement e) =>
        e.ValueKind == JsonValueKind.Array ? e.EnumerateArray().SelectMany(Numbers) : [e.GetDouble()];

    private static double[] Flat(double[][] rows) => [.. rows.SelectMany(row => row)];
}
