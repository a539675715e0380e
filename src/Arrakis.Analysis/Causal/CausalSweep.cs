using System.Runtime.ExceptionServices;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// Many interventions over one input, each measured by itself against the run without it. What an intervention cannot reach, the layers below it and the positions
/// before it, is taken from that run and not computed again; the rest of many variants goes through the same products, on several threads.
/// </summary>
/// <remarks>Values equal those of separate passes but for the order of sums. One call at a time.</remarks>
public sealed class CausalSweep : IDisposable
{
    // Rows of all variants that go through a layer together: enough that reading the weights costs little beside the arithmetic, few enough to stay in cache.
    private const int RowsAtOnce = 384;

    // Of a batch's logits, where all of a row are needed.
    private const long LogitsAtOnce = 1 << 24;

    private readonly LlamaSession _session;
    private readonly InterventionPlan _background;
    private readonly AnalysisOptions _options;
    private readonly CacheOrigin _origin;

    /// <summary>Runs the input, unchanged but for what all variants share.</summary>
    /// <param name="model">The model; it stays open until this is disposed.</param>
    /// <param name="ids">The input.</param>
    /// <param name="metric">What is measured.</param>
    /// <param name="background">What holds in every variant and in the run that they are compared with; null for nothing.</param>
    /// <param name="options">Threads and kernels; null for the defaults. Each thread works on variants of its own.</param>
    /// <param name="cancellation">Looked at before every layer.</param>
    /// <exception cref="ArrakisException">The input, the metric or the background do not fit the model.</exception>
    public CausalSweep(
        LlamaModel model, ReadOnlySpan<int> ids, CausalMetric metric, InterventionPlan? background = null, AnalysisOptions? options = null, CancellationToken cancellation = default)
        : this(model, ids, metric, RecordingPlan.None, background, options, cancellation)
    {
    }

    internal CausalSweep(
        LlamaModel model, ReadOnlySpan<int> ids, CausalMetric metric, RecordingPlan more, InterventionPlan? background, AnalysisOptions? options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(metric);
        metric.Check(model.Config, ids.Length);
        (Model, Metric, _background, _options) = (model, metric, background ?? InterventionPlan.None, options ?? new AnalysisOptions());
        _origin = CacheOrigin.Of(model);
        _session = model.CreateSession(BranchPass.Needs.Union(more), SessionOptions(_options) with { Interventions = _background });
        try
        {
            _session.Forward(ids, cancellation);
            Baseline = metric.MeasureRun(ids, _session.Cache.Flat(HookPoint.Logits));
        }
        catch
        {
            _session.Dispose();
            throw;
        }
    }

    /// <summary>The metric without any variant.</summary>
    public double Baseline { get; }

    internal LlamaModel Model { get; }

    internal CausalMetric Metric { get; }

    /// <summary>The run that variants are compared with.</summary>
    internal ActivationCache Cache => _session.Cache;

    /// <summary>Measures every variant.</summary>
    /// <param name="variants">What each changes, in any places; an empty one is the baseline.</param>
    /// <param name="cancellation">Looked at between batches.</param>
    /// <returns>The metric of each.</returns>
    /// <exception cref="ArrakisException">A variant does not fit the model or the input; nothing is run.</exception>
    public double[] Run(IReadOnlyList<InterventionPlan> variants, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(variants);
        double[] values = new double[variants.Count];
        Array.Fill(values, Baseline);
        int tokens = Cache.Tokens;
        Branch[] branches = [.. Enumerable.Range(0, variants.Count).Where(i => !variants[i].IsEmpty)
            .Select(i => new Branch(i, variants[i], _background, _origin, tokens))
            .OrderBy(branch => branch.StartLayer).ThenBy(branch => branch.First)];
        int threads = _options.Threads > 0 ? _options.Threads : Environment.ProcessorCount;
        int rows = RowsOfBatch(branches, threads);
        Branch[][] batches = [.. Batches(branches, rows)];
        try
        {
            Parallel.For(
                0, batches.Length, new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = cancellation },
                () => BranchPass.Create(Model, Cache, Metric, rows, _options),
                (i, _, pass) =>
                {
                    foreach (Branch branch in batches[i])
                        branch.Begin();
                    pass.Run(batches[i], values);
                    foreach (Branch branch in batches[i])
                        branch.End();
                    return pass;
                },
                pass => pass.Dispose());
        }
        catch (AggregateException e)
        {
            // The first of several threads' is as good as any.
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }

        Requirements.Finite(values, Metric.Name);
        return values;
    }

    /// <summary>Gives the memory of the run back.</summary>
    public void Dispose() => _session.Dispose();

    internal static SessionOptions SessionOptions(AnalysisOptions? options) => new() { Threads = options?.Threads ?? 0, Kernels = options?.Kernels ?? KernelTier.Auto };

    // Two batches a thread at least, where there is as much.
    private int RowsOfBatch(Branch[] branches, int threads)
    {
        long all = branches.Sum(branch => (long)RowsOf(branch));
        long most = Metric.Tokens.Length > 0 ? RowsAtOnce : Math.Min(RowsAtOnce, LogitsAtOnce / Model.Config.VocabSize);
        return (int)Math.Max(Cache.Tokens, Math.Min(most, all / (2 * threads) + 1));
    }

    private int RowsOf(Branch branch) => Cache.Tokens - branch.First;

    private IEnumerable<Branch[]> Batches(Branch[] branches, int rows)
    {
        for (int start = 0; start < branches.Length;)
        {
            int end = start, sum = 0;
            while (end < branches.Length && branches[end].StartLayer == branches[start].StartLayer && (sum += RowsOf(branches[end])) <= rows)
                end++;
            yield return branches[start..end];
            start = end;
        }
    }
}
