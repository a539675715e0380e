using Arrakis.Native;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>What a forward pass costs at least, from the shape alone.</summary>
internal static class ModelWork
{
    /// <summary>Floating-point operations of the blocks' matrices for one token.</summary>
    public static double MatrixFlops(LlamaConfig c) =>
        2.0 * c.NumHiddenLayers * c.HiddenSize * (2.0 * (c.NumAttentionHeads + c.NumKeyValueHeads) * c.HeadDim + 3.0 * c.IntermediateSize);

    /// <summary>Of a whole pass: the matrices, scores and mixing of the keys that each query may see, and the logits of the last position.</summary>
    public static double PrefillFlops(LlamaConfig c, int tokens)
    {
        double seen = tokens * (tokens + 1.0) / 2;
        double attention = 4.0 * c.NumHiddenLayers * c.NumAttentionHeads * c.HeadDim * seen;
        return tokens * MatrixFlops(c) + attention + 2.0 * c.VocabSize * c.HiddenSize;
    }

    /// <summary>Bytes of weights that a token reads when it is decoded alone: every matrix of the blocks and the unembedding, once.</summary>
    public static double DecodeBytes(LlamaConfig c, ElementType type) => type.RowBytes((long)(MatrixFlops(c) / 2) + (long)c.VocabSize * c.HiddenSize);

    /// <summary>Bytes of the keys and values of so many positions, each read once.</summary>
    public static double KeyValueBytes(LlamaConfig c, int positions) => 2.0 * sizeof(float) * c.NumHiddenLayers * c.NumKeyValueHeads * c.HeadDim * positions;
}
