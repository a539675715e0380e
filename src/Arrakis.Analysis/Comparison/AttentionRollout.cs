using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// Attention rollout (Abnar and Zuidema 2020), for comparison: how much of each position below is mixed into each position above, were every head alike and every layer
/// half attention and half residual. It sees no values, no weights and no signs. Ã = rows to one of (mean over heads of A + I); the product of Ã over a range of layers.
/// </summary>
public sealed class AttentionRollout
{
    private readonly float[] _values;

    private AttentionRollout(int firstLayer, int lastLayer, int tokens, float[] values)
    {
        FirstLayer = firstLayer;
        LastLayer = lastLayer;
        Tokens = tokens;
        _values = values;
        for (int t = 0; t < tokens; t++)
            RowError = Math.Max(RowError, Math.Abs(SumOf(Row(t)) - 1));
    }

    /// <summary>The lowest layer of the product.</summary>
    public int FirstLayer { get; }

    /// <summary>The highest layer of the product; it is in it.</summary>
    public int LastLayer { get; }

    /// <summary>T.</summary>
    public int Tokens { get; }

    /// <summary>[T, T]: [position after the last layer, position before the first]. Zero where the second comes after the first.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The largest |Σ − 1| over the rows: rounding, and nothing else.</summary>
    public double RowError { get; }

    /// <summary>How much of <paramref name="source"/> is mixed into <paramref name="position"/>: 0 to 1.</summary>
    public float this[int position, int source] => Row(position)[source];

    /// <summary>What a position is mixed from: T shares that sum to 1.</summary>
    public ReadOnlySpan<float> Row(int position) => _values.AsSpan(position * Tokens, Tokens);

    /// <summary>Measures a range of layers.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it from its beginning, recorded with at least <c>attn.pattern</c> of these layers.</param>
    /// <param name="firstLayer">The lowest layer.</param>
    /// <param name="lastLayer">The highest layer, included; null for the model's last.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="cancellation">Looked at before every layer.</param>
    /// <exception cref="ArrakisException">There are no such layers, the cache is of another model, continues a sequence or lacks a pattern.</exception>
    public static unsafe AttentionRollout Measure(
        LlamaModel model, ActivationCache cache, int firstLayer = 0, int? lastLayer = null, AnalysisOptions? options = null, CancellationToken cancellation = default)
    {
        Requirements.Cache(model, cache);
        Requirements.Whole(cache);
        int last = lastLayer ?? model.Config.NumHiddenLayers - 1, tokens = cache.Tokens;
        Requirements.Layers(model.Config, firstLayer, last);
        for (int layer = firstLayer; layer <= last; layer++)
            Requirements.Recorded(cache, "heads", layer, HookPoint.Pattern);

        int heads = model.Config.NumAttentionHeads, size = tokens * tokens;
        using Compute compute = Compute.Rent(model, options, tokens, tokens, 3L * size);
        float* mixing = compute.Take(size), product = compute.Take(size), next = compute.Take(size);
        cancellation.ThrowIfCancellationRequested();
        Mixing(cache.Flat(HookPoint.Pattern, firstLayer), heads, tokens, product);
        for (int layer = firstLayer + 1; layer <= last; layer++)
        {
            cancellation.ThrowIfCancellationRequested();
            Mixing(cache.Flat(HookPoint.Pattern, layer), heads, tokens, mixing);
            compute.ProjectBack(mixing, tokens, Compute.Matrix(product, tokens, tokens, tokens), next);
            float* below = product;
            product = next;
            next = below;
        }

        Requirements.Finite(new ReadOnlySpan<float>(product, size), "the rollout");
        return new AttentionRollout(firstLayer, last, tokens, new ReadOnlySpan<float>(product, size).ToArray());
    }

    /// <summary>Ã of a layer, [T, T].</summary>
    private static unsafe void Mixing(ReadOnlySpan<float> pattern, int heads, int tokens, float* mixing)
    {
        Span<float> all = new(mixing, tokens * tokens);
        pattern[..all.Length].CopyTo(all);
        for (int h = 1; h < heads; h++)
            TensorPrimitives.Add(all, pattern.Slice(h * all.Length, all.Length), all);
        for (int t = 0; t < tokens; t++)
        {
            Span<float> row = Compute.Row(mixing, t, tokens);
            TensorPrimitives.Divide(row, heads, row);
            row[t] += 1;
            TensorPrimitives.Divide(row, (float)SumOf(row), row);
        }
    }

    private static double SumOf(ReadOnlySpan<float> row)
    {
        double sum = 0;
        foreach (float value in row)
            sum += value;
        return sum;
    }
}
