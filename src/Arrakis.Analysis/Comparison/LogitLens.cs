using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Kernels;

namespace Arrakis.Analysis;

/// <summary>A token that may come next.</summary>
/// <param name="Token">Its id.</param>
/// <param name="Logit">Its logit.</param>
/// <param name="Probability">The softmax of the logits over the vocabulary: 0 to 1.</param>
public readonly record struct LogitCandidate(int Token, double Logit, double Probability);

/// <summary>What the stream would predict at one place, were the layers above not there.</summary>
/// <param name="Layer">The layer that the stream is before; L for the stream after the last layer, which is what the model predicts.</param>
/// <param name="Top">The likeliest tokens, best first, ties by the lower id.</param>
/// <param name="Chosen">The token that was asked about.</param>
/// <param name="Rank">How many tokens come before it: 0 for the likeliest.</param>
public sealed record LogitLensRow(int Layer, IReadOnlyList<LogitCandidate> Top, LogitCandidate Chosen, int Rank);

/// <summary>
/// The logit lens (nostalgebraist 2020): the residual stream of one position before every layer and after the last, each through the final norm, with a scale of its
/// own √(mean x² + ε), and the unembedding.
/// </summary>
public sealed class LogitLens
{
    private readonly LogitLensRow[] _rows;

    private LogitLens(int position, LogitLensRow[] rows, double? logitError)
    {
        Position = position;
        _rows = rows;
        LogitError = logitError;
    }

    /// <summary>The position.</summary>
    public int Position { get; }

    /// <summary>One before every layer, and one after the last. [L + 1]</summary>
    public IReadOnlyList<LogitLensRow> Rows => _rows;

    /// <summary>The largest difference of the last row's logits from the run's, relative to the largest of those: rounding. Null where the run's are not recorded.</summary>
    public double? LogitError { get; }

    /// <summary>Measures one position.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it, recorded with at least <c>flow</c>, or <c>resid_pre</c> and <c>resid_post</c>.</param>
    /// <param name="position">Which position of the pass.</param>
    /// <param name="top">How many candidates to list, at least 1; all tokens where there are fewer.</param>
    /// <param name="token">The token whose rank and logit to follow; null for what the model predicts in the end.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="cancellation">Looked at before every layer, and before the logits of all of them.</param>
    /// <exception cref="ArrakisException">There is no such position or token, <paramref name="top"/> is below 1, the cache is of another model or lacks a hook point.</exception>
    public static unsafe LogitLens Measure(
        LlamaModel model, ActivationCache cache, int position, int top = 5, int? token = null, AnalysisOptions? options = null, CancellationToken cancellation = default)
    {
        Requirements.Cache(model, cache);
        Requirements.Position(cache.Tokens, position, "position");
        LlamaConfig c = model.Config;
        if (token is int id)
            Requirements.Token(c, id);
        if (top < 1)
            throw new ArrakisException($"{top} candidates: use at least 1");
        int rows = c.NumHiddenLayers + 1, d = c.HiddenSize, v = c.VocabSize;
        for (int b = 0; b < rows; b++)
            Residuals.RequireStream(c, cache, b);

        using Compute compute = Compute.Rent(model, options, rows, Residuals.Depth(c), Residuals.Floats(c, 1) + (long)rows * (d + v));
        float* x = compute.Take((long)rows * d), logits = compute.Take((long)rows * v);
        Normalize(compute, new Residuals(compute, cache, 1), position, x, cancellation);
        cancellation.ThrowIfCancellationRequested();
        compute.Project(x, rows, model.Weights.Unembedding, logits);

        Requirements.Finite(new ReadOnlySpan<float>(logits, checked(rows * v)), "a logit");
        int chosen = token ?? TensorPrimitives.IndexOfMax(Compute.Row(logits, rows - 1, v));
        var lens = new LogitLensRow[rows];
        for (int b = 0; b < rows; b++)
            lens[b] = RowOf(b, Compute.Row(logits, b, v), top, chosen);
        double? error = cache.Contains(HookPoint.Logits)
            ? Difference(cache.Flat(HookPoint.Logits).Slice(position * v, v), Compute.Row(logits, rows - 1, v))
            : null;
        return new LogitLens(position, lens, error);
    }

    /// <summary>Every boundary's row of the position through the final norm, [L + 1, D].</summary>
    private static unsafe void Normalize(Compute compute, Residuals residuals, int position, float* x, CancellationToken cancellation)
    {
        LlamaConfig c = compute.Config;
        fixed (float* gamma = compute.Model.Weights.FinalNorm)
        {
            for (int b = 0; b <= c.NumHiddenLayers; b++)
            {
                cancellation.ThrowIfCancellationRequested();
                float* row = x + (nint)b * c.HiddenSize;
                residuals.Stream(b, [position], row);
                RowOperations.Normalize(row, row, c.HiddenSize, c.RmsNormEps);
                RowOperations.Multiply(row, gamma, row, c.HiddenSize);
            }
        }
    }

    private static LogitLensRow RowOf(int layer, ReadOnlySpan<float> logits, int top, int chosen)
    {
        LogitRow.Softmax whole = LogitRow.Whole(logits);
        int[] best = LogitRow.Best(logits, top);
        var candidates = new LogitCandidate[best.Length];
        for (int i = 0; i < best.Length; i++)
            candidates[i] = Candidate(best[i], logits[best[i]], whole);
        return new LogitLensRow(layer, candidates, Candidate(chosen, logits[chosen], whole), LogitRow.Rank(logits, chosen));
    }

    private static LogitCandidate Candidate(int id, float logit, LogitRow.Softmax whole) => new(id, logit, whole.Of(logit));

    private static double Difference(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        double largest = 0, difference = 0;
        for (int id = 0; id < expected.Length; id++)
        {
            largest = Math.Max(largest, Math.Abs(expected[id]));
            difference = Math.Max(difference, Math.Abs((double)expected[id] - actual[id]));
        }

        return difference == 0 ? 0 : difference / largest;
    }
}
