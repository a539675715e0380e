using System.Numerics;

namespace Arrakis.Native.Tests.Reference;

/// <summary>Which input of the later head reads the earlier one's write.</summary>
public enum ReferenceKind
{
    Q,
    K,
    V,
}

/// <summary>‖OV₁ M‖ / (‖OV₁‖ ‖M‖); the same times √D, 1 being what random orientation gives; and the most that any orientation could give.</summary>
public sealed record ReferenceComposition(double Score, double Normalized, double Ceiling);

/// <summary>Semantics, section 4 (Elhage et al. 2021), with every D×D matrix written out.</summary>
public static partial class ReferenceAnalysis
{
    /// <summary>
    /// Whether the later head reads what the earlier one writes. M is W_QK for Q, its transpose for K, and the later OV for V.
    /// </summary>
    /// <param name="w">The model.</param>
    /// <param name="from">The earlier head.</param>
    /// <param name="to">The later head.</param>
    /// <param name="kind">The input of the later head.</param>
    /// <param name="offset">δ, query position − key position; Q and K only.</param>
    public static ReferenceComposition Compose(ReferenceWeights w, (int Layer, int Head) from, (int Layer, int Head) to, ReferenceKind kind, int offset = 0)
    {
        Matrix ov = OV(w, from.Layer, from.Head);
        Matrix m = kind switch
        {
            ReferenceKind.Q => QK(w, to.Layer, to.Head, offset),
            ReferenceKind.K => QK(w, to.Layer, to.Head, offset).Transpose(),
            _ => OV(w, to.Layer, to.Head),
        };
        return Compose(ov, m);
    }

    /// <summary>The same for any two D×D matrices.</summary>
    public static ReferenceComposition Compose(Matrix first, Matrix second)
    {
        double norms = first.FrobeniusNorm() * second.FrobeniusNorm();
        double score = (first * second).FrobeniusNorm() / norms;
        // ‖AB‖ is largest where B's strongest inputs are A's strongest outputs: ‖AB‖² ≤ Σ σᵢ²(A) σᵢ²(B).
        double most = Eigen.SquaredSingularValues(first).Zip(Eigen.SquaredSingularValues(second), (a, b) => a * b).Sum();
        return new ReferenceComposition(score, score * Math.Sqrt(first.Columns), Math.Sqrt(most) / norms);
    }

    /// <summary>Ŵ_Q R_δ Ŵ_Kᵀ, D×D: x_t W_QK x_sᵀ / √K is the score of a query δ tokens after its key, for normalised x.</summary>
    public static Matrix QK(ReferenceWeights w, int layer, int head, int offset)
    {
        double[] gamma = w.Layers[layer].Norm1;
        Matrix rotation = ReferenceRotary.Rotation(w.Config, offset, w.RotaryDivisors);
        return w.WQ(layer, head).ScaleRows(gamma) * rotation * w.WK(layer, head).ScaleRows(gamma).Transpose();
    }

    /// <summary>
    /// Σλ / Σ|λ| over the eigenvalues of the token-to-token circuit W_E Ŵ_V W_O diag(γ_final) W_U (V×V); those that are not zero are the eigenvalues of
    /// the same factors taken around, W_O diag(γ_final) W_U W_E Ŵ_V (K×K). 1: every token raises itself.
    /// </summary>
    public static double CopyingScore(ReferenceWeights w, int layer, int head) => CopyingScore(CopyingCircuit(w, layer, head));

    /// <summary>Σλ / Σ|λ| of a circuit that was taken around.</summary>
    public static double CopyingScore(Matrix circuit)
    {
        Complex[] values = Eigen.General(circuit);
        return values.Sum(v => v.Real) / values.Sum(v => v.Magnitude);
    }

    /// <summary>W_O diag(γ_final) W_U W_E Ŵ_V, K×K.</summary>
    public static Matrix CopyingCircuit(ReferenceWeights w, int layer, int head)
    {
        Matrix tokens = w.Unembedding.Transpose() * w.Embedding;
        return w.WO(layer, head).Transpose().ScaleRows(w.FinalNorm).Transpose() * tokens * w.WV(layer, head).ScaleRows(w.Layers[layer].Norm1);
    }
}
