using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>
/// Everything that the page shows of one run: predictions, attention, what heads write, read and compose with, and what one logit is made of. The numbers are
/// <c>Arrakis.Analysis</c>' own; what is too much for a page is left out, and <see cref="LeftOut"/> says so.
/// </summary>
public sealed class HeadReport
{
    private HeadReport()
    {
    }

    /// <summary>The model's name: of the path that it was loaded from the last part, because the rest tells of the machine and a page is passed on.</summary>
    public required string Model { get; init; }

    /// <summary>The model's shape.</summary>
    public required LlamaConfig Config { get; init; }

    /// <summary>The prompt as text: its tokens one after another, between spaces where they are ids.</summary>
    public required string Prompt { get; init; }

    /// <summary>Every token of the prompt, with what the model predicts after it. [T]</summary>
    public required IReadOnlyList<TokenReport> Tokens { get; init; }

    /// <summary>The patterns of the heads that the page has room for, by layer and head.</summary>
    public required IReadOnlyList<AttentionPattern> Patterns { get; init; }

    /// <summary>The largest |Σ_s A[h, t, s] − 1| over all heads and queries.</summary>
    public required double PatternError { get; init; }

    /// <summary>What every layer's heads write. [L]</summary>
    public required IReadOnlyList<HeadWrites> Writes { get; init; }

    /// <summary>What every layer's heads read of some directions.</summary>
    public required IReadOnlyList<ReadReport> Reads { get; init; }

    /// <summary>Which of <see cref="Reads"/> the page opens with: the dimension that was asked for, or the direction of which any head takes the most.</summary>
    public required int OpenRead { get; init; }

    /// <summary>The strongest pairs of heads of each kind; empty where they were not asked for.</summary>
    public required IReadOnlyList<CompositionReport> Composition { get; init; }

    /// <summary>The logit that is taken apart.</summary>
    public required LogitReport Logit { get; init; }

    /// <summary>The flow to that logit from single positions; the first is the one that the page opens with.</summary>
    public required IReadOnlyList<FlowReport> Flows { get; init; }

    /// <summary>How heads were selected.</summary>
    public required SelectionRule Rule { get; init; }

    /// <summary>The selection's threshold.</summary>
    public required double Threshold { get; init; }

    /// <summary>What was left out to keep the page small, a sentence each.</summary>
    public required IReadOnlyList<string> LeftOut { get; init; }

    /// <summary>What a run must record for a report.</summary>
    public static RecordingPlan Plan { get; } = RecordingPlan.Flow.Union(RecordingPlan.Of(HookPoint.Logits));

    /// <summary>Measures a run.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it from its beginning, recorded with <see cref="Plan"/>.</param>
    /// <param name="options">What to report; null for the defaults.</param>
    /// <param name="progress">Told the part that is done, up to 1.</param>
    /// <param name="cancellation">Looked at between measures.</param>
    /// <exception cref="ArrakisException">
    /// There is no such position, token or dimension, the source comes after the destination, the cache is of another model or lacks a hook point, or the run holds
    /// values that are not finite.
    /// </exception>
    public static HeadReport Measure(
        LlamaModel model, ActivationCache cache, ReportOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(cache);
        options ??= new ReportOptions();
        var stages = new Stages(progress, cancellation);
        var leftOut = new List<string>();
        LlamaConfig c = model.Config;

        HeadWrites[] writes = [.. Enumerable.Range(0, c.NumHiddenLayers).Select(layer => HeadWrites.Measure(model, cache, layer, options.Compute))];
        TokenReport[] tokens = TokenReport.Of(cache, c, options.Label ?? (id => id.ToString(CultureInfo.InvariantCulture)));
        stages.Done(0.1);
        LogitReport logit = LogitReport.Measure(model, cache, tokens, options, cancellation);
        stages.Done(0.2);
        FlowReport[] flows = FlowReport.Measure(model, cache, logit, options, leftOut, stages.Part(0.2, 0.5));
        ReadReport[] reads = ReadReport.Measure(model, cache, tokens, writes, logit, options, leftOut, stages.Part(0.5, 0.7));
        CompositionReport[] composition = CompositionReport.Measure(model, options, leftOut, stages.Part(0.7, 1));
        (AttentionPattern[] patterns, double error) = AttentionPattern.Of(cache, c, flows, writes, leftOut);
        stages.Done(1);
        return new HeadReport
        {
            Model = new DirectoryInfo(model.Name).Name,
            Config = c,
            Prompt = options.Prompt ?? string.Join(options.Label is null ? " " : "", tokens.Select(token => token.Text)),
            Tokens = tokens,
            Patterns = patterns,
            PatternError = error,
            Writes = writes,
            Reads = reads,
            OpenRead = ReadReport.Opening(reads, options),
            Composition = composition,
            Logit = logit,
            Flows = flows,
            Rule = options.Rule,
            Threshold = options.Threshold,
            LeftOut = leftOut,
        };
    }
}
