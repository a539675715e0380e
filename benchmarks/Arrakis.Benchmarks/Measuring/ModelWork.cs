using Arrakis.Native;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>What a forward pass costs at least, from the shape alone.</summary>
internal static class ModelWork
{
    /// <summary>Floating-point operations of the blocks' matrices for one token.</summary>
    public static double MatrixFlops(LlamaConfig c) => c.NumHiddenLayers * BlockFlops(c);

    /// <summary>
    /// Of a pass for the last token's logits: the matrices, scores and mixing of the keys that each query may see, and those logits. In the last block, the other tokens need
    /// keys and values alone.
    /// </summary>
    public static double PrefillFlops(LlamaConfig c, int tokens)
    {
        double keysAndValues = 4.0 * c.HiddenSize * c.NumKeyValueHeads * c.HeadDim;
        double matrices = tokens * ((c.NumHiddenLayers - 1) * BlockFlops(c) + keysAndValues) + BlockFlops(c) - keysAndValues;
        double seen = (c.NumHiddenLayers - 1) * tokens * (tokens + 1.0) / 2 + tokens;
        return matrices + AttentionFlops(c) * seen + 2.0 * c.VocabSize * c.HiddenSize;
    }

    /// <summary>The same where all tokens go through all blocks.</summary>
    public static double WholePrefillFlops(LlamaConfig c, int tokens) =>
        tokens * MatrixFlops(c) + AttentionFlops(c) * c.NumHiddenLayers * tokens * (tokens + 1.0) / 2 + 2.0 * c.VocabSize * c.HiddenSize;

    private static double BlockFlops(LlamaConfig c) => 2.0 * c.HiddenSize * (2.0 * (c.NumAttentionHeads + c.NumKeyValueHeads) * c.HeadDim + 3.0 * c.IntermediateSize);

    // Of a query and a key: its score and its share of the mixture, in all heads.
    private static double AttentionFlops(LlamaConfig c) => 4.0 * c.NumAttentionHeads * c.HeadDim;

    /// <summary>Bytes of weights that a token reads when it is decoded alone: every matrix of the blocks and the unembedding, once.</summary>
    public static double DecodeBytes(LlamaConfig c, ElementType type) => type.RowBytes((long)(MatrixFlops(c) / 2) + (long)c.VocabSize * c.HiddenSize);

    /// <summary>Bytes of the keys and values of so many positions, each read once.</summary>
    public static double KeyValueBytes(LlamaConfig c, int positions) => 2.0 * sizeof(float) * c.NumHiddenLayers * c.NumKeyValueHeads * c.HeadDim * positions;
}
