using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>A prompt that ends before the name of who gets the gift.</summary>
/// <param name="Ids">The prompt.</param>
/// <param name="Answer">Who gets it.</param>
/// <param name="Other">Who gives it.</param>
/// <param name="Stranger">A third person who is named; null where there is none.</param>
internal sealed record GiftPrompt(int[] Ids, int Answer, int Other, int? Stranger)
{
    public static GiftPrompt[] Write(int count, ulong seed, ulong stream, Pairs pairs, Vocabulary vocabulary)
    {
        var writer = new TaleWriter(new SeededRandom(seed, stream), pairs, heldOut: true);
        return [.. Enumerable.Range(0, count).Select(_ => Of(writer.GiftPrompt(), vocabulary))];
    }

    private static GiftPrompt Of((List<string> Prompt, string Receiver, string Giver, string? Stranger) gift, Vocabulary vocabulary) => new(
        [Vocabulary.Begin, .. gift.Prompt.Select(word => vocabulary[word])],
        vocabulary[gift.Receiver],
        vocabulary[gift.Giver],
        gift.Stranger is null ? null : vocabulary[gift.Stranger]);
}

/// <summary>Different random words over and over, after BOS.</summary>
/// <param name="Period">How many.</param>
/// <param name="Ids">BOS and the repetitions.</param>
internal sealed record Repeated(int Period, int[] Ids)
{
    public static readonly int[] Periods = [5, 10, 20, 40, 60];

    public static Repeated[] Write(int each, ulong seed, ulong stream, LlamaConfig config)
    {
        var random = new SeededRandom(seed, stream);
        int[] words = [.. Enumerable.Range(Vocabulary.End + 1, config.VocabSize - Vocabulary.End - 1)];
        return [.. Periods.SelectMany(period => Enumerable.Range(0, each).Select(_ => Of(random.PickDistinct(words, period), config.MaxPositionEmbeddings)))];
    }

    private static Repeated Of(int[] words, int length) =>
        new(words.Length, [Vocabulary.Begin, .. Enumerable.Range(0, length - 1).Select(i => words[i % words.Length])]);
}

/// <summary>What a model gets right.</summary>
internal static class Scores
{
    public static readonly SessionOptions OneThread = new() { Threads = 1 };

    /// <summary>Σ −ln p of what follows, and how many tokens that is. Nothing predicts BOS.</summary>
    public static (double Nats, int Tokens) Loss(LlamaSession session, int[] ids)
    {
        session.Forward(ids.AsSpan(0, ids.Length - 1));
        return (LogitRow.Nats(ids.AsSpan(1), session.Cache.Flat(HookPoint.Logits)), ids.Length - 1);
    }

    /// <summary>A tale's first two sentences, and three words more.</summary>
    public static int[] Opening(int[] tale, Vocabulary vocabulary)
    {
        int stop = vocabulary["."];
        return tale[..(Array.IndexOf(tale, stop, Array.IndexOf(tale, stop) + 1) + 4)];
    }

    /// <summary>The prompt and how a model goes on, the likeliest word at a time, to the end of the tale or of the context.</summary>
    public static int[] Complete(LlamaSession session, int[] prompt, int context)
    {
        var ids = new List<int>(prompt);
        ReadOnlySpan<float> logits = session.Forward(prompt);
        while (ids.Count < context && ids[^1] != Vocabulary.End)
        {
            ids.Add(TensorPrimitives.IndexOfMax(logits));
            if (ids.Count < context)
                logits = session.Append([ids[^1]]);
        }

        return [.. ids];
    }

    /// <summary>Shares of prompts in which the receiver beats the giver, and in which the receiver is the first of all words.</summary>
    public static (double OverOther, double First) Gifts(LlamaModel model, IReadOnlyCollection<GiftPrompt> prompts, InterventionPlan? plan = null)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.None, Changed(plan));
        int over = 0, first = 0;
        foreach (GiftPrompt prompt in prompts)
        {
            ReadOnlySpan<float> logits = session.Forward(prompt.Ids);
            over += logits[prompt.Answer] > logits[prompt.Other] ? 1 : 0;
            first += TensorPrimitives.IndexOfMax(logits) == prompt.Answer ? 1 : 0;
        }

        return (over / (double)prompts.Count, first / (double)prompts.Count);
    }

    /// <summary>The share of words from the second period on that are the first guess. The second period's first word, which nothing foretells, is not asked for.</summary>
    public static double Induction(LlamaModel model, IReadOnlyCollection<Repeated> rows, InterventionPlan? plan = null)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Of(HookPoint.Logits), Changed(plan));
        int vocabulary = model.Config.VocabSize;
        int right = 0, asked = 0;
        foreach (Repeated row in rows)
        {
            session.Forward(row.Ids);
            ReadOnlySpan<float> logits = session.Cache.Flat(HookPoint.Logits);
            for (int t = row.Period + 1; t + 1 < row.Ids.Length; t++)
            {
                asked++;
                right += TensorPrimitives.IndexOfMax(logits.Slice(t * vocabulary, vocabulary)) == row.Ids[t + 1] ? 1 : 0;
            }
        }

        return right / (double)asked;
    }

    private static SessionOptions Changed(InterventionPlan? plan) => OneThread with { Interventions = plan ?? InterventionPlan.None };
}
