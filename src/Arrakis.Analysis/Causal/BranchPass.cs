using Arrakis.Native;
using Arrakis.Native.Kernels;

namespace Arrakis.Analysis;

/// <summary>
/// Runs variants of one recorded run together, from the first layer that any of them changes and only at the positions that are no longer the run's: the rows of all
/// variants go through one product, so that weights are read once for all.
/// </summary>
internal abstract class BranchPass : IDisposable
{
    /// <summary>What the run must have recorded.</summary>
    public static RecordingPlan Needs { get; } =
        RecordingPlan.Of(HookPoint.ResidPre, HookPoint.RotQ, HookPoint.RotK, HookPoint.V, HookPoint.Z, HookPoint.ResidPost, HookPoint.Logits);

    /// <param name="model">The model.</param>
    /// <param name="run">A session's run of it from position 0, recorded with <see cref="Needs"/>; not changed meanwhile.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="rows">The most rows of all variants of a batch, at least T.</param>
    /// <param name="options">Kernels.</param>
    public static BranchPass Create(LlamaModel model, ActivationCache run, CausalMetric metric, int rows, AnalysisOptions options) => KernelTiers.Resolve(options.Kernels) switch
    {
        KernelTier.Scalar => new BranchPass<ScalarKernels>(model, run, metric, rows, options),
        KernelTier.Vector => new BranchPass<VectorKernels>(model, run, metric, rows, options),
        KernelTier.Avx2 => new BranchPass<Avx2Kernels>(model, run, metric, rows, options),
        KernelTier.Avx512 => new BranchPass<Avx512Kernels>(model, run, metric, rows, options),
        var tier => throw new InvalidOperationException($"no kernels for tier {tier}"),
    };

    /// <summary>Measures every variant of a batch; all start in the same layer, and their rows from their first position to the last are no more than those of the pass.</summary>
    /// <param name="batch">The variants.</param>
    /// <param name="values">The metric of each, at its index.</param>
    public abstract void Run(ReadOnlySpan<Branch> batch, Span<double> values);

    public abstract void Dispose();
}
