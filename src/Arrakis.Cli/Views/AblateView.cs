using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Experiments;
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
/// <param name="metric">What was measured.</param>
/// <param name="kind">What took the heads' place.</param>
/// <param name="ablation">Where the metric is not linear; else null.</param>
/// <param name="attribution">Where it is; else null.</param>
/// <param name="ids">The input.</param>
/// <param name="tokens">What its tokens stand for.</param>
internal sealed class AblateView(CausalMetric metric, AblationKind kind, HeadAblation? ablation, HeadAttribution? attribution, int[] ids, Tokens tokens)
{
    private readonly double _baseline = attribution?.Baseline ?? ablation!.Baseline;
    private readonly AblatedHead[] _heads = attribution is not null ? AblatedHead.Of(attribution) : AblatedHead.Of(ablation!);

    public JsonObject Document(int top)
    {
        var document = new JsonObject
        {
            ["metric"] = metric.Name,
            ["kind"] = kind.Name(),
            ["baseline"] = Json.Number(_baseline),
            ["heads"] = Json.Array(_heads.Take(top).Select(head =>
                ResultJson.Attributed(ResultJson.Without(head.Layer, head.Head, _baseline, head.Effect), head.Direct, head.Frozen))),
            ["correlation"] = attribution is null ? null : ResultJson.Attributed([], attribution.DirectCorrelation, attribution.FrozenCorrelation),
        };
        metric.AddTo(document, tokens, ids);
        return document;
    }

    public void Tables(Terminal terminal, int top)
    {
        terminal.Title($"The {metric.Says(tokens)} with each head {Says(kind)}");
        terminal.Line(Markup.Escape($"With every head in place it is {Share(_baseline)}{metric.Where(tokens, ids)}."));
        // Beside what is attributed, which is what the head brings, stands what goes with it; else what becomes of the metric.
        Table table = attribution is null ? View.Table("<head", "without it", "effect") : View.Table("<head", "without it", "lost", "frozen", "direct");
        foreach (AblatedHead head in _heads.Take(top))
        {
            string[] effects = head is { Direct: { } direct, Frozen: { } frozen } ? [Share(-head.Effect), Share(frozen), Share(direct)] : [Share(head.Effect)];
            table.Row(false, [Invariant($"L{head.Layer}H{head.Head}"), Share(_baseline + head.Effect), .. effects]);
        }

        terminal.Write(table);
        if (top < _heads.Length)
            terminal.Line($"The {top} of {_heads.Length} heads with the largest effect.");
        if (attribution is not null)
        {
            terminal.Line($"Spearman's rank correlation with what is lost: frozen {Rho(attribution.FrozenCorrelation)}, direct {Rho(attribution.DirectCorrelation)}.");
            terminal.Note($"lost: by measurement, everything above answering; frozen: by attribution of {Change(kind)}, patterns, scales and gates held; direct: past the layers above.");
        }

        if (kind == AblationKind.Zero)
            terminal.Note("A head that always writes the same is missed too, by the norms: --kind mean or resample takes away only what depends on the input.");

        terminal.Legend(tokens, ids);
    }

    private static string Rho(double? rho) => rho is { } value ? Share(value) : "-";

    private static string Says(AblationKind kind) => kind switch
    {
        AblationKind.Zero => "zeroed",
        AblationKind.Mean => "at its mean",
        _ => "taken from other inputs",
    };

    private static string Change(AblationKind kind) => kind switch
    {
        AblationKind.Zero => "the head's output",
        AblationKind.Mean => "the head's output less its mean",
        _ => "the head's output less that on other inputs",
    };
}
