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

    /// <summary>TinyLlama-1.1B.</summary>
    public static LlamaConfig TinyLlama { get; } = new()
    {
        HiddenSize = 2048,
        IntermediateSize = 5632,
        NumHiddenLayers = 22,
        NumAttentionHeads = 32,
        NumKeyValueHeads = 4,
        HeadDim = 64,
        VocabSize = 32000,
    };

    /// <summary>stories260K of llama2.c.</summary>
    public static LlamaConfig Stories { get; } = new()
    {
        HiddenSize = 64,
        IntermediateSize = 172,
        NumHiddenLayers = 5,
        NumAttentionHeads = 8,
        NumKeyValueHeads = 4,
        HeadDim = 8,
        VocabSize = 512,
        MaxPositionEmbeddings = 512,
        TieWordEmbeddings = true,
    };

    public static int[] Ids(LlamaConfig config, int tokens)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, tokens).Select(_ => random.Next(config.VocabSize))];
    }
}
