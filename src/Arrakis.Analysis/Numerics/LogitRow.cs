using System.Numerics.Tensors;

namespace Arrakis.Analysis.Numerics;

/// <summary>One position's logits [V] as what may come next.</summary>
internal static class LogitRow
{
    /// <summary>What makes probabilities of logits, in double.</summary>
    public static Softmax Whole(ReadOnlySpan<float> logits)
    {
        double largest = TensorPrimitives.Max(logits), sum = 0;
        foreach (float logit in logits)
            sum += Math.Exp(logit - largest);
        return new(largest, sum);
    }

    /// <summary>Σ −ln p of what came next, of logits [n, V].</summary>
    public static double Nats(ReadOnlySpan<int> next, ReadOnlySpan<float> logits)
    {
        int vocabulary = logits.Length / next.Length;
        double sum = 0;
        for (int t = 0; t < next.Length; t++)
        {
            ReadOnlySpan<float> row = logits.Slice(t * vocabulary, vocabulary);
            sum += Whole(row).Nats(row[next[t]]);
        }

        return sum;
    }

    /// <summary>How many tokens are likelier; of equals the lower id is.</summary>
    public static int Rank(ReadOnlySpan<float> logits, int id)
    {
        int rank = 0;
        for (int other = 0; other < logits.Length; other++)
            rank += logits[other] > logits[id] || (logits[other] == logits[id] && other < id) ? 1 : 0;
        return rank;
    }

    /// <summary>The ids of the largest, largest first, ties by the lower id.</summary>
    public static int[] Best(ReadOnlySpan<float> logits, int count)
    {
        // The weakest of those kept is at the head of the queue: least logit, then highest id.
        var kept = new PriorityQueue<int, (float Logit, int Before)>();
        for (int id = 0; id < logits.Length; id++)
        {
            if (kept.Count < count)
                kept.Enqueue(id, (logits[id], -id));
            else
                kept.EnqueueDequeue(id, (logits[id], -id));
        }

        int[] best = new int[kept.Count];
        for (int i = best.Length - 1; i >= 0; i--)
            best[i] = kept.Dequeue();
        return best;
    }

    /// <summary>Σ e^x as e^Largest · Sum.</summary>
    public readonly record struct Softmax(double Largest, double Sum)
    {
        /// <summary>p of a logit.</summary>
        public double Of(float logit) => Math.Exp(logit - Largest) / Sum;

        /// <summary>−ln p of a logit.</summary>
        public double Nats(float logit) => Math.Log(Sum) + Largest - logit;
    }
}
