using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments;

// Causal measures.
public static partial class ResultJson
{
    /// <summary>A metric without each head, by layer and number.</summary>
    public static JsonNode ToJson(this HeadAblation ablation)
    {
        ArgumentNullException.ThrowIfNull(ablation);
        IEnumerable<JsonNode> heads = from l in Enumerable.Range(0, ablation.Layers)
                                      from h in Enumerable.Range(0, ablation.Values(l).Length)
                                      select Without(l, h, ablation.Baseline, ablation.Effect(l, h));
        return Ablated(ablation.Metric, ablation.Kind, ablation.Baseline, heads);
    }

    /// <summary>The same, with what the frozen network attributes to each head.</summary>
    public static JsonNode ToJson(this HeadAttribution attribution)
    {
        ArgumentNullException.ThrowIfNull(attribution);
        JsonObject document = Ablated(
            attribution.Metric, attribution.Kind, attribution.Baseline,
            attribution.Heads.Select(head => Attributed(Without(head.Layer, head.Head, attribution.Baseline, -head.Measured), head.Direct, head.Frozen)));
        document["correlation"] = Attributed([], attribution.DirectCorrelation, attribution.FrozenCorrelation);
        return document;
    }

    /// <summary>What every patched place recovers.</summary>
    public static JsonNode ToJson(this ActivationPatching patched)
    {
        ArgumentNullException.ThrowIfNull(patched);
        return new JsonObject
        {
            ["metric"] = patched.Metric.Name,
            ["point"] = patched.Point.ShortName(),
            ["source"] = patched.Clean,
            ["baseline"] = patched.Corrupted,
            ["sites"] = Node(patched.Sites, AnalysisJson.Default.IReadOnlyListPatchedSite),
        };
    }

    /// <summary>What every path does, and what every sender does over all of them.</summary>
    public static JsonNode ToJson(this PathPatching patched)
    {
        ArgumentNullException.ThrowIfNull(patched);
        return new JsonObject
        {
            ["metric"] = patched.Metric.Name,
            ["baseline"] = patched.Baseline,
            ["senders"] = new JsonArray([.. patched.Paths.GroupBy(path => path.Sender).Select(own => new JsonObject
            {
                ["sender"] = Head(own.Key.Layer, own.Key.Head),
                ["whole"] = patched.WholeEffect(own.Key),
                ["paths"] = new JsonArray([.. own.Select(Path)]),
            })]),
        };
    }

    /// <summary>What one patched place recovers.</summary>
    internal static JsonNode Site(PatchedSite site) => Node(site, AnalysisJson.Default.PatchedSite);

    /// <summary>What one path does.</summary>
    internal static JsonObject Path(PathEffect path)
    {
        bool logits = path.Receiver.Input == ReceiverInput.Logits;
        return new JsonObject
        {
            ["input"] = path.Receiver.Input.Name(),
            ["layer"] = logits ? null : path.Receiver.Layer,
            ["head"] = logits ? null : path.Receiver.Head,
            ["value"] = path.Value,
            ["effect"] = path.Effect,
        };
    }

    private static JsonObject Ablated(CausalMetric metric, AblationKind kind, double baseline, IEnumerable<JsonNode> heads) => new()
    {
        ["metric"] = metric.Name,
        ["kind"] = kind.Name(),
        ["baseline"] = baseline,
        ["heads"] = new JsonArray([.. heads]),
    };

    /// <summary>A metric without one head.</summary>
    internal static JsonObject Without(int layer, int head, double baseline, double effect)
    {
        JsonObject node = Head(layer, head);
        node["value"] = baseline + effect;
        node["effect"] = effect;
        return node;
    }

    /// <summary>With what the two ways of attribution say of it; null where there is none.</summary>
    internal static JsonObject Attributed(JsonObject node, double? direct, double? frozen)
    {
        node["direct"] = direct;
        node["frozen"] = frozen;
        return node;
    }

    internal static JsonObject Head(int layer, int head) => new() { ["layer"] = layer, ["head"] = head };
}
