using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Arrakis.Analysis;

namespace Arrakis.Experiments;

/// <summary>Results of analyses as JSON, under the names of the command's documents, for the log of an experiment.</summary>
public static partial class ResultJson
{
    /// <summary>Heads with their strengths: <c>[{"layer","head","strength"},…]</c>.</summary>
    public static JsonNode ToJson(this IReadOnlyList<HeadStrength> heads) => Node(heads, AnalysisJson.Default.IReadOnlyListHeadStrength);

    /// <summary>What the heads of a layer write.</summary>
    public static JsonNode ToJson(this HeadWrites writes)
    {
        ArgumentNullException.ThrowIfNull(writes);
        return new JsonObject
        {
            ["layer"] = writes.Layer,
            ["strength"] = Numbers(writes.Strengths),
            ["ov_norm"] = Numbers(writes.OvNorms),
            ["norm"] = writes.Tokens == 0 ? null : PerHead(writes.Heads, head => Numbers(writes.Norms(head))),
            ["share"] = writes.Tokens == 0 ? null : PerHead(writes.Heads, head => Numbers(writes.Shares(head))),
            ["share_error"] = writes.Tokens == 0 ? null : writes.ShareError,
        };
    }

    /// <summary>What the heads of a layer read of a direction.</summary>
    public static JsonNode ToJson(this HeadReads reads)
    {
        ArgumentNullException.ThrowIfNull(reads);
        return new JsonObject
        {
            ["layer"] = reads.Layer,
            ["direction"] = reads.Direction.ToString(),
            ["via"] = new JsonArray([.. reads.Inputs.Names()]),
            ["strength"] = Numbers(reads.Strengths),
            ["q"] = Numbers(reads.QWeights),
            ["k"] = Numbers(reads.KWeights),
            ["v"] = Numbers(reads.VWeights),
            ["q_share"] = reads.Tokens == 0 ? null : PerHead(reads.Heads, head => Numbers(reads.QShares(head))),
            ["k_share"] = reads.Tokens == 0 ? null : PerHead(reads.Heads, head => Numbers(reads.KShares(head))),
            ["v_share"] = reads.Tokens == 0 ? null : PerHead(reads.Heads, head => Numbers(reads.VShares(head))),
            ["z_share"] = reads.Tokens == 0 ? null : PerHead(reads.Heads, head => Numbers(reads.ZShares(head))),
            ["share_error"] = reads.Tokens == 0 ? null : reads.ShareError,
        };
    }

    /// <summary>A traced flow, with its layers, edges and paths.</summary>
    public static JsonNode ToJson(this FlowTrace flow) => Node(flow, AnalysisJson.Default.FlowTrace);

    /// <summary>Composition scores.</summary>
    public static JsonNode ToJson(this IReadOnlyList<CompositionScore> scores) => Node(scores, AnalysisJson.Default.IReadOnlyListCompositionScore);

    /// <summary>What head detectors saw of every head.</summary>
    public static JsonNode ToJson(this IReadOnlyList<HeadDetection> heads) => Node(heads, AnalysisJson.Default.IReadOnlyListHeadDetection);

    /// <summary>A logit by head and MLP.</summary>
    public static JsonNode ToJson(this DirectLogitAttribution logit)
    {
        ArgumentNullException.ThrowIfNull(logit);
        return new JsonObject
        {
            ["position"] = logit.Position,
            ["token"] = logit.Token,
            ["logit"] = logit.Logit,
            ["embedding"] = logit.Embedding,
            ["heads"] = PerHead(logit.Layers, layer => Numbers(logit.Heads(layer))),
            ["mlps"] = Numbers(logit.Mlps),
            ["error"] = logit.Error,
        };
    }

    /// <summary>The rows of a logit lens.</summary>
    public static JsonNode ToJson(this LogitLens lens)
    {
        ArgumentNullException.ThrowIfNull(lens);
        return Node(lens.Rows, AnalysisJson.Default.IReadOnlyListLogitLensRow);
    }

    /// <summary>Rows of attention rollout: <c>[position][source]</c>.</summary>
    public static JsonNode ToJson(this AttentionRollout rollout)
    {
        ArgumentNullException.ThrowIfNull(rollout);
        return PerHead(rollout.Tokens, position => Numbers(rollout.Row(position)));
    }

    /// <summary>Edges of information flow routes.</summary>
    public static JsonNode ToJson(this IReadOnlyList<RouteEdge> edges) => Node(edges, AnalysisJson.Default.IReadOnlyListRouteEdge);

    /// <summary>A hypothesis test.</summary>
    public static JsonNode ToJson(this HypothesisTest test) => Node(test, AnalysisJson.Default.HypothesisTest);

    /// <summary>Scores by layer and head.</summary>
    public static JsonNode ToJson(this IReadOnlyList<double[]> scores) => Node(scores, AnalysisJson.Default.IReadOnlyListDoubleArray);

    /// <summary>Numbers.</summary>
    public static JsonArray Numbers(ReadOnlySpan<double> values)
    {
        var array = new JsonArray();
        foreach (double value in values)
            array.Add((JsonNode)value);
        return array;
    }

    /// <summary>Numbers, with as many digits as a float has.</summary>
    public static JsonArray Numbers(ReadOnlySpan<float> values)
    {
        var array = new JsonArray();
        foreach (float value in values)
            array.Add((JsonNode)value);
        return array;
    }

    /// <summary>Whole numbers: token ids, positions.</summary>
    public static JsonArray Numbers(ReadOnlySpan<int> values)
    {
        var array = new JsonArray();
        foreach (int value in values)
            array.Add((JsonNode)value);
        return array;
    }

    private static JsonArray PerHead(int count, Func<int, JsonNode> one) => [.. Enumerable.Range(0, count).Select(one)];

    private static JsonNode Node<T>(T value, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) =>
        JsonSerializer.SerializeToNode(value, type) ?? throw new ArgumentNullException(nameof(value));
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, UseStringEnumConverter = true)]
[JsonSerializable(typeof(IReadOnlyList<HeadStrength>))]
[JsonSerializable(typeof(FlowTrace))]
[JsonSerializable(typeof(IReadOnlyList<CompositionScore>))]
[JsonSerializable(typeof(IReadOnlyList<HeadDetection>))]
[JsonSerializable(typeof(IReadOnlyList<LogitLensRow>))]
[JsonSerializable(typeof(IReadOnlyList<RouteEdge>))]
[JsonSerializable(typeof(IReadOnlyList<PatchedSite>))]
[JsonSerializable(typeof(IReadOnlyList<double[]>))]
[JsonSerializable(typeof(HypothesisTest))]
internal sealed partial class AnalysisJson : JsonSerializerContext;
