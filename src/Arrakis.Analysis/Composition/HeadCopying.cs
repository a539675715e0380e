using System.Numerics;
using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Memory;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

/// <summary>
/// Copying scores (Elhage et al. 2021): Σλ / Σ|λ| over the eigenvalues of a head's token-to-token circuit W_E Ŵ_V W_O diag(γ_final) W_U, from −1 to 1. Near 1, to attend
/// to a token raises that token's own logit, whichever it is; near −1, it lowers it. A circuit without eigenvalues other than zero scores 0.
/// </summary>
/// <remarks>
/// The eigenvalues that are not zero are those of the same factors taken around, W_O diag(γ_final) T Ŵ_V (K×K) with T = W_Uᵀ W_E. T is D×D and costs 2·V·D²
/// operations, streamed over the vocabulary: one matrix per model, not one per head; it stays in memory with the model.
/// </remarks>
public static unsafe class HeadCopying
{
    /// <summary>Scores the heads of one layer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="layer">Which layer.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="progress">Told the part that is done, up to 1.</param>
    /// <param name="cancellation">Looked at between chunks of the vocabulary.</param>
    /// <returns>[H]</returns>
    /// <exception cref="ArrakisException">There is no such layer, or a head's circuit is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static double[] Measure(
        LlamaModel model, int layer, AnalysisOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        Requirements.Layer(model.Config, layer);
        return Measure(model, layer, 1, options, progress, cancellation)[0];
    }

    /// <summary>Scores the heads of every layer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="progress">Told the part that is done, up to 1.</param>
    /// <param name="cancellation">Looked at between chunks of the vocabulary, and between layers.</param>
    /// <returns>[L][H]</returns>
    /// <exception cref="ArrakisException">A head's circuit is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static IReadOnlyList<double[]> MeasureAll(
        LlamaModel model, AnalysisOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Measure(model, 0, model.Config.NumHiddenLayers, options, progress, cancellation);
    }

    private static double[][] Measure(
        LlamaModel model, int first, int layers, AnalysisOptions? options, IProgress<double>? progress, CancellationToken cancellation)
    {
        LlamaConfig c = model.Config;
        int k = c.HeadDim, d = c.HiddenSize, kv = c.NumKeyValueHeads * k, q = c.NumAttentionHeads * k;
        // The vocabulary is most of the work of a model whose vocabulary is large; an even division is fair enough for one whose is not.
        float[] gram = VocabularyGram.Of(model, options, part => progress?.Report(part / 2), cancellation);
        using Compute compute = Compute.Rent(model, options, kv, d, (long)kv * 2 * d + (long)k * q);
        float* values = compute.Take((long)kv * d), through = compute.Take((long)kv * d), circuits = compute.Take((long)k * q);
        double[][] scores = new double[layers][];
        for (int i = 0; i < layers; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            ModelGrams.HeadRows(compute, first + i, Projection.Value, values);
            fixed (float* t = gram)
                compute.Multiply(values, d, kv, d, [new(Compute.Matrix(t, d, d, d), through, d)]);
            scores[i] = Score(compute, first + i, through, circuits);
            progress?.Report(0.5 + (i + 1) / (2.0 * layers));
        }

        return scores;
    }

    /// <summary>The scores of a layer's heads, given (T Ŵ_V)ᵀ [G·K, D].</summary>
    private static double[] Score(Compute compute, int layer, float* through, float* circuits)
    {
        LlamaConfig c = compute.Config;
        LlamaWeights weights = compute.Model.Weights;
        int k = c.HeadDim, d = c.HiddenSize, width = c.HeadsPerKeyValueHead * k;
        for (int r = 0; r < c.NumKeyValueHeads * k; r++)
            TensorPrimitives.Multiply(Compute.Row(through, r, d), weights.FinalNorm, Compute.Row(through, r, d));
        for (int g = 0; g < c.NumKeyValueHeads; g++)
        {
            WeightMatrix output = weights.Layers[layer].Output.SliceColumns(g * width, width);
            compute.Multiply(through + (nint)g * k * d, d, k, d, [new(output, circuits + (nint)g * k * width, width, transposed: true)]);
        }

        double[] scores = GC.AllocateUninitializedArray<double>(c.NumAttentionHeads, pinned: true);
        fixed (double* to = scores)
            compute.Run(new Job(c, circuits, to), scores.Length);
        for (int h = 0; h < scores.Length; h++)
        {
            if (double.IsNaN(scores[h]))
                throw new ArrakisException($"the token circuit of head {layer}.{h} is not finite: its weights, or the embedding's, are not or are too large");
        }

        return scores;
    }

    /// <summary>One head an item: its circuit, turned around, which changes no eigenvalue.</summary>
    private readonly struct Job(LlamaConfig c, float* circuits, double* scores) : IJob<Job>
    {
        private readonly int _k = c.HeadDim, _group = c.HeadsPerKeyValueHead;
        private readonly float* _circuits = circuits;
        private readonly double* _scores = scores;

        public static void Run(in Job job, int item, int worker)
        {
            int k = job._k, width = job._group * k;
            (int g, int own) = Math.DivRem(item, job._group);
            float* circuit = job._circuits + (nint)g * k * width + (nint)own * k;
            double[] matrix = new double[k * k];
            double trace = 0, magnitudes = 0;
            for (int r = 0; r < k; r++)
            {
                ReadOnlySpan<float> row = new(circuit + (nint)r * width, k);
                TensorPrimitives.ConvertChecked(row, matrix.AsSpan(r * k, k));
                trace += row[r];
            }

            if (!TensorPrimitives.IsFiniteAll<double>(matrix))
            {
                job._scores[item] = double.NaN;
                return;
            }

            var values = new Complex[k];
            Eigenvalues.Solve(matrix, values);
            foreach (Complex value in values)
                magnitudes += value.Magnitude;
            // Where all eigenvalues have one sign, rounding may leave their sum above that of their magnitudes.
            job._scores[item] = magnitudes == 0 ? 0 : Math.Clamp(trace / magnitudes, -1, 1);
        }
    }
}
