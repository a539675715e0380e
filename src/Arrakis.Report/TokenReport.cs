using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>A token that may come next.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Text">What it reads as.</param>
/// <param name="Logit">Its logit.</param>
/// <param name="Probability">The softmax of the logits over the vocabulary.</param>
/// <param name="Rank">How many tokens are likelier; of equal ones, how many come before it by id.</param>
public readonly record struct TokenCandidate(int Id, string Text, double Logit, double Probability, int Rank);

/// <summary>A token of the prompt, and what the model predicts after it.</summary>
/// <param name="Position">Where it stands, from 0.</param>
/// <param name="Id">Its id.</param>
/// <param name="Text">What it reads as.</param>
/// <param name="Top">The likeliest next tokens, likeliest first.</param>
/// <param name="Next">The token that does come next in the prompt; null for the last.</param>
public sealed record TokenReport(int Position, int Id, string Text, IReadOnlyList<TokenCandidate> Top, TokenCandidate? Next)
{
    private const int Candidates = 5;

    internal static TokenReport[] Of(ActivationCache cache, LlamaConfig config, Func<int, string> label)
    {
        ReadOnlySpan<float> logits = cache.Flat(HookPoint.Logits);
        var tokens = new TokenReport[cache.Tokens];
        for (int t = 0; t < tokens.Length; t++)
        {
            ReadOnlySpan<float> row = logits.Slice(t * config.VocabSize, config.VocabSize);
            if (!TensorPrimitives.IsFiniteAll(row))
                throw new ArrakisException($"the logits at position {t} are not finite: the model's weights or activations hold values that are not");
            LogitRow.Softmax whole = LogitRow.Whole(row);
            int[] best = LogitRow.Best(row, Candidates);
            var top = new TokenCandidate[best.Length];
            for (int rank = 0; rank < top.Length; rank++)
                top[rank] = Candidate(row, whole, best[rank], rank, label);
            TokenCandidate? next = t + 1 < tokens.Length ? Candidate(row, whole, cache.Ids[t + 1], LogitRow.Rank(row, cache.Ids[t + 1]), label) : null;
            tokens[t] = new TokenReport(t, cache.Ids[t], label(cache.Ids[t]), top, next);
        }

        return tokens;
    }

    /// <summary>One token as what may come after a position.</summary>
    internal static TokenCandidate Of(ActivationCache cache, LlamaConfig config, int position, int id, Func<int, string> label)
    {
        ReadOnlySpan<float> row = cache.Flat(HookPoint.Logits).Slice(position * config.VocabSize, config.VocabSize);
        return Candidate(row, LogitRow.Whole(row), id, LogitRow.Rank(row, id), label);
    }

    private static TokenCandidate Candidate(ReadOnlySpan<float> row, LogitRow.Softmax whole, int id, int rank, Func<int, string> label) =>
        new(id, label(id), row[id], whole.Of(row[id]), rank);
}
