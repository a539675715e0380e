using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Copying scores against the double-precision reference, and of heads that are made to copy.</summary>
public sealed class CompositionCopyingTests
{
    // Of 1. The circuit is right to some 1e-6 of its norm, and an eigenvalue to that times its condition, which is dozens for most random matrices of this size.
    private const double Tolerance = 2e-4;

    [Fact]
    public void Equals_the_reference_on_random_models() => RandomShapes.Inputs(1).Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        EqualReference(model, ReferenceWeights.From(model));
    }, iter: 60);

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Equals_the_reference_on_golden_models(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        EqualReference(model, golden.Weights);
    }

    [Fact]
    public void A_vocabulary_of_several_chunks_is_summed_whole()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small with { VocabSize = 2500 }, 3);
        EqualReference(model, ReferenceWeights.From(model));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public void A_head_that_copies_scores_one_and_one_that_suppresses_minus_one(int sign)
    {
        // With W_U = W_Eᵀ and W_O diag(γ_final) = ±Ŵ_Vᵀ the circuit is ±W_E Ŵ_V Ŵ_Vᵀ W_Eᵀ: no eigenvalue of the other sign.
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small with { TieWordEmbeddings = true, NumKeyValueHeads = 4, VocabSize = 80 }, 4);
        LlamaLayer layer = WeightEditing.Layer(model, 1);
        WeightEditing.Change(layer.Output, (r, c, _) => sign * WeightEditing.At(layer.Value, c, r) * layer.AttentionNorm[r] / model.Weights.FinalNorm[r]);
        // Rounding may turn the least eigenvalue's sign: 1e-6 of the whole.
        Assert.All(HeadCopying.Measure(model, 1), score => Close.To(sign, score, 1e-5, "copying"));
        Assert.All(HeadCopying.Measure(model, 1), score => Assert.InRange(score, -1, 1));
    }

    [Fact]
    public void A_head_without_weights_scores_nothing()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 5);
        WeightEditing.Silence(model, 0, 2);
        double[] scores = HeadCopying.Measure(model, 0);
        Assert.Equal(0, scores[2]);
        Assert.All(scores.Where((_, h) => h != 2), score => Assert.NotEqual(0, score));
    }

    [Fact]
    public void Threads_change_no_bit_and_kernels_only_rounding()
    {
        LlamaConfig config = ModelFiles.Small with { HeadDim = 10, HiddenSize = 33 };
        double[][] one = Scores(new() { Threads = 1 });
        Assert.Equal(one, Scores(new() { Threads = 3 }));
        foreach (KernelTier tier in KernelTiers.Supported)
            Close.ToLargest([.. one.SelectMany(s => s)], [.. Scores(new() { Kernels = tier }).SelectMany(s => s)], Tolerance, $"{tier}");

        // A model of its own each time: what the vocabulary sums to is kept with it.
        double[][] Scores(AnalysisOptions options)
        {
            using LlamaModel model = LlamaModel.CreateRandom(config, 6);
            return [.. HeadCopying.MeasureAll(model, options)];
        }
    }

    [Fact]
    public void Tells_its_progress_and_can_be_cancelled()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 7);
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => HeadCopying.MeasureAll(model, cancellation: source.Token));
        var seen = new Seen();
        HeadCopying.MeasureAll(model, progress: seen);
        Assert.Equal([0.5, 0.75, 1], seen.Parts);
        Assert.Throws<OperationCanceledException>(() => HeadCopying.Measure(model, 0, cancellation: source.Token));
    }

    [Fact]
    public void Layers_and_weights_that_have_no_score_are_refused()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 8);
        Assert.StartsWith("layer 2 is not in the model", Assert.Throws<ArrakisException>(() => HeadCopying.Measure(model, 2)).Message, StringComparison.Ordinal);
        WeightEditing.Change(model.Weights.Layers[1].Output, (r, c, v) => (r, c) == (5, 17) ? float.PositiveInfinity : v);
        Assert.StartsWith("the token circuit of head 1.1 is not finite", Assert.Throws<ArrakisException>(() => HeadCopying.MeasureAll(model)).Message, StringComparison.Ordinal);
        Assert.Equal(4, HeadCopying.Measure(model, 0).Length);
    }

    private static void EqualReference(LlamaModel model, ReferenceWeights reference)
    {
        IReadOnlyList<double[]> all = HeadCopying.MeasureAll(model);
        Assert.Equal(model.Config.NumHiddenLayers, all.Count);
        for (int l = 0; l < all.Count; l++)
        {
            Assert.Equal(all[l], HeadCopying.Measure(model, l));
            for (int h = 0; h < all[l].Length; h++)
            {
                Matrix circuit = ReferenceAnalysis.CopyingCircuit(reference, l, h);
                double expected = ReferenceAnalysis.CopyingScore(circuit);
                Close.To(expected, all[l][h], Math.Max(Tolerance, Moves(circuit, expected)), $"head {l}.{h}", 1);
            }
        }
    }

    // The eigenvalues that are zero, of a circuit with fewer tokens or dimensions than the head has, can have a condition of thousands (one random model of several thousand has):
    // as much as the score moves when the circuit does by twice what it is known to.
    private static double Moves(Matrix circuit, double score)
    {
        const double Known = 2e-6;
        double most = 0;
        var random = new Random(1);
        for (int i = 0; i < 4; i++)
        {
            Matrix change = Matrix.Build(circuit.Rows, circuit.Columns, (_, _) => random.NextDouble() - 0.5);
            double scale = Known * circuit.FrobeniusNorm() / change.FrobeniusNorm();
            most = Math.Max(most, Math.Abs(ReferenceAnalysis.CopyingScore(Matrix.Build(circuit.Rows, circuit.Columns, (r, c) => circuit[r, c] + scale * change[r, c])) - score));
        }

        return most;
    }
}
