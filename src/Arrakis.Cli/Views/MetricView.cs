using System.Text.Json.Nodes;
using Arrakis.Analysis;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>What a causal measure looked at, in the words of the model's tokenizer.</summary>
internal static class MetricView
{
    /// <summary><c>logit of 5 (·was) less 9 (·had)</c>, or what it is called.</summary>
    public static string Says(this CausalMetric metric, Tokens tokens) =>
        metric.Tokens.Length == 0 ? metric.Name : $"logit of {string.Join(" less ", metric.Tokens.Select(tokens.Told))}";

    /// <summary>The fields of a document that say the same: <c>position</c>, <c>token</c> and <c>minus</c>, and the input's <c>tokens</c>.</summary>
    public static void AddTo(this CausalMetric metric, JsonObject document, Tokens tokens, int[] ids)
    {
        bool logit = metric.Tokens.Length > 0;
        document["position"] = logit ? metric.Needed(ids.Length).First : null;
        document["token"] = logit ? tokens.Node(metric.Tokens[0]) : null;
        document["minus"] = metric.Tokens.Length > 1 ? tokens.Node(metric.Tokens[1]) : null;
        document["tokens"] = tokens.Of(ids);
    }

    /// <summary><c>, at position 4 (·the)</c>; nothing where it is of every position.</summary>
    public static string Where(this CausalMetric metric, Tokens tokens, int[] ids)
    {
        if (metric.Tokens.Length == 0)
            return "";
        int at = metric.Needed(ids.Length).First;
        return Invariant($", at position {at}") + (tokens[ids[at]] is string piece ? $" ({Tokens.Shown(piece)})" : "");
    }
}
