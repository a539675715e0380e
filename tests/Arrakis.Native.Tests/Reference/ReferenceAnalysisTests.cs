using System.Numerics;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The identities of writing, reading, composition and routes, for which the golden files have no field.</summary>
public sealed class ReferenceAnalysisTests
{
    // Double precision; shares divide by a squared norm that may be small beside its parts, hence relative to the largest share.
    private const double Tolerance = 1e-9;

    [Fact]
    public void Shares_add_up_over_heads_and_over_dimensions() => RandomShapes.Inputs(3).Sample(input =>
    {
        ReferenceRun run = Run(input);
        SumsToOne(ReferenceAnalysis.WriteShares(run, 0).Select(share => share[^1]), "write");
        double[][] axes = [.. Enumerable.Range(0, run.Config.HiddenSize).Select(i => Vec.Unit(run.Config.HiddenSize, i))];
        foreach (ReferenceVia via in Enum.GetValues<ReferenceVia>())
            SumsToOne(axes.Select(u => ReferenceAnalysis.ReadShares(run, 0, via, u)[^1][^1]), $"{via}");
        SumsToOne(axes.Select(u => ReferenceAnalysis.PatternWeightedReadShares(run, 0, u)[^1][^1]), "z");
    }, iter: 10);

    [Fact]
    public void Norms_follow_from_small_Gram_matrices() => RandomShapes.Inputs(5).Sample(input =>
    {
        ReferenceRun run = Run(input);
        ReferenceWeights w = run.Weights;
        for (int h = 0; h < run.Config.NumAttentionHeads; h++)
        {
            Matrix v = w.WV(0, h).ScaleRows(w.Layers[0].Norm1), o = w.WO(0, h);
            Matrix gram = o * o.Transpose();
            Close.To(Math.Sqrt(Trace(v.Transpose() * v * gram)), ReferenceAnalysis.OvNorm(w, 0, h), Tolerance, "OV norm");
            double[] z = run.Row("blocks.0.attn.hook_z", 0, h).ToArray();
            Close.To(Math.Sqrt(Vec.Dot(z * gram, z)), ReferenceAnalysis.WriteNorms(run, 0)[h][0], Tolerance, "write norm", 1e-3);
        }
    }, iter: 15);

    [Fact]
    public void Rules_select_by_share_count_or_height()
    {
        double[] strengths = [1, 4, 2, 4, 1];
        Assert.Equal([1, 3, 2], ReferenceAnalysis.Select(strengths, 0.8));
        Assert.Equal([1, 3, 2, 0, 4], ReferenceAnalysis.Select(strengths, 1));
        Assert.Equal([1, 3, 2, 0], ReferenceAnalysis.Select(strengths, 0.8, ReferenceRule.Top));
        Assert.Equal([1], ReferenceAnalysis.Select(strengths, 0.01, ReferenceRule.Top));
        Assert.Equal([1, 3, 2], ReferenceAnalysis.Select(strengths, 0.5, ReferenceRule.Max));
        Assert.Equal([0], ReferenceAnalysis.Select([3, 0, 0], 1));
        foreach (double refused in new[] { 0, -1, 1.0001, double.NaN })
            Assert.Throws<ArgumentOutOfRangeException>(() => ReferenceAnalysis.Select(strengths, refused));
    }

    [Fact]
    public void Composition_lies_below_its_ceiling_and_follows_from_small_products() => RandomShapes.Inputs(1).Sample(input =>
    {
        ReferenceWeights w = ReferenceWeights.Random(input.Config with { NumHiddenLayers = 2 }, input.Seed);
        double[] gamma = w.Layers[1].Norm1;
        Matrix v = w.WV(0, 0).ScaleRows(w.Layers[0].Norm1), o = w.WO(0, 0);
        Matrix r = ReferenceRotary.Rotation(w.Config, 3);
        Matrix q = w.WQ(1, 0).ScaleRows(gamma), k = w.WK(1, 0).ScaleRows(gamma), v2 = w.WV(1, 0).ScaleRows(gamma);
        foreach ((ReferenceKind kind, Matrix left, Matrix right) in new[]
        {
            (ReferenceKind.Q, q, r * k.Transpose()), (ReferenceKind.K, k, r.Transpose() * q.Transpose()), (ReferenceKind.V, v2, w.WO(1, 0)),
        })
        {
            ReferenceComposition c = ReferenceAnalysis.Compose(w, (0, 0), (1, 0), kind, offset: 3);
            // ‖v (o left) right‖² = tr(vᵀv · X · right rightᵀ · Xᵀ) with X = o left, all K×K.
            Matrix x = o * left;
            double squared = Trace(v.Transpose() * v * x * (right * right.Transpose()) * x.Transpose());
            double norms = (v * o).FrobeniusNorm() * (left * right).FrobeniusNorm();
            Close.To(Math.Sqrt(squared) / norms, c.Score, Tolerance, $"{kind}");
            Close.To(c.Score * Math.Sqrt(w.Config.HiddenSize), c.Normalized, Tolerance, "normalised");
            Assert.InRange(c.Score, 0, c.Ceiling * (1 + Tolerance));
            Assert.InRange(c.Ceiling, 0, 1 + Tolerance);
        }
    }, iter: 15);

    [Fact]
    public void A_head_that_reads_exactly_what_is_written_reaches_the_ceiling_and_a_random_one_the_baseline()
    {
        var random = new Random(5);
        Matrix Gaussian(int n) => Matrix.Build(n, n, (_, _) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        Matrix a = Gaussian(12);
        ReferenceComposition aligned = ReferenceAnalysis.Compose(a, a.Transpose());
        Close.To(aligned.Ceiling, aligned.Score, Tolerance, "aligned");

        // E[score²] = 1/D. 200 pairs of Gaussian 12×12: the mean of D·score² has a standard error well under 1%.
        double mean = Enumerable.Range(0, 200).Average(_ => Math.Pow(ReferenceAnalysis.Compose(Gaussian(12), Gaussian(12)).Normalized, 2));
        Close.To(1, mean, 0.03, "D · E[score²]");
    }

    [Fact]
    public void Eigenvalues_of_a_matrix_made_to_have_them()
    {
        // Diagonal 3, −2 and a turn by (1 ± 2i), seen from another basis.
        Matrix d = new(4, 4, [3, 0, 0, 0, 0, -2, 0, 0, 0, 0, 1, 2, 0, 0, -2, 1]);
        Matrix basis = new(4, 4, [1, 2, 0, 1, 0, 1, 3, 0, 0, 0, 1, -1, 0, 0, 0, 1]);
        Matrix inverse = new(4, 4, [1, -2, 6, 5, 0, 1, -3, -3, 0, 0, 1, 1, 0, 0, 0, 1]);
        Close.ToLargest(Matrix.Build(4, 4, (r, c) => r == c ? 1 : 0).Data, (basis * inverse).Data, 1e-15, "the inverse");
        Complex[] values = [.. Eigen.General(basis * d * inverse).OrderBy(v => v.Real).ThenBy(v => v.Imaginary)];
        Complex[] expected = [-2, new(1, -2), new(1, 2), 3];
        Assert.All(values.Zip(expected), pair => Assert.True((pair.First - pair.Second).Magnitude < 1e-10, $"{pair}"));
    }

    [Fact]
    public void Copying_follows_from_the_whole_token_circuit() => RandomShapes.Inputs(1).Sample(input =>
    {
        ReferenceWeights w = ReferenceWeights.Random(input.Config, input.Seed);
        Matrix circuit = w.Embedding * ReferenceAnalysis.OV(w, 0, 0) * w.Unembedding.Transpose().ScaleRows(w.FinalNorm);
        Complex[] values = Eigen.General(circuit);
        Close.To(values.Sum(v => v.Real) / values.Sum(v => v.Magnitude), ReferenceAnalysis.CopyingScore(w, 0, 0), 1e-6, "copying", 1);
    }, iter: 5);

    [Fact]
    public void Routes_and_rollout_share_out_the_whole()
    {
        ReferenceRun run = Golden.Load("gqa-f32").Run();
        ReferenceRouteLayer[] routes = ReferenceAnalysis.Routes(run);
        Matrix rollout = ReferenceAnalysis.AttentionRollout(run);
        for (int t = 0; t < run.Tokens; t++)
        {
            SumsToOne(rollout.Row(t).ToArray(), "rollout");
            foreach (ReferenceRouteLayer layer in routes)
            {
                SumsToOne([layer.Residual[t], .. layer.Attention.SelectMany(head => head[t])], "resid_mid");
                SumsToOne([layer.Mlp[t], layer.Bypass[t]], "resid_post");
            }
        }

        ReferenceRouteEdge[] kept = ReferenceAnalysis.RouteEdges(routes, dst: 10);
        Assert.All(kept, e => Assert.True(e.Weight > 0.04 && e.Key <= e.Query && e.Query <= 10));
        Assert.All(kept.Where(e => e.Layer == 2), e => Assert.Equal(10, e.Query));
        Assert.Empty(ReferenceAnalysis.RouteEdges(routes, dst: 10, tau: 1));
    }

    private static ReferenceRun Run(RandomInput input) => new ReferenceModel(ReferenceWeights.Random(input.Config, input.Seed)).Run(input.Ids);

    private static double Trace(Matrix m) => Enumerable.Range(0, m.Rows).Sum(i => m[i, i]);

    private static void SumsToOne(IEnumerable<double> shares, string what)
    {
        double[] all = [.. shares];
        Close.To(1, all.Sum(), Tolerance, $"Σ {what}", all.Max(Math.Abs));
    }
}
