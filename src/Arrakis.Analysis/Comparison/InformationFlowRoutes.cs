using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>What an edge of the graph of <see cref="InformationFlowRoutes"/> goes through.</summary>
public enum RouteKind
{
    /// <summary>All heads together, from the key's position to the query's.</summary>
    Attention,

    /// <summary>Past the attention.</summary>
    Residual,

    /// <summary>The MLP.</summary>
    Mlp,

    /// <summary>Past the MLP.</summary>
    Bypass,
}

/// <summary>An edge of the graph of <see cref="InformationFlowRoutes"/>.</summary>
/// <param name="Layer">Its layer, from 0.</param>
/// <param name="Kind">What it goes through.</param>
/// <param name="Query">The position it leads to.</param>
/// <param name="Key">The position it comes from; the same for all kinds but attention.</param>
/// <param name="Weight">The share of what stands at its upper end: 0 to 1.</param>
public readonly record struct RouteEdge(int Layer, RouteKind Kind, int Query, int Key, double Weight);

/// <summary>What every part of a layer contributes: shares from 0 to 1, without a sign.</summary>
public sealed class RouteLayer
{
    private readonly float[] _attention;
    private readonly float[] _residual;
    private readonly float[] _mlp;
    private readonly float[] _bypass;

    internal RouteLayer(int layer, int heads, float[] attention, float[] residual, float[] mlp, float[] bypass)
    {
        Layer = layer;
        Heads = heads;
        (_attention, _residual, _mlp, _bypass) = (attention, residual, mlp, bypass);
        for (int t = 0; t < Tokens; t++)
        {
            double sum = residual[t];
            for (int h = 0; h < heads; h++)
            {
                foreach (float share in Of(h, t))
                    sum += share;
            }

            AttentionError = Math.Max(AttentionError, Math.Abs(sum - 1));
            MlpError = Math.Max(MlpError, Math.Abs((double)mlp[t] + bypass[t] - 1));
        }
    }

    /// <summary>The layer.</summary>
    public int Layer { get; }

    /// <summary>H.</summary>
    public int Heads { get; }

    /// <summary>T.</summary>
    public int Tokens => _residual.Length;

    /// <summary>What head h brings from key s to resid_mid of query t, [H, T, T]: [head, query, key]; zero where the key comes after the query.</summary>
    public ReadOnlySpan<float> Attention => _attention;

    /// <summary>What resid_pre contributes to resid_mid. [T]</summary>
    public ReadOnlySpan<float> Residual => _residual;

    /// <summary>What mlp_out contributes to resid_post. [T]</summary>
    public ReadOnlySpan<float> Mlp => _mlp;

    /// <summary>What resid_mid contributes to resid_post. [T]</summary>
    public ReadOnlySpan<float> Bypass => _bypass;

    /// <summary>The largest |Σ attention + residual − 1| over the queries: rounding, and nothing else.</summary>
    public double AttentionError { get; }

    /// <summary>The largest |mlp + bypass − 1| over the positions: rounding, and nothing else.</summary>
    public double MlpError { get; }

    /// <summary>What a head brings to a query, by key. [T]</summary>
    public ReadOnlySpan<float> Of(int head, int query)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)head, (uint)Heads, nameof(head));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)query, (uint)Tokens, nameof(query));
        return _attention.AsSpan((head * Tokens + query) * Tokens, Tokens);
    }

    /// <summary>What all heads together bring from a key to a query.</summary>
    public double Attended(int query, int key)
    {
        double sum = 0;
        for (int h = 0; h < Heads; h++)
            sum += Of(h, query)[key];
        return sum;
    }
}

/// <summary>
/// Information flow routes (Ferrando and Voita 2024), for comparison: how near each part of a sum comes to the whole. Parts z_j of y get
/// p_j = max(1e-5, ‖y‖₁ − ‖z_j − y‖₁) and the share p_j / Σp. At resid_mid[t] the parts are resid_pre[t] and A[h, t, s] v[s] W_O[h] of every head and key; at
/// resid_post[t] they are mlp_out[t] and resid_mid[t].
/// </summary>
/// <remarks>
/// The 1e-5 gives a part that is opposed to the whole a small positive share, and hides its sign: what a layer removes does not show here. Shares of a layer sum to 1
/// because they are divided by their sum, and not because the parts add up; a share is a weight, not an amount. <see cref="HeadWrites"/> has signed ones.
/// </remarks>
public sealed partial class InformationFlowRoutes
{
    private readonly RouteLayer[] _layers;

    private InformationFlowRoutes(RouteLayer[] layers) => _layers = layers;

    /// <summary>Every layer's contributions. [L]</summary>
    public IReadOnlyList<RouteLayer> Layers => _layers;

    /// <summary>T.</summary>
    public int Tokens => _layers[0].Tokens;

    /// <summary>The largest |Σ attention + residual − 1| over layers and queries.</summary>
    public double AttentionError => _layers.Max(layer => layer.AttentionError);

    /// <summary>The largest |mlp + bypass − 1| over layers and positions.</summary>
    public double MlpError => _layers.Max(layer => layer.MlpError);

    /// <summary>
    /// The part of the graph that reaches a position at the top: from there down, edges heavier than <paramref name="tau"/>. A position is walked on from resid_mid where
    /// the edge through the MLP or the one past it was kept, for the MLP reads resid_mid as well.
    /// </summary>
    /// <param name="dst">The position after the last layer.</param>
    /// <param name="tau">Edges of this weight or less are left out; from 0, below 1.</param>
    /// <returns>From the top layer down; in a layer by query: MLP, bypass, residual, and attention by key.</returns>
    /// <exception cref="ArrakisException">There is no such position, or tau is outside [0, 1).</exception>
    public IReadOnlyList<RouteEdge> Edges(int dst, double tau = 0.04)
    {
        if ((uint)dst >= (uint)Tokens)
            throw new ArrakisException($"dst {dst} is not in the input of {Tokens} tokens: use 0 to {Tokens - 1}");
        if (!(tau >= 0 && tau < 1))
            throw new ArrakisException($"tau is {tau}: use a number from 0, below 1");
        var edges = new List<RouteEdge>();
        var reached = new SortedSet<int> { dst };
        for (int l = _layers.Length - 1; l >= 0; l--)
        {
            var below = new SortedSet<int>();
            foreach (int query in reached)
                Descend(_layers[l], query, tau, edges, below);
            reached = below;
        }

        return edges;
    }

    private static void Descend(RouteLayer layer, int query, double tau, List<RouteEdge> edges, SortedSet<int> below)
    {
        bool throughMlp = Keep(RouteKind.Mlp, query, layer.Mlp[query]), past = Keep(RouteKind.Bypass, query, layer.Bypass[query]);
        if (!throughMlp && !past)
            return;
        if (Keep(RouteKind.Residual, query, layer.Residual[query]))
            below.Add(query);
        for (int key = 0; key <= query; key++)
        {
            if (Keep(RouteKind.Attention, key, layer.Attended(query, key)))
                below.Add(key);
        }

        bool Keep(RouteKind kind, int key, double weight)
        {
            if (weight > tau)
                edges.Add(new RouteEdge(layer.Layer, kind, query, key, weight));
            return weight > tau;
        }
    }
}
