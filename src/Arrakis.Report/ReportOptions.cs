using Arrakis.Analysis;

namespace Arrakis.Report;

/// <summary>What a report is about, and how much of it.</summary>
public sealed record ReportOptions
{
    /// <summary>The position whose prediction is taken apart; null for the last.</summary>
    public int? Destination { get; init; }

    /// <summary>The token whose logit there is taken apart; null for the one that the model predicts.</summary>
    public int? Token { get; init; }

    /// <summary>The position whose flow the page opens with; null for the one before the destination that contributes the most.</summary>
    public int? Source { get; init; }

    /// <summary>From how many positions the flow is traced at most, those that contribute the most.</summary>
    public int Traces { get; init; } = 8;

    /// <summary>How many paths of each flow to list.</summary>
    public int Paths { get; init; } = 24;

    /// <summary>Whether flows go through the MLPs, or past them.</summary>
    public MlpTreatment Mlp { get; init; } = MlpTreatment.Frozen;

    /// <summary>The dimension of the residual stream whose readers the page opens with; null for the write of a head.</summary>
    public int? Dimension { get; init; }

    /// <summary>How write and read heads are selected.</summary>
    public SelectionRule Rule { get; init; } = SelectionRule.Share;

    /// <summary>The selection's threshold, in (0, 1].</summary>
    public double Threshold { get; init; } = 0.8;

    /// <summary>Whether pairs of heads are scored for composition: from the weights alone, and the longest part of a report on a large model.</summary>
    public bool Composition { get; init; } = true;

    /// <summary>What a token's id reads as; null for the id itself.</summary>
    public Func<int, string>? Label { get; init; }

    /// <summary>The input as text; null to put the labels one after the other.</summary>
    public string? Prompt { get; init; }

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Compute { get; init; } = new();
}
