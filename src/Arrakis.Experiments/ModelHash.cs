using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Experiments;

/// <summary>
/// What a model is, in 256 bits: SHA-256 over its shape and the hash of every weight as it is stored, in the order of the forward pass. The weights are hashed beside each
/// other, so that it takes about as long as reading them.
/// </summary>
internal static unsafe class ModelHash
{
    // A span holds less than 2 GiB, and a matrix of a large vocabulary more.
    private const int MostBytesAtOnce = 1 << 30;

    /// <returns>64 lower-case hexadecimal digits.</returns>
    public static string Of(LlamaModel model)
    {
        model.Hold();
        try
        {
            LlamaWeights weights = model.Weights;
            var parts = new List<Func<byte[]>> { () => Hash(weights.Embedding) };
            foreach (LlamaLayer w in weights.Layers)
            {
                parts.AddRange(
                    () => Hash(w.AttentionNorm), () => Hash(w.Query), () => Hash(w.Key), () => Hash(w.Value), () => Hash(w.Output),
                    () => Hash(w.MlpNorm), () => Hash(w.Gate), () => Hash(w.Up), () => Hash(w.Down));
            }

            parts.Add(() => Hash(weights.FinalNorm));
            if (!model.Config.TieWordEmbeddings)
                parts.Add(() => Hash(weights.Unembedding));

            var hashes = new byte[parts.Count][];
            Parallel.For(0, parts.Count, i => hashes[i] = parts[i]());
            using var whole = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            whole.AppendData(Encoding.UTF8.GetBytes(WeightsFingerprint.Shape(model)));
            foreach (byte[] hash in hashes)
                whole.AppendData(hash);
            return Convert.ToHexStringLower(whole.GetHashAndReset());
        }
        finally
        {
            model.Release();
        }
    }

    private static byte[] Hash(float[] norm) => SHA256.HashData(MemoryMarshal.AsBytes<float>(norm));

    private static byte[] Hash(WeightMatrix matrix)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(WeightsFingerprint.Shape(matrix)));
        long bytes = (long)matrix.RowBytes * matrix.Rows;
        for (long at = 0; at < bytes; at += MostBytesAtOnce)
            hash.AppendData(new ReadOnlySpan<byte>(matrix.Row(0) + at, (int)Math.Min(MostBytesAtOnce, bytes - at)));
        return hash.GetHashAndReset();
    }
}
