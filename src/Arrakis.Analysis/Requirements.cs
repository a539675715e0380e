using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>What a measure needs of its arguments, checked before anything is computed.</summary>
internal static class Requirements
{
    /// <summary>Refuses a cache that lacks a hook point, naming the recording that has all that the measure needs.</summary>
    public static void Recorded(ActivationCache cache, string specification, int layer, params ReadOnlySpan<HookPoint> points)
    {
        foreach (HookPoint point in points)
        {
            if (!cache.Contains(point, layer))
                throw new ArrakisException($"{point.Name(layer)} is not recorded: record '{specification}'");
        }
    }

    /// <summary>Refuses a run that an intervention changed at any of these, after which what the weights say is not what happened.</summary>
    public static void Unchanged(ActivationCache cache, int layer, params ReadOnlySpan<HookPoint> points)
    {
        foreach (HookPoint point in points)
        {
            if (cache.Changed.Contains(point.Name(layer)))
                throw new ArrakisException($"an intervention changed {point.Name(layer)} in this run, where this measure follows the weights: measure a run without it");
        }
    }

    /// <summary>Refuses a cache that is of another model, or is empty.</summary>
    public static void Cache(LlamaModel model, ActivationCache cache)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(cache);
        if (cache.Tokens == 0)
            throw new ArrakisException("nothing is recorded yet: run a forward pass first");
        if (cache.FindOther(CacheOrigin.Of(model)) is { } difference)
            throw new ArrakisException($"the cache is not of this model: {difference}");
    }

    /// <summary>Refuses a cache that continues a sequence: patterns there reach back to positions whose activations it does not hold.</summary>
    public static void Whole(ActivationCache cache)
    {
        if (cache.Past > 0)
            throw new ArrakisException($"the cache continues a sequence after {cache.Past} tokens: run the whole sequence with Forward");
    }

    /// <summary>Refuses a result that is not a number, or infinite: it tells nothing, and would hide in whatever is made of it.</summary>
    public static void Finite(ReadOnlySpan<double> results, string what)
    {
        foreach (double result in results)
        {
            if (!double.IsFinite(result))
                throw NotFinite(result, what);
        }
    }

    /// <inheritdoc cref="Finite(ReadOnlySpan{double}, string)"/>
    public static void Finite(ReadOnlySpan<float> results, string what)
    {
        foreach (float result in results)
        {
            if (!float.IsFinite(result))
                throw NotFinite(result, what);
        }
    }

    private static ArrakisException NotFinite(double result, string what) => new(string.Create(
        CultureInfo.InvariantCulture, $"{what} is {result}: the model's weights or activations hold values that are not finite"));

    /// <summary>A length that fits in an array; a file may ask for any.</summary>
    public static int Length(long length, string what) =>
        length <= Array.MaxLength ? (int)length : throw new ArrakisException($"{what} of {length} numbers are more than fit in one array: the model is too large for this measure");

    public static void Layer(LlamaConfig config, int layer)
    {
        if ((uint)layer >= (uint)config.NumHiddenLayers)
            throw new ArrakisException($"layer {layer} is not in the model: use 0 to {config.NumHiddenLayers - 1}");
    }

    public static void Layers(LlamaConfig config, int first, int last)
    {
        Layer(config, first);
        Layer(config, last);
        if (first > last)
            throw new ArrakisException($"layers {first} to {last} run backwards: name the lower one first");
    }

    /// <summary>Refuses a pair of heads of which the first does not come before the second.</summary>
    public static void Below(LlamaConfig config, (int Layer, int Head) from, (int Layer, int Head) to)
    {
        Head(config, from.Layer, from.Head);
        Head(config, to.Layer, to.Head);
        if (from.Layer >= to.Layer)
            throw new ArrakisException($"head {from.Layer}.{from.Head} is not below head {to.Layer}.{to.Head}: what it writes is not in the stream that the other reads");
    }

    public static void Head(LlamaConfig config, int layer, int head)
    {
        Layer(config, layer);
        if ((uint)head >= (uint)config.NumAttentionHeads)
            throw new ArrakisException($"head {head} is not in the model: use 0 to {config.NumAttentionHeads - 1}");
    }

    public static void Token(LlamaConfig config, int id)
    {
        if ((uint)id >= (uint)config.VocabSize)
            throw new ArrakisException($"token id {id} is outside the vocabulary: use 0 to {config.VocabSize - 1}");
    }

    public static void Position(int tokens, int position, string name)
    {
        if ((uint)position >= (uint)tokens)
            throw new ArrakisException($"{name} {position} is not in the input of {tokens} tokens: use 0 to {tokens - 1}");
    }
}
