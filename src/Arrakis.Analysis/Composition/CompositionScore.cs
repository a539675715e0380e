namespace Arrakis.Analysis;

/// <summary>Which input of the later head reads what the earlier one writes (Elhage et al. 2021).</summary>
public enum CompositionKind
{
    /// <summary>Its queries: M = W_QK = Ŵ_Q R_δ Ŵ_Kᵀ.</summary>
    Q,

    /// <summary>Its keys: M = W_QKᵀ.</summary>
    K,

    /// <summary>Its values: M = Ŵ_V W_O.</summary>
    V,
}

/// <summary>How much of what an earlier head writes a later one reads, from the weights alone.</summary>
/// <param name="FromLayer">The earlier head's layer.</param>
/// <param name="FromHead">The earlier head.</param>
/// <param name="ToLayer">The later head's layer.</param>
/// <param name="ToHead">The later head.</param>
/// <param name="Score">‖OV₁ M‖_F / (‖OV₁‖_F ‖M‖_F), 0 … 1; 0 where either head's weights are zero.</param>
/// <param name="Normalized">Score · √D: about 1 for heads of random orientation, because E[score²] = 1/D.</param>
/// <param name="Ceiling">
/// The most that any orientation of the two could score, √(Σσᵢ²(OV₁) σᵢ²(M)) / (‖OV₁‖_F ‖M‖_F), each head's singular values largest first. Never below
/// <paramref name="Score"/>; 0 where either head's weights are zero.
/// </param>
public readonly record struct CompositionScore(int FromLayer, int FromHead, int ToLayer, int ToHead, double Score, double Normalized, double Ceiling);
