using System.Globalization;
using System.Text.Json;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>The analyses against what a float64 program computed from the golden models, field by field.</summary>
public sealed class GoldenTests
{
    // Stated by the project: float32 against float64, relative to the largest of its kind. Measured: below 3e-6.
    private const double Tolerance = 1e-4;

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Writes(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden, RecordingPlan.Heads);
        int layers = 0;
        foreach (JsonElement e in golden.Json.GetProperty("write").EnumerateArray())
        {
            int layer = e.GetProperty("layer").GetInt32();
            HeadWrites writes = HeadWrites.Measure(run.Model, run.Cache, layer);
            HeadWrites weights = HeadWrites.FromWeights(run.Model, layer);
            Same(e, "norm", HeadWritesTests.ByHead(writes.Heads, h => writes.Norms(h)));
            Same(e, "share", HeadWritesTests.ByHead(writes.Heads, h => writes.Shares(h)));
            Same(e, "strength", writes.Strengths);
            Same(e, "ov_norm", writes.OvNorms);
            Same(e, "ov_norm", weights.Strengths);
            SameSelection(e.GetProperty("selected"), threshold => writes.Select(threshold));
            SameSelection(e.GetProperty("selected_weights_only"), threshold => weights.Select(threshold));
            layers++;
        }

        Assert.Equal(run.Model.Config.NumHiddenLayers, layers);
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Reads(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden, RecordingPlan.Heads);
        Assert.NotEqual(0, golden.Json.GetProperty("read").GetArrayLength());
        foreach (JsonElement e in golden.Json.GetProperty("read").EnumerateArray())
        {
            int layer = e.GetProperty("layer").GetInt32(), dim = e.GetProperty("dim").GetInt32();
            HeadReads reads = HeadReads.Measure(run.Model, run.Cache, layer, ReadDirection.Dimension(dim));
            Same(e, "q", reads.QWeights);
            Same(e, "k", reads.KWeights);
            Same(e, "v", reads.VWeights);
            Same(e, "strength", reads.Strengths);
            Same(e, "q_share", HeadWritesTests.ByHead(reads.Heads, h => reads.QShares(h)));
            Same(e, "k_share", HeadWritesTests.ByHead(reads.Heads, h => reads.KShares(h)));
            Same(e, "v_share", HeadWritesTests.ByHead(reads.Heads, h => reads.VShares(h)));
            SameSelection(e.GetProperty("selected"), threshold => reads.Select(threshold));
            SameSelection(e.GetProperty("selected"), threshold => new ReadWriteHeads(run.Model).IdentifyReadHeads(layer, dim, threshold));
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Flows(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden);
        Assert.NotEqual(0, golden.Json.GetProperty("flow").GetArrayLength());
        foreach (JsonElement e in golden.Json.GetProperty("flow").EnumerateArray())
        {
            FlowTrace trace = FlowTracer.Trace(run.Model, run.Cache, e.GetProperty("src").GetInt32(), e.GetProperty("dst").GetInt32(), new FlowOptions
            {
                From = e.GetProperty("from").GetInt32(),
                Layers = e.GetProperty("layers").GetInt32(),
                Mlp = e.GetProperty("mlp").GetString() == "frozen" ? MlpTreatment.Frozen : MlpTreatment.Source,
                Target = e.TryGetProperty("target", out JsonElement token)
                    ? FlowTarget.Token(int.Parse(token.GetString()!["token:".Length..], CultureInfo.InvariantCulture))
                    : FlowTarget.Residual,
                Edges = 40,
                Paths = 0,
            });
            Same(e, "total", [trace.Total]);
            SameLayers(e.GetProperty("per_layer"), trace.PerLayer);
            SameEdges(e.GetProperty("edges"), trace.Edges);
            Assert.True(trace.ConservationError < 1e-5, $"the cuts are off by {trace.ConservationError}");
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Sources(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden);
        JsonElement e = golden.Json.GetProperty("sources_to_logit");
        FlowTrace trace = FlowTracer.Trace(run.Model, run.Cache, 0, golden.Ids.Length - 1, new FlowOptions
        {
            Layers = run.Model.Config.NumHiddenLayers,
            Target = FlowTarget.Token(e.GetProperty("token").GetInt32()),
            AllSources = true,
        });
        Same(e, "flows", [.. trace.Sources!]);
        Same(e, "logit", [trace.Conservation!.Value.Sum]);
        Same(e, "logit", [trace.Conservation!.Value.Expected]);
        Assert.True(trace.ConservationError < 1e-5, $"conservation is off by {trace.ConservationError}");
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Paths(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden);
        JsonElement e = golden.Json.GetProperty("paths");
        FlowTrace trace = FlowTracer.Trace(run.Model, run.Cache, e.GetProperty("src").GetInt32(), e.GetProperty("dst").GetInt32(), new FlowOptions
        {
            Layers = e.GetProperty("layers").GetInt32(),
            Mlp = e.GetProperty("mlp").GetString() == "frozen" ? MlpTreatment.Frozen : MlpTreatment.Source,
            Paths = 2000,
        });
        JsonElement[] top = [.. e.GetProperty("top").EnumerateArray()];
        Assert.NotEmpty(top);
        for (int i = 0; i < top.Length; i++)
        {
            Close.To(top[i].GetProperty("flow").GetDouble(), trace.Paths[i].Flow, Tolerance, $"path {i}", Math.Abs(trace.Paths[0].Flow));
            var expected = top[i].GetProperty("steps").EnumerateArray()
                .Select(s => (s.GetProperty("head") is { ValueKind: JsonValueKind.Number } h ? h.GetInt32() : (int?)null, s.GetProperty("to").GetInt32()));
            Assert.Equal(expected, trace.Paths[i].Steps.Select(s => (s.Head, s.To)));
        }

        Assert.Equal(e.GetProperty("count").GetInt32(), trace.Paths.Count);
        Assert.True(trace.PathsExhaustive);
        Close.To(1, trace.Coverage, Tolerance, "coverage of all paths");
        Same(e, "total", [trace.Total]);
    }

    private static void SameLayers(JsonElement expected, IReadOnlyList<FlowLayer> layers)
    {
        Assert.Equal(expected.GetArrayLength(), layers.Count);
        foreach ((JsonElement e, FlowLayer layer) in expected.EnumerateArray().Zip(layers))
        {
            Assert.Equal(e.GetProperty("layer").GetInt32(), layer.Layer);
            // One comparison of all parts of the layer: a part near zero is the remainder of large ones.
            double[] parts = [e.GetProperty("residual").GetDouble(), e.GetProperty("mlp").GetDouble(), .. Numbers(e.GetProperty("heads"))];
            Close.ToLargest(parts, [layer.Residual, layer.Mlp, .. layer.Heads], Tolerance, $"layer {layer.Layer}");
        }
    }

    private static void SameEdges(JsonElement expected, IReadOnlyList<FlowEdge> edges)
    {
        JsonElement[] listed = [.. expected.EnumerateArray()];
        Assert.Equal(listed.Length, edges.Count);
        for (int i = 0; i < listed.Length; i++)
        {
            int[] place = [.. new[] { "layer", "head", "query", "key" }.Select(key => listed[i].GetProperty(key).GetInt32())];
            Assert.Equal(place, new[] { edges[i].Layer, edges[i].Head, edges[i].Query, edges[i].Key });
            Close.To(listed[i].GetProperty("flow").GetDouble(), edges[i].Flow, Tolerance, $"edge {edges[i]}", Math.Abs(edges[0].Flow));
        }
    }

    private static void SameSelection(JsonElement byThreshold, Func<double, IReadOnlyList<HeadStrength>> select)
    {
        Assert.NotEmpty(byThreshold.EnumerateObject());
        foreach (JsonProperty selection in byThreshold.EnumerateObject())
        {
            double threshold = double.Parse(selection.Name, CultureInfo.InvariantCulture);
            Assert.Equal(selection.Value.EnumerateArray().Select(h => h.GetInt32()), select(threshold).Select(s => s.Head));
        }
    }

    private static void Same(JsonElement e, string key, ReadOnlySpan<double> actual) =>
        Close.ToLargest([.. Numbers(e.GetProperty(key))], actual, Tolerance, key);

    /// <summary>All numbers of a value, whatever its nesting, in order.</summary>
    private static IEnumerable<double> Numbers(JsonElement e) =>
        e.ValueKind == JsonValueKind.Array ? e.EnumerateArray().SelectMany(Numbers) : [e.GetDouble()];
}
