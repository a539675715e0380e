using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>How an analysis computes. Results do not depend on the threads, and on the kernels only by rounding.</summary>
public sealed record AnalysisOptions
{
    /// <summary>Threads of a measure, the caller's among them; 0 for all cores.</summary>
    public int Threads { get; init; }

    /// <summary>Which instructions.</summary>
    public KernelTier Kernels { get; init; } = KernelTier.Auto;
}
