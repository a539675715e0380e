namespace Arrakis.Analysis;

/// <summary>What becomes of a stream at an MLP while it is traced.</summary>
public enum MlpTreatment
{
    /// <summary>It goes through the MLP, whose SiLU(gate) is frozen at the value of the run: W_down((SiLU(gate)) ∘ W_up ŷ). Flows from all positions add up to the whole.</summary>
    Frozen,

    /// <summary>The MLP passes nothing on; its outputs are sources of their own.</summary>
    Source,
}

/// <summary>What to trace, and how much of it to list.</summary>
public sealed record FlowOptions
{
    /// <summary>a: the flow starts in the residual stream before this layer.</summary>
    public int From { get; init; }

    /// <summary>n: how many layers it passes; it is measured before layer a + n, or after the last.</summary>
    public int Layers { get; init; } = 2;

    /// <summary>Whether it passes through the MLPs.</summary>
    public MlpTreatment Mlp { get; init; } = MlpTreatment.Frozen;

    /// <summary>What it is measured against.</summary>
    public FlowTarget Target { get; init; } = FlowTarget.Residual;

    /// <summary>How many of the strongest paths to list; 0 for none.</summary>
    public int Paths { get; init; } = 10;

    /// <summary>How many of the strongest edges to list; null for all that carry anything.</summary>
    public int? Edges { get; init; } = 200;

    /// <summary>Whether to give the flow from every position as well, and with it the conservation of the whole.</summary>
    public bool AllSources { get; init; }

    /// <summary>
    /// How many beginnings of paths the search keeps at every layer, by what flows over each; null for as many as fit in 16 MB. A search that drops none is
    /// exhaustive, and the trace says which it was.
    /// </summary>
    public int? PathBreadth { get; init; }

    /// <summary>
    /// What starts at the source instead of its whole residual, [D]: the part of it along a direction, say. Empty for the whole. The flows of all sources stay those of
    /// whole residuals.
    /// </summary>
    public ReadOnlyMemory<float> SourceVector { get; init; }

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Compute { get; init; } = new();
}
