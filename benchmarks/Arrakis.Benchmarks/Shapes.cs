using Arrakis.Native;

namespace Arrakis.Benchmarks;

/// <summary>Shapes of known models.</summary>
internal static class Shapes
{
    /// <summary>SmolLM-135M, with as many layers as asked for: the work of a layer does not depend on their number, the memory does.</summary>
    public static LlamaConfig SmolLM(int layers = 30) => new()
    {
        HiddenSize = 576,
        IntermediateSize = 1536,
        NumHiddenLayers = layers,
        NumAttentionHeads = 9,
        NumKeyValueHeads = 3,
        HeadDim = 64,
        VocabSize = 49152,
        TieWordEmbeddings = true,
    };

    public static int[] Ids(LlamaConfig config, int tokens)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, tokens).Select(_ => random.Next(config.VocabSize))];
    }
}
