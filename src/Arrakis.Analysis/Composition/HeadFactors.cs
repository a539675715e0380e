using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Memory;

namespace Arrakis.Analysis;

/// <summary>Heads of one layer: all of them, or one.</summary>
internal readonly record struct HeadRange(int Layer, int First, int Count);

/// <summary>A product X Y of two D×K matrices' kind, of which X is known by its Gram matrix alone, and turned by a rotation or not.</summary>
/// <param name="Factor">Whose Gram matrix is taken apart.</param>
/// <param name="Other">Whose Gram matrix is weighed with it.</param>
/// <param name="Turn">Positions by which the factor's rows are turned.</param>
internal readonly record struct Circuit(Projection Factor, Projection Other, long Turn)
{
    /// <summary>OV₁ = Ŵ_V W_O as what follows it sees it: through a factor of W_V's Gram matrix.</summary>
    public static Circuit Written => new(Projection.Value, Projection.Output, 0);

    /// <summary>
    /// M as what precedes it sees it: <see cref="Other"/> is the side that reads. Q: Ŵ_Q (R_δ F_Kᵀ) with F_KᵀF_K = Ŵ_KᵀŴ_K, so the rows of F_K are turned back by δ,
    /// because x R_δ is x turned by δ. K: the transpose, so F_Q's rows are turned on by it. V: Ŵ_V F_Oᵀ.
    /// </summary>
    public static Circuit Read(CompositionKind kind, int offset) => kind switch
    {
        CompositionKind.Q => new(Projection.Key, Projection.Query, -(long)offset),
        CompositionKind.K => new(Projection.Query, Projection.Key, offset),
        CompositionKind.V => new(Projection.Output, Projection.Value, 0),
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };
}

/// <summary>
/// One side of a composition, of every head in a range: a K×K factor F of its outer weight's Gram matrix, so that ‖X F‖ is the norm of X times the D×K weight
/// itself, and the circuit's squared singular values. Both are of the circuit scaled to ‖·‖_F = 1, or zero where the weights are.
/// </summary>
internal sealed unsafe class HeadFactors
{
    private readonly int _k;

    private HeadFactors(int heads, int k)
    {
        _k = k;
        Rows = GC.AllocateUninitializedArray<float>(Requirements.Length((long)heads * k * k, "factors"), pinned: true);
        Spectra = GC.AllocateUninitializedArray<double>(heads * k, pinned: true);
    }

    /// <summary>F [heads, K, K], pinned.</summary>
    public float[] Rows { get; }

    private double[] Spectra { get; }

    /// <summary>σ² of one head, largest first; they sum to 1, or are all zero. [K]</summary>
    public ReadOnlySpan<double> Spectrum(int head) => Spectra.AsSpan(head * _k, _k);

    /// <exception cref="ArrakisException">The weights of a head are not finite, or too large to be squared.</exception>
    public static HeadFactors Of(Compute compute, HeadRange heads, Circuit circuit)
    {
        LlamaConfig c = compute.Config;
        ModelGrams grams = ModelGrams.Of(compute.Model);
        float[] factor = grams.Get(compute, heads.Layer, circuit.Factor), other = grams.Get(compute, heads.Layer, circuit.Other);
        double[] turns = GC.AllocateUninitializedArray<double>(c.HeadDim, pinned: true);
        Turns.Fill(turns, circuit.Turn, compute.Model.Rotary.Frequencies);
        var made = new HeadFactors(heads.Count, c.HeadDim);
        fixed (float* f = factor, o = other, rows = made.Rows)
        fixed (double* turn = turns, spectra = made.Spectra)
        {
            var job = new Job(c, heads.First, f, PerGram(c, circuit.Factor), o, PerGram(c, circuit.Other), circuit.Turn == 0 ? null : turn, rows, spectra);
            compute.Run(job, heads.Count);
        }

        for (int h = 0; h < heads.Count; h++)
        {
            if (!double.IsFinite(made.Spectrum(h)[0]))
                throw new ArrakisException($"head {heads.Layer}.{heads.First + h} has weights that are not finite, or too large to be squared: it has no norm");
        }

        return made;
    }

    private static int PerGram(LlamaConfig c, Projection projection) => c.NumAttentionHeads / ModelGrams.Heads(c, projection);

    /// <summary>One head an item.</summary>
    private readonly struct Job(
        LlamaConfig c, int first, float* factor, int perFactor, float* other, int perOther, double* turns, float* rows, double* spectra) : IJob<Job>
    {
        private readonly int _k = c.HeadDim, _first = first, _perFactor = perFactor, _perOther = perOther;
        private readonly RotaryLayout _layout = c.RotaryLayout;
        private readonly float* _factor = factor, _other = other, _rows = rows;
        private readonly double* _turns = turns, _spectra = spectra;

        public static void Run(in Job job, int item, int worker)
        {
            int k = job._k, size = k * k, head = job._first + item;
            var gram = new ReadOnlySpan<float>(job._factor + (nint)(head / job._perFactor) * size, size);
            var other = new ReadOnlySpan<float>(job._other + (nint)(head / job._perOther) * size, size);
            var rows = new Span<float>(job._rows + (nint)item * size, size);
            var spectrum = new Span<double>(job._spectra + (nint)item * k, k);
            double[] factor = new double[size];
            if (!TensorPrimitives.IsFiniteAll(gram) || !TensorPrimitives.IsFiniteAll(other))
            {
                spectrum.Fill(double.NaN);
                return;
            }

            GramFactor.Compute(gram, factor);
            for (int r = 0; r < k && job._turns != null; r++)
                Turns.Apply(factor.AsSpan(r * k, k), new ReadOnlySpan<double>(job._turns, k), job._layout);
            SymmetricEigenvalues.Solve(Weigh(factor, other, k), spectrum);
            // Rounding may take a square of nothing below zero.
            TensorPrimitives.Max(spectrum, 0, spectrum);
            double square = TensorPrimitives.Sum<double>(spectrum), scale = square > 0 ? 1 / Math.Sqrt(square) : 0;
            TensorPrimitives.Multiply(spectrum, square > 0 ? 1 / square : 0, spectrum);
            for (int i = 0; i < size; i++)
                rows[i] = (float)(factor[i] * scale);
        }

        /// <summary>F M Fᵀ: for FᵀF and M the Gram matrices of two weights, its eigenvalues are σ² of their product.</summary>
        private static double[] Weigh(double[] factor, ReadOnlySpan<float> gram, int k)
        {
            double[] wide = new double[k * k], weighed = new double[k * k], product = new double[k];
            TensorPrimitives.ConvertChecked(gram, wide);
            for (int r = 0; r < k; r++)
            {
                Array.Clear(product);
                for (int i = 0; i < k; i++)
                    TensorPrimitives.MultiplyAdd(wide.AsSpan(i * k, k), factor[r * k + i], product, product);
                for (int j = 0; j < k; j++)
                    weighed[r * k + j] = TensorPrimitives.Dot<double>(product, factor.AsSpan(j * k, k));
            }

            return weighed;
        }
    }
}
