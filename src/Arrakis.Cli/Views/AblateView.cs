using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

/// <summary>A head without which a metric was measured; what is attributed to it, where the metric is linear.</summary>
internal readonly record struct AblatedHead(int Layer, int Head, double Effect, double? Direct, double? Frozen)
{
    /// <summary>Of every head, the largest effect first.</summary>
    public static AblatedHead[] Of(HeadAttribution attribution) =>
        [.. attribution.Heads.Select(h => new AblatedHead(h.Layer, h.Head, -h.Measured, h.Direct, h.Frozen)).OrderByDescending(h => Math.Abs(h.Effect))];

    /// <inheritdoc cref="Of(HeadAttribution)"/>
    public static AblatedHead[] Of(HeadAblation ablation) =>
        [.. ablation.Strongest().Select(h => new AblatedHead(h.Layer, h.Head, ablation.Effect(h.Layer, h.Head), null, null))];
}

/// <summary>What taking heads away does.</summary>
internal static class AblateView
{
    public static JsonObject Document(CausalMetric metric, AblationKind kind, double baseline, AblatedHead[] heads, HeadAttribution? attribution, int top) => new()
    {
        ["metric"] = metric.Name,
        ["kind"] = Name(kind),
        ["baseline"] = Json.Number(baseline),
        ["heads"] = Json.Array(heads.Take(top).Select(head => new JsonObject
        {
            ["layer"] = head.Layer,
            ["head"] = head.Head,
            ["value"] = Json.Number(baseline + head.Effect),
            ["effect"] = Json.Number(head.Effect),
            ["direct"] = head.Direct is { } direct ? Json.Number(direct) : null,
            ["frozen"] = head.Frozen is { } frozen ? Json.Number(frozen) : null,
        })),
        ["correlation"] = attribution is null ? null : new JsonObject
        {
            ["direct"] = attribution.DirectCorrelation is { } direct ? Json.Number(direct) : null,
            ["frozen"] = attribution.FrozenCorrelation is { } frozen ? Json.Number(frozen) : null,
        },
    };

    public static void Tables(Terminal terminal, CausalMetric metric, AblationKind kind, double baseline, AblatedHead[] heads, HeadAttribution? attribution, int top)
    {
        terminal.Title($"The {metric.Name} with each head {Says(kind)}");
        terminal.Line($"With every head in place it is {Share(baseline)}.");
        Table table = attribution is null ? View.Table("<head", "without it", "effect") : View.Table("<head", "without it", "effect", "direct", "frozen");
        foreach (AblatedHead head in heads.Take(top))
        {
            string[] attributed = head is { Direct: { } direct, Frozen: { } frozen } ? [Share(direct), Share(frozen)] : [];
            table.Row(false, [Invariant($"L{head.Layer}H{head.Head}"), Share(baseline + head.Effect), Share(head.Effect), .. attributed]);
        }

        terminal.Write(table);
        if (top < heads.Length)
            terminal.Line($"The {top} of {heads.Length} heads with the largest effect.");
        if (attribution is null)
            return;
        terminal.Line($"Spearman's rank correlation with what is lost: direct {Rho(attribution.DirectCorrelation)}, frozen {Rho(attribution.FrozenCorrelation)}.");
        terminal.Note("direct: what the head adds by itself; frozen: through the layers above too, as they ran.");
    }

    private static string Rho(double? rho) => rho is { } value ? Share(value) : "-";

    private static string Name(AblationKind kind) => kind switch
    {
        AblationKind.Zero => "zero",
        AblationKind.Mean => "mean",
        _ => "resample",
    };

    private static string Says(AblationKind kind) => kind switch
    {
        AblationKind.Zero => "zeroed",
        AblationKind.Mean => "at its mean",
        _ => "taken from other inputs",
    };
}
