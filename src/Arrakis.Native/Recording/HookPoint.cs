namespace Arrakis.Native;

/// <summary>
/// A place in the forward pass whose value can be recorded. Names and meanings follow TransformerLens, without its batch dimension.
/// T tokens, D hidden size, H heads, G kv heads, K head dim, F intermediate size, V vocabulary.
/// </summary>
public enum HookPoint
{
    /// <summary><c>hook_embed</c> [T, D]: the token embedding. It is one memory with the first <see cref="ResidPre"/>, and shows what a plan changes there.</summary>
    Embed,

    /// <summary><c>hook_resid_pre</c> [T, D]: the residual stream before the layer.</summary>
    ResidPre,

    /// <summary><c>ln1.hook_scale</c> [T, 1]: √(mean(x²) + ε), the divisor of the norm before attention.</summary>
    Ln1Scale,

    /// <summary><c>ln1.hook_normalized</c> [T, D]: x divided by its scale, before the norm's weight.</summary>
    Ln1Normalized,

    /// <summary><c>attn.hook_q</c> [T, H, K]: queries before rotation.</summary>
    Q,

    /// <summary><c>attn.hook_k</c> [T, G, K]: keys before rotation, one per kv head.</summary>
    K,

    /// <summary><c>attn.hook_v</c> [T, G, K]: values, one per kv head.</summary>
    V,

    /// <summary><c>attn.hook_rot_q</c> [T, H, K]: queries after rotation.</summary>
    RotQ,

    /// <summary><c>attn.hook_rot_k</c> [T, G, K]: keys after rotation.</summary>
    RotK,

    /// <summary><c>attn.hook_attn_scores</c> [H, T, S]: q·k / √K by head, query and key; −∞ where a key comes after the query.</summary>
    AttnScores,

    /// <summary><c>attn.hook_pattern</c> [H, T, S]: the softmax of the scores over the keys.</summary>
    Pattern,

    /// <summary><c>attn.hook_z</c> [T, H, K]: the values weighted by the pattern.</summary>
    Z,

    /// <summary><c>attn.hook_result</c> [T, H, D]: z[t, h] W_O[h], what head h writes at t.</summary>
    Result,

    /// <summary><c>hook_attn_out</c> [T, D]: what all heads of the layer write.</summary>
    AttnOut,

    /// <summary><c>hook_resid_mid</c> [T, D]: the residual stream between attention and MLP.</summary>
    ResidMid,

    /// <summary><c>ln2.hook_scale</c> [T, 1]: the divisor of the norm before the MLP.</summary>
    Ln2Scale,

    /// <summary><c>ln2.hook_normalized</c> [T, D]: x divided by its scale, before the norm's weight.</summary>
    Ln2Normalized,

    /// <summary><c>mlp.hook_pre</c> [T, F]: the gate before its SiLU.</summary>
    MlpPre,

    /// <summary><c>mlp.hook_pre_linear</c> [T, F]: the up projection.</summary>
    MlpPreLinear,

    /// <summary><c>mlp.hook_post</c> [T, F]: SiLU(gate) · up.</summary>
    MlpPost,

    /// <summary><c>hook_mlp_out</c> [T, D]: what the MLP writes.</summary>
    MlpOut,

    /// <summary><c>hook_resid_post</c> [T, D]: the residual stream after the layer. It is one memory with the next <see cref="ResidPre"/>, and shows what a plan changes there.</summary>
    ResidPost,

    /// <summary><c>ln_final.hook_scale</c> [T, 1]: the divisor of the last norm.</summary>
    LnFinalScale,

    /// <summary><c>ln_final.hook_normalized</c> [T, D]: x divided by its scale, before the norm's weight.</summary>
    LnFinalNormalized,

    /// <summary><c>logits</c> [T, V]: the unembedding of the last norm.</summary>
    Logits,
}
