using System.Numerics.Tensors;

namespace Arrakis.Cli;

/// <summary>Choosing a token from logits.</summary>
internal static class Sampling
{
    /// <summary>The likeliest token at temperature 0, or one that divides by as good as nothing; otherwise one that is drawn.</summary>
    /// <exception cref="Native.ArrakisException">A logit is not finite: there is nothing to choose by.</exception>
    public static int Next(ReadOnlySpan<float> logits, double temperature, double topP, Random random)
    {
        foreach (float logit in logits)
            Json.Finite(logit);
        return float.IsInfinity((float)(1 / temperature)) ? TensorPrimitives.IndexOfMax(logits) : Draw(logits, temperature, topP, random);
    }

    /// <summary>Draws from the shortest run of likeliest tokens whose probabilities add up to <paramref name="topP"/> (Holtzman et al. 2020).</summary>
    private static int Draw(ReadOnlySpan<float> logits, double temperature, double topP, Random random)
    {
        var probabilities = new float[logits.Length];
        Softmax(logits, temperature, probabilities);
        int[] order = Descending(probabilities);
        int kept = 0;
        double mass = 0;
        while (kept < order.Length && (kept == 0 || mass < topP))
            mass += probabilities[order[kept++]];
        double at = random.NextDouble() * mass;
        foreach (int id in order.AsSpan(0, kept))
        {
            at -= probabilities[id];
            if (at < 0)
                return id;
        }

        return order[kept - 1];
    }

    /// <summary>probabilities = softmax(logits / temperature).</summary>
    private static void Softmax(ReadOnlySpan<float> logits, double temperature, Span<float> probabilities)
    {
        TensorPrimitives.Subtract(logits, TensorPrimitives.Max(logits), probabilities);
        TensorPrimitives.Multiply(probabilities, (float)(1 / temperature), probabilities);
        TensorPrimitives.Exp(probabilities, probabilities);
        TensorPrimitives.Divide(probabilities, TensorPrimitives.Sum(probabilities), probabilities);
    }

    /// <summary>Token ids, the largest logit first; ties by the lower id.</summary>
    private static int[] Descending(ReadOnlySpan<float> logits)
    {
        float[] values = logits.ToArray();
        int[] order = [.. Enumerable.Range(0, values.Length)];
        Array.Sort(order, (a, b) => values[a] != values[b] ? values[b].CompareTo(values[a]) : a.CompareTo(b));
        return order;
    }
}
