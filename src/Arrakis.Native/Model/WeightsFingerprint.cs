using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

/// <summary>
/// Tells a model from others, whatever they are called, without reading all of it: SHA-256 over its shape, its norms and, of every matrix, short pieces spread evenly. Training
/// changes a matrix throughout, and so do another seed and another way to store it. A few numbers that were changed by hand may be missed.
/// </summary>
internal static unsafe class WeightsFingerprint
{
    // A page fault each, where the weights are a file's: some thousands for a whole model.
    private const int Pieces = 16, PieceBytes = 64;

    /// <returns>64 lower-case hexadecimal digits. The caller holds the model.</returns>
    public static string Of(LlamaModel model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(Shape(model)));
        LlamaWeights weights = model.Weights;
        foreach (WeightMatrix matrix in new[] { weights.Embedding, weights.Unembedding }.Concat(weights.Layers.SelectMany(layer => layer.Matrices)))
            Add(hash, matrix);
        foreach (float[] norm in weights.Layers.SelectMany(layer => new[] { layer.AttentionNorm, layer.MlpNorm }).Append(weights.FinalNorm))
            hash.AppendData(MemoryMarshal.AsBytes<float>(norm));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>What of the shape decides what the weights compute; the frequencies stand for θ, its scaling and a file's own divisors, as floats because powers of
    /// doubles differ in their last bit between machines.</summary>
    public static string Shape(LlamaModel model)
    {
        LlamaConfig c = model.Config;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"llama {c.VocabSize} {c.HiddenSize} {c.IntermediateSize} {c.NumHiddenLayers} ");
        text.Append(CultureInfo.InvariantCulture, $"{c.NumAttentionHeads} {c.NumKeyValueHeads} {c.HeadDim} {c.RmsNormEps:R} {c.RotaryLayout} {c.TieWordEmbeddings}");
        foreach (double frequency in model.Rotary.Frequencies)
            text.Append(CultureInfo.InvariantCulture, $" {(float)frequency:R}");
        return text.ToString();
    }

    /// <summary>What a matrix is, before its numbers.</summary>
    public static string Shape(WeightMatrix matrix) => string.Create(CultureInfo.InvariantCulture, $"{matrix.Type} {matrix.Rows} {matrix.Columns}");

    private static void Add(IncrementalHash hash, WeightMatrix matrix)
    {
        hash.AppendData(Encoding.UTF8.GetBytes(Shape(matrix)));
        long bytes = (long)matrix.RowBytes * matrix.Rows;
        int piece = (int)Math.Min(PieceBytes, bytes);
        for (int i = 0; i < Pieces; i++)
            hash.AppendData(new ReadOnlySpan<byte>(matrix.Row(0) + (nint)((bytes - piece) * i / (Pieces - 1)), piece));
    }
}
