using System.Globalization;

namespace Arrakis.Analysis;

/// <summary>What a flow is measured against at its destination: a covector g, so that what flows there is g · x.</summary>
public readonly record struct FlowTarget
{
    /// <summary>A share of the residual stream that stands at the destination: g = x / ‖x‖².</summary>
    public static FlowTarget Residual => default;

    /// <summary>The token whose logit is the target; null for another target.</summary>
    public int? TokenId { get; private init; }

    /// <summary>The attention score that is the target; null for another target.</summary>
    public FlowScore? Score { get; private init; }

    /// <summary>The logit of a token at the destination: g = (γ_final ∘ W_U[:, v]) / r_final. Only for flows that end after the last layer.</summary>
    public static FlowTarget Token(int id) => new() { TokenId = id };

    /// <summary>
    /// The attention score, before the softmax, of a head of the layer that the flow ends before, with the destination as the query: g = (γ₁ ∘ k̃ W_Qᵀ) / (r₁ √K), where k̃
    /// is what the head has at <paramref name="key"/>, turned by the distance. It says what makes the head look there from its query's side: Q-composition on this input.
    /// </summary>
    /// <param name="head">The head.</param>
    /// <param name="key">The position it looks at, not after the destination, its key frozen.</param>
    public static FlowTarget Query(int head, int key) => new() { Score = new FlowScore(head, key, false) };

    /// <summary>
    /// The same score with the destination as the key: g = (γ₁ ∘ q̃ W_Kᵀ) / (r₁ √K), where q̃ is the query at <paramref name="query"/>, turned by the distance:
    /// K-composition on this input.
    /// </summary>
    /// <param name="head">The head.</param>
    /// <param name="query">The position that looks, not before the destination, its query frozen.</param>
    public static FlowTarget Key(int head, int query) => new() { Score = new FlowScore(head, query, true) };

    /// <summary><c>residual</c>, <c>token:</c> and the id, or <c>query:</c> or <c>key:</c>, the head and the other position.</summary>
    public override string ToString() => this switch
    {
        { TokenId: { } id } => string.Create(CultureInfo.InvariantCulture, $"token:{id}"),
        { Score: { } score } => string.Create(CultureInfo.InvariantCulture, $"{(score.IsKey ? "key" : "query")}:{score.Head}:{score.Other}"),
        _ => "residual",
    };
}

/// <summary>An attention score as the target of a flow that ends before the head's layer.</summary>
/// <param name="Head">The head.</param>
/// <param name="Other">The position at the score's other side: of the key where the destination is the query, of the query where it is the key.</param>
/// <param name="IsKey">Whether the destination is the key.</param>
public readonly record struct FlowScore(int Head, int Other, bool IsKey);
