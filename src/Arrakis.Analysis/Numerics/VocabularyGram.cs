using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// T = W_Uᵀ W_E [D, D]: what leaving the stream through one token and entering it again through the same amounts to, summed over the vocabulary. One matrix a model,
/// computed when it is first asked for and kept with the model; every head's token-to-token circuit is K×K products with it.
/// </summary>
internal static unsafe class VocabularyGram
{
    private static readonly ConditionalWeakTable<LlamaModel, Built> s_all = new();

    // Tokens at a time: one depth block of the products.
    private const int Chunk = 1024;

    // Rows that are turned around at a time.
    private const int Rows = 16;

    /// <summary>T, pinned.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Threads and kernels.</param>
    /// <param name="progress">Told the part of the vocabulary that is done.</param>
    /// <param name="cancellation">Looked at between chunks of the vocabulary.</param>
    public static float[] Of(LlamaModel model, AnalysisOptions? options, Action<double> progress, CancellationToken cancellation)
    {
        Built built = s_all.GetOrCreateValue(model);
        lock (built.Building)
            return built.Matrix ??= Build(model, options, progress, cancellation);
    }

    private static float[] Build(LlamaModel model, AnalysisOptions? options, Action<double> progress, CancellationToken cancellation)
    {
        int d = model.Config.HiddenSize, vocabulary = model.Config.VocabSize, chunk = Math.Min(Chunk, vocabulary);
        WeightMatrix embedding = model.Weights.Embedding, unembedding = model.Weights.Unembedding;
        float[] sum = GC.AllocateArray<float>(Requirements.Length((long)d * d, "the vocabulary's Gram matrix"), pinned: true);
        using Compute compute = Compute.Rent(model, options, d, chunk, (long)d * (chunk + d + Rows));
        float* left = compute.Take((long)d * chunk), part = compute.Take((long)d * d), widened = compute.Take((long)d * Rows);
        for (int first = 0; first < vocabulary; first += chunk)
        {
            cancellation.ThrowIfCancellationRequested();
            int tokens = Math.Min(chunk, vocabulary - first);
            for (int v = 0; v < tokens; v += Rows)
            {
                int rows = Math.Min(Rows, tokens - v);
                compute.Widen(unembedding, first + v, rows, widened);
                compute.Transpose(widened, d, rows, d, left + v, tokens);
            }

            WeightMatrix right = embedding with { Data = (nint)embedding.Row(first), Rows = tokens };
            compute.Multiply(left, tokens, d, tokens, [new(right, part, d, transposed: true)]);
            TensorPrimitives.Add(sum, new ReadOnlySpan<float>(part, d * d), sum);
            progress((first + tokens) / (double)vocabulary);
        }

        return sum;
    }

    private sealed class Built
    {
        public Lock Building { get; } = new();

        public float[]? Matrix { get; set; }
    }
}
