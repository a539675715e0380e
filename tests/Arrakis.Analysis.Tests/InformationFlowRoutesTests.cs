using System.Text.Json;
using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Information flow routes against the double-precision reference and the golden numbers: contributions, and the graph that is kept.</summary>
public sealed class InformationFlowRoutesTests
{
    // Shares of one sum, relative to the largest of them: the rows that they are made of are within 5e-5 (see ResidualsTests), and a share takes in all of a row's
    // elements, whose errors mostly cancel.
    private const double Tolerance = 2e-5;

    [Fact]
    public void Equal_the_reference_on_random_models() =>
        RandomShapes.Inputs(mostTokens: 20).Select(Gen.OneOf("flow", "all")).Sample((input, recording) =>
        {
            using Analysed run = Analysed.Of(input, RecordingPlan.Parse(recording));
            InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, run.Cache);
            ReferenceRouteLayer[] expected = ReferenceAnalysis.Routes(run.Reference);
            Assert.Equal(expected.Length, routes.Layers.Count);
            Assert.Equal(input.Ids.Length, routes.Tokens);
            for (int l = 0; l < expected.Length; l++)
            {
                RouteLayer layer = routes.Layers[l];
                Assert.Equal((l, input.Config.NumAttentionHeads), (layer.Layer, layer.Heads));
                double[] mid = [.. expected[l].Attention.SelectMany(HeadWritesTests.Flat), .. expected[l].Residual];
                Close.ToLargest(mid, [.. Engine.Widen(layer.Attention), .. Engine.Widen(layer.Residual)], Tolerance, $"parts of resid_mid of layer {l}");
                double[] post = [.. expected[l].Mlp, .. expected[l].Bypass];
                Close.ToLargest(post, [.. Engine.Widen(layer.Mlp), .. Engine.Widen(layer.Bypass)], Tolerance, $"parts of resid_post of layer {l}");
            }

            // Each float32 share is rounded by at most 6e-8 of itself, and they sum to 1.
            Assert.True(routes.AttentionError < 2e-7 && routes.MlpError < 2e-7, $"sums are off by {routes.AttentionError} and {routes.MlpError}");
            double tau = BetweenWeights(expected);
            for (int dst = 0; dst < input.Ids.Length; dst++)
                SameEdges(ReferenceAnalysis.RouteEdges(expected, dst, tau), routes.Edges(dst, tau));
        }, iter: 60);

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Equal_the_golden_numbers(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using Analysed run = Analysed.Of(golden);
        InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, run.Cache);
        JsonElement[] expected = [.. golden.Json.GetProperty("routes").EnumerateArray()];
        Assert.Equal(expected.Length, routes.Layers.Count);
        for (int l = 0; l < expected.Length; l++)
        {
            // The contract's: 1e-4 of the largest of its kind.
            Same("attention", routes.Layers[l].Attention);
            Same("residual", routes.Layers[l].Residual);
            Same("mlp", routes.Layers[l].Mlp);
            Same("bypass", routes.Layers[l].Bypass);

            void Same(string kind, ReadOnlySpan<float> actual) =>
                Close.ToLargest([.. Numbers(expected[l].GetProperty(kind))], Engine.Widen(actual), 1e-4, $"{kind} of layer {l}");
        }

        for (int dst = 0; dst < routes.Tokens; dst++)
            SameEdges(ReferenceAnalysis.RouteEdges(ReferenceAnalysis.Routes(run.Reference), dst), routes.Edges(dst));
    }

    [Fact]
    public void What_opposes_the_whole_has_a_positive_share_and_what_is_to_come_has_none()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, run.Cache);
        int opposed = 0;
        foreach (RouteLayer layer in routes.Layers)
        {
            for (int h = 0; h < layer.Heads; h++)
            {
                for (int t = 0; t < layer.Tokens; t++)
                {
                    float[] shares = layer.Of(h, t).ToArray();
                    Assert.All(shares[..(t + 1)], share => Assert.True(share > 0));
                    Assert.All(shares[(t + 1)..], share => Assert.Equal(0, share));
                    // 1e-5 of a row of 24 numbers about 1.
                    opposed += shares[..(t + 1)].Count(share => share < 2e-6);
                }
            }
        }

        Assert.NotEqual(0, opposed);
    }

    [Fact]
    public void Nothing_is_shared_alike()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, HandMade.Nothing(run.Cache));
        RouteLayer layer = routes.Layers[1];
        for (int t = 0; t < layer.Tokens; t++)
        {
            float share = 1f / (1 + layer.Heads * (t + 1));
            Assert.Equal(share, layer.Residual[t], 1e-7f);
            Assert.All(layer.Of(2, t)[..(t + 1)].ToArray(), s => Assert.Equal(share, s, 1e-7f));
            Assert.Equal((0.5f, 0.5f), (layer.Mlp[t], layer.Bypass[t]));
        }

        // An edge of exactly the threshold is not kept, and without the MLP or what passes it there is no way down.
        Assert.Empty(routes.Edges(4, 0.5));
        Assert.Contains(new RouteEdge(1, RouteKind.Mlp, 4, 4, 0.5), routes.Edges(4, 0.4999));
    }

    [Fact]
    public void Bits_do_not_depend_on_the_threads()
    {
        int[] ids = [.. Enumerable.Range(0, 61).Select(t => t * 7 % 19)];
        using Analysed run = Analysed.Of(ResidualsTests.Small with { Ids = ids });
        InformationFlowRoutes one = InformationFlowRoutes.Measure(run.Model, run.Cache, new AnalysisOptions { Threads = 1 });
        InformationFlowRoutes three = InformationFlowRoutes.Measure(run.Model, run.Cache, new AnalysisOptions { Threads = 3 });
        for (int l = 0; l < 2; l++)
        {
            float[] expected = All(one.Layers[l]);
            Assert.Equal(expected, All(three.Layers[l]));
        }

        static float[] All(RouteLayer layer) => [.. layer.Attention, .. layer.Residual, .. layer.Mlp, .. layer.Bypass];
    }

    [Fact]
    public void A_single_token_comes_from_itself()
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small with { Ids = [3] });
        InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, run.Cache);
        Assert.Equal(4, routes.Layers[0].Attention.Length);
        IReadOnlyList<RouteEdge> edges = routes.Edges(0, 0);
        // At a threshold of 0 nothing is left out: four kinds in either layer.
        Assert.Equal(8, edges.Count);
        Assert.All(edges, edge => Assert.Equal((0, 0), (edge.Query, edge.Key)));
    }

    [Theory]
    [InlineData("heads", "blocks.1.mlp.hook_pre")]
    [InlineData("resid_pre,resid_post,attn.z,pattern", "blocks.0.attn.hook_v")]
    [InlineData("resid_pre,resid_post,attn.z,attn.v", "blocks.0.attn.hook_pattern")]
    [InlineData("resid_pre,resid_post,pattern,attn.v", "blocks.0.attn.hook_z")]
    [InlineData("pattern,attn.v,attn.z,mlp.pre,ln2.scale", "blocks.0.hook_resid_pre")]
    public void What_lacks_is_named_with_the_recording_that_has_it(string recording, string missing)
    {
        using Analysed run = Analysed.Of(ResidualsTests.Small, RecordingPlan.Parse(recording));
        Refused.With($"{missing} is not recorded: record 'flow'", () => InformationFlowRoutes.Measure(run.Model, run.Cache));
    }

    [Fact]
    public void What_it_does_not_take()
    {
        Refused.Continued((model, cache) => InformationFlowRoutes.Measure(model, cache));
        using Analysed run = Analysed.Of(ResidualsTests.Small);
        InformationFlowRoutes routes = InformationFlowRoutes.Measure(run.Model, run.Cache);
        Refused.With("dst 5 is not in the input of 5 tokens: use 0 to 4", () => routes.Edges(5));
        Refused.With("tau is NaN: use a number from 0, below 1", () => routes.Edges(0, double.NaN));
        Refused.With("tau is 1: use a number from 0, below 1", () => routes.Edges(0, 1));
    }

    private static void SameEdges(ReferenceRouteEdge[] expected, IReadOnlyList<RouteEdge> actual)
    {
        Assert.Equal(
            expected.Select(e => (e.Layer, e.Kind, e.Query, e.Key)),
            actual.Select(e => (e.Layer, Kind: e.Kind.ToString().ToLowerInvariant(), e.Query, e.Key)));
        // Each relative to 1, which the weights at a query sum to.
        foreach ((ReferenceRouteEdge e, RouteEdge a) in expected.Zip(actual))
            Close.To(e.Weight, a.Weight, Tolerance, e.ToString(), scale: 1);
    }

    /// <summary>A threshold in the widest gap between the weights around the default one: no rounding moves an edge across it.</summary>
    private static double BetweenWeights(ReferenceRouteLayer[] layers)
    {
        double[] weights =
        [
            .. layers.SelectMany(l => l.Residual.Concat(l.Mlp).Concat(l.Bypass)
                .Concat(l.Residual.SelectMany((_, t) => Enumerable.Range(0, t + 1).Select(s => l.Attention.Sum(head => head[t][s])))))
                .Where(w => w is > 0.01 and < 0.2).Append(0.01).Append(0.2).Order(),
        ];
        int widest = Enumerable.Range(1, weights.Length - 1).MaxBy(i => weights[i] - weights[i - 1]);
        return (weights[widest] + weights[widest - 1]) / 2;
    }

    private static IEnumerable<double> Numbers(JsonElement e) =>
        e.ValueKind == JsonValueKind.Array ? e.EnumerateArray().SelectMany(Numbers) : [e.GetDouble()];
}
