using System.Collections.Immutable;
using System.Globalization;
using Arrakis.Native.Weights;

namespace Arrakis.Native;

/// <summary>The TransformerLens names of hook points, and their shapes.</summary>
public static class HookNames
{
    // In the order of the forward pass, which is also the order of a saved cache. One row a hook point: what stands after "blocks.{l}." or alone.
    private static readonly ImmutableArray<(HookPoint Point, string Name, bool PerLayer)> s_names =
    [
        (HookPoint.Embed, "hook_embed", false),
        (HookPoint.ResidPre, "hook_resid_pre", true),
        (HookPoint.Ln1Scale, "ln1.hook_scale", true),
        (HookPoint.Ln1Normalized, "ln1.hook_normalized", true),
        (HookPoint.Q, "attn.hook_q", true),
        (HookPoint.K, "attn.hook_k", true),
        (HookPoint.V, "attn.hook_v", true),
        (HookPoint.RotQ, "attn.hook_rot_q", true),
        (HookPoint.RotK, "attn.hook_rot_k", true),
        (HookPoint.AttnScores, "attn.hook_attn_scores", true),
        (HookPoint.Pattern, "attn.hook_pattern", true),
        (HookPoint.Z, "attn.hook_z", true),
        (HookPoint.Result, "attn.hook_result", true),
        (HookPoint.AttnOut, "hook_attn_out", true),
        (HookPoint.ResidMid, "hook_resid_mid", true),
        (HookPoint.Ln2Scale, "ln2.hook_scale", true),
        (HookPoint.Ln2Normalized, "ln2.hook_normalized", true),
        (HookPoint.MlpPre, "mlp.hook_pre", true),
        (HookPoint.MlpPreLinear, "mlp.hook_pre_linear", true),
        (HookPoint.MlpPost, "mlp.hook_post", true),
        (HookPoint.MlpOut, "hook_mlp_out", true),
        (HookPoint.ResidPost, "hook_resid_post", true),
        (HookPoint.LnFinalScale, "ln_final.hook_scale", false),
        (HookPoint.LnFinalNormalized, "ln_final.hook_normalized", false),
        (HookPoint.Logits, "logits", false),
    ];

    private const string BlockPrefix = "blocks.";

    /// <summary>Every hook point, in the order of the forward pass.</summary>
    public static IReadOnlyList<HookPoint> All { get; } = [.. s_names.Select(row => row.Point)];

    /// <summary>Whether there is one for every layer.</summary>
    public static bool IsPerLayer(this HookPoint point) => Row(point).PerLayer;

    /// <summary>The full name, such as <c>blocks.1.attn.hook_pattern</c>.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="layer">Its layer; ignored where the hook point has none.</param>
    public static string Name(this HookPoint point, int layer = 0)
    {
        (_, string name, bool perLayer) = Row(point);
        return perLayer ? string.Create(CultureInfo.InvariantCulture, $"{BlockPrefix}{layer}.{name}") : name;
    }

    /// <summary>The name in a recording specification: without <c>blocks.{l}.</c> and <c>hook_</c>, such as <c>attn.pattern</c>.</summary>
    public static string ShortName(this HookPoint point) => Row(point).Name.Replace("hook_", "", StringComparison.Ordinal);

    /// <summary>Reads a full name. A layer's number has one spelling: <c>blocks.01.</c> begins none.</summary>
    /// <returns>Whether it is one; <paramref name="layer"/> is 0 where the hook point has none.</returns>
    public static bool TryParse(string name, out HookPoint point, out int layer)
    {
        layer = 0;
        bool perLayer = name.StartsWith(BlockPrefix, StringComparison.Ordinal);
        string rest = name;
        if (perLayer)
        {
            int dot = name.IndexOf('.', BlockPrefix.Length);
            ReadOnlySpan<char> number = dot < 0 ? [] : name.AsSpan(BlockPrefix.Length, dot - BlockPrefix.Length);
            if (number is ['0', _, ..] || !int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out layer))
            {
                point = default;
                return false;
            }

            rest = name[(dot + 1)..];
        }

        foreach (var row in s_names)
        {
            if (row.PerLayer == perLayer && row.Name == rest)
            {
                point = row.Point;
                return true;
            }
        }

        point = default;
        return false;
    }

    /// <summary>Reads a name of a recording specification: the short name, or its last part where that is unambiguous (<c>pattern</c>, not <c>scale</c>).</summary>
    /// <exception cref="ArrakisException">It is no hook point's, or several share it.</exception>
    internal static HookPoint ParseShort(string name)
    {
        foreach (HookPoint point in All)
        {
            if (ShortName(point) == name)
                return point;
        }

        HookPoint[] candidates = [.. All.Where(point => ShortName(point).EndsWith("." + name, StringComparison.Ordinal))];
        return candidates.Length switch
        {
            1 => candidates[0],
            0 => throw new ArrakisException($"'{Said.Name(name)}' is not a hook point: use {string.Join(", ", All.Select(ShortName))}"),
            _ => throw new ArrakisException($"'{Said.Name(name)}' could be {string.Join(" or ", candidates.Select(ShortName))}: write it in full"),
        };
    }

    /// <summary>The shape of a hook point for T = <paramref name="tokens"/> queries over S = <paramref name="keys"/> keys.</summary>
    internal static (int A, int B, int C) Shape(this HookPoint point, LlamaConfig c, int tokens, int keys) => point switch
    {
        HookPoint.Ln1Scale or HookPoint.Ln2Scale or HookPoint.LnFinalScale => (tokens, 1, 0),
        HookPoint.Q or HookPoint.RotQ or HookPoint.Z => (tokens, c.NumAttentionHeads, c.HeadDim),
        HookPoint.K or HookPoint.V or HookPoint.RotK => (tokens, c.NumKeyValueHeads, c.HeadDim),
        HookPoint.AttnScores or HookPoint.Pattern => (c.NumAttentionHeads, tokens, keys),
        HookPoint.Result => (tokens, c.NumAttentionHeads, c.HiddenSize),
        HookPoint.MlpPre or HookPoint.MlpPreLinear or HookPoint.MlpPost => (tokens, c.IntermediateSize, 0),
        HookPoint.Logits => (tokens, c.VocabSize, 0),
        _ => (tokens, c.HiddenSize, 0),
    };

    /// <summary>Heads, or kv heads, that a hook point has a row for at every position; 0 where it has none.</summary>
    internal static int Heads(this HookPoint point, LlamaConfig c) => point switch
    {
        HookPoint.K or HookPoint.V or HookPoint.RotK => c.NumKeyValueHeads,
        HookPoint.Q or HookPoint.RotQ or HookPoint.Z or HookPoint.Result or HookPoint.AttnScores or HookPoint.Pattern => c.NumAttentionHeads,
        _ => 0,
    };

    /// <summary>Numbers in a row of a hook point: its last axis.</summary>
    internal static int Width(this HookPoint point, LlamaConfig c, int keys)
    {
        (_, int b, int d) = Shape(point, c, 1, keys);
        return d == 0 ? b : d;
    }

    /// <summary>How many numbers that is.</summary>
    /// <exception cref="OverflowException">More than a long holds.</exception>
    internal static long Count(this HookPoint point, LlamaConfig c, int tokens, int keys)
    {
        (int a, int b, int d) = Shape(point, c, tokens, keys);
        return checked((long)a * b * Math.Max(1, d));
    }

    private static (HookPoint Point, string Name, bool PerLayer) Row(HookPoint point)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)point, (uint)s_names.Length, nameof(point));
        return s_names[(int)point];
    }
}
