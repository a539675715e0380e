using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>The inputs through which a head reads the residual stream.</summary>
[Flags]
public enum HeadInputs
{
    /// <summary>Queries.</summary>
    Q = 1,

    /// <summary>Keys, of the head's kv head.</summary>
    K = 2,

    /// <summary>Values, of the head's kv head.</summary>
    V = 4,

    /// <summary>All three.</summary>
    All = Q | K | V,
}

/// <summary>What every head of a layer reads of a direction of the residual stream before the layer.</summary>
public sealed partial class HeadReads
{
    private readonly double[][] _weights;
    private readonly float[][] _shares;
    private readonly double[] _strengths;

    private HeadReads(int layer, ReadDirection direction, HeadInputs inputs, int tokens, double[][] weights, float[][] shares, double shareError)
    {
        Layer = layer;
        Direction = direction;
        Inputs = inputs;
        Tokens = tokens;
        ShareError = shareError;
        _weights = weights;
        _shares = shares;
        _strengths = new double[weights[0].Length];
        for (int h = 0; h < _strengths.Length; h++)
        {
            double sum = 0;
            for (int i = 0; i < 3; i++)
                sum += inputs.HasFlag((HeadInputs)(1 << i)) ? weights[i][h] * weights[i][h] : 0;
            _strengths[h] = Math.Sqrt(sum);
        }
    }

    /// <summary>The layer.</summary>
    public int Layer { get; }

    /// <summary>What was asked for.</summary>
    public ReadDirection Direction { get; }

    /// <summary>Which inputs count into the strength.</summary>
    public HeadInputs Inputs { get; }

    /// <summary>H.</summary>
    public int Heads => _strengths.Length;

    /// <summary>T; 0 where there is no input.</summary>
    public int Tokens { get; }

    /// <summary>√(q² + k² + v²) over the chosen inputs. [H]</summary>
    public ReadOnlySpan<double> Strengths => _strengths;

    /// <summary>
    /// The identity that read shares stand on, as it came out: q, k and v computed again from the whole residual stream, through the norm's scale of the run, are the run's.
    /// The largest |share of the whole stream − 1| over the heads, the three inputs and the last 16 positions: rounding, and nothing else. 0 where there is no input.
    /// </summary>
    public double ShareError { get; }

    /// <summary>‖(γ₁∘u) W_Q[h]‖₂ for the unit direction u, before the norm. [H]</summary>
    public ReadOnlySpan<double> QWeights => _weights[0];

    /// <summary>‖(γ₁∘u) W_K[g(h)]‖₂. [H]</summary>
    public ReadOnlySpan<double> KWeights => _weights[1];

    /// <summary>‖(γ₁∘u) W_V[g(h)]‖₂. [H]</summary>
    public ReadOnlySpan<double> VWeights => _weights[2];

    /// <summary>
    /// The signed part of q[t, h] that comes from the direction, ⟨p, q⟩ / ‖q‖² with p = ((x_t·u) u ∘ γ₁ / r_t) W_Q[h], over the tokens; 0 where q is zero.
    /// [T]; empty where there is no input.
    /// </summary>
    public ReadOnlySpan<float> QShares(int head) => Shares(0, head);

    /// <summary>The same for k[t, g(h)].</summary>
    public ReadOnlySpan<float> KShares(int head) => Shares(1, head);

    /// <summary>The same for v[t, g(h)].</summary>
    public ReadOnlySpan<float> VShares(int head) => Shares(2, head);

    /// <summary>The signed part of z[t, h] that comes from the direction across all keys: Σ_s A[h, t, s] p_V(s) against z[t, h].</summary>
    public ReadOnlySpan<float> ZShares(int head) => Shares(3, head);

    /// <summary>The heads that a rule selects, strongest first.</summary>
    /// <exception cref="ArrakisException">The threshold is outside (0, 1].</exception>
    public IReadOnlyList<HeadStrength> Select(double threshold = 0.8, SelectionRule rule = SelectionRule.Share) =>
        HeadSelection.Select(Layer, _strengths, threshold, rule);

    private ReadOnlySpan<float> Shares(int input, int head) => _shares[input].AsSpan(head * Tokens, Tokens);
}
