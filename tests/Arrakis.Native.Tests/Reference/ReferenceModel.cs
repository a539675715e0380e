namespace Arrakis.Native.Tests.Reference;

/// <summary>
/// A Llama in double precision, as the paper has it (Touvron et al. 2023): one loop per index, no cache, nothing clever.
/// Shares no code with the engine, which is compared with it.
/// </summary>
/// <param name="weights">Its weights.</param>
/// <param name="change">Called with every hook's name and values before they are used, to change them in place; null to leave them.</param>
public sealed class ReferenceModel(ReferenceWeights weights, Action<string, double[]>? change = null)
{
    private readonly LlamaConfig _c = weights.Config;
    private readonly double[] _frequencies = ReferenceRotary.Frequencies(weights.Config, weights.RotaryDivisors);

    /// <summary>Runs <paramref name="ids"/> from position 0 and keeps every hook.</summary>
    public ReferenceRun Run(ReadOnlySpan<int> ids)
    {
        var run = new ReferenceRun(weights, ids.ToArray());
        int tokens = ids.Length;
        double[] x = [.. run.Ids.SelectMany(id => weights.Embedding.Row(id).ToArray())];
        Keep(run, "hook_embed", x, tokens, _c.HiddenSize);
        for (int layer = 0; layer < _c.NumHiddenLayers; layer++)
            x = Block(run, layer, x);
        double[] last = Norm(run, "ln_final", x, weights.FinalNorm);
        Keep(run, "logits", Project(last, weights.Unembedding), tokens, _c.VocabSize);
        return run;
    }

    private void Keep(ReferenceRun run, string name, double[] values, params int[] shape)
    {
        change?.Invoke(name, values);
        run.Add(name, values, shape);
    }

    /// <summary>norm, attention, add, norm, MLP, add. [T, D] in and out.</summary>
    private double[] Block(ReferenceRun run, int layer, double[] x)
    {
        string p = $"blocks.{layer}";
        int tokens = run.Tokens, d = _c.HiddenSize;
        ReferenceLayer w = weights.Layers[layer];

        Keep(run, $"{p}.hook_resid_pre", x, tokens, d);
        double[] attention = Attention(run, layer, Norm(run, $"{p}.ln1", x, w.Norm1));
        Keep(run, $"{p}.hook_attn_out", attention, tokens, d);
        double[] mid = Sum(x, attention);
        Keep(run, $"{p}.hook_resid_mid", mid, tokens, d);
        double[] mlp = Mlp(run, layer, Norm(run, $"{p}.ln2", mid, w.Norm2));
        Keep(run, $"{p}.hook_mlp_out", mlp, tokens, d);
        double[] post = Sum(mid, mlp);
        Keep(run, $"{p}.hook_resid_post", post, tokens, d);
        return post;
    }

    /// <summary>RMSNorm: r = √(mean(x²) + ε) by token; records r and x / r, returns x / r ∘ γ.</summary>
    private double[] Norm(ReferenceRun run, string name, double[] x, double[] gamma)
    {
        int tokens = run.Tokens, d = _c.HiddenSize;
        double[] scale = new double[tokens], normalized = new double[x.Length], weighted = new double[x.Length];
        for (int t = 0; t < tokens; t++)
        {
            ReadOnlySpan<double> row = x.AsSpan(t * d, d);
            scale[t] = Math.Sqrt(Vec.Dot(row, row) / d + _c.RmsNormEps);
        }

        Keep(run, $"{name}.hook_scale", scale, tokens, 1);
        for (int i = 0; i < x.Length; i++)
            normalized[i] = x[i] / scale[i / d];
        Keep(run, $"{name}.hook_normalized", normalized, tokens, d);
        for (int i = 0; i < x.Length; i++)
            weighted[i] = normalized[i] * gamma[i % d];
        return weighted;
    }

    /// <summary>softmax(q kᵀ / √K) v by head, projected and summed over heads. [T, D] in and out.</summary>
    private double[] Attention(ReferenceRun run, int layer, double[] x)
    {
        string p = $"blocks.{layer}.attn";
        int tokens = run.Tokens, heads = _c.NumAttentionHeads, groups = _c.NumKeyValueHeads, k = _c.HeadDim;
        ReferenceLayer w = weights.Layers[layer];
        double[] q = Project(x, w.Q), key = Project(x, w.K), v = Project(x, w.V);
        Keep(run, $"{p}.hook_q", q, tokens, heads, k);
        Keep(run, $"{p}.hook_k", key, tokens, groups, k);
        Keep(run, $"{p}.hook_v", v, tokens, groups, k);
        Keep(run, $"{p}.hook_rot_q", RotateAll(q, heads), tokens, heads, k);
        Keep(run, $"{p}.hook_rot_k", RotateAll(key, groups), tokens, groups, k);

        Attend(run, p);

        double[] result = new double[tokens * heads * _c.HiddenSize], output = new double[tokens * _c.HiddenSize];
        for (int h = 0; h < heads; h++)
        {
            Matrix wo = weights.WO(layer, h);
            for (int t = 0; t < tokens; t++)
            {
                double[] write = run.Row($"{p}.hook_z", t, h).ToArray() * wo;
                write.CopyTo(result, (t * heads + h) * _c.HiddenSize);
            }
        }

        Keep(run, $"{p}.hook_result", result, tokens, heads, _c.HiddenSize);
        for (int i = 0; i < result.Length; i++)
            output[i / (heads * _c.HiddenSize) * _c.HiddenSize + i % _c.HiddenSize] += result[i];
        return output;
    }

    /// <summary>Scores, pattern and z from the rotated queries and keys.</summary>
    private void Attend(ReferenceRun run, string p)
    {
        int tokens = run.Tokens, heads = _c.NumAttentionHeads, k = _c.HeadDim;
        double[] scores = new double[heads * tokens * tokens], pattern = new double[scores.Length], z = new double[tokens * heads * k];
        Array.Fill(scores, double.NegativeInfinity);
        for (int h = 0; h < heads; h++)
        {
            int g = weights.KvHead(h);
            for (int t = 0; t < tokens; t++)
            {
                int row = (h * tokens + t) * tokens;
                for (int s = 0; s <= t; s++)
                    scores[row + s] = Vec.Dot(run.Row($"{p}.hook_rot_q", t, h), run.Row($"{p}.hook_rot_k", s, g)) / Math.Sqrt(k);
            }
        }

        Keep(run, $"{p}.hook_attn_scores", scores, heads, tokens, tokens);
        for (int row = 0; row < heads * tokens; row++)
            Softmax(scores.AsSpan(row * tokens, row % tokens + 1), pattern.AsSpan(row * tokens, row % tokens + 1));
        Keep(run, $"{p}.hook_pattern", pattern, heads, tokens, tokens);
        for (int i = 0; i < z.Length; i++)
        {
            int t = i / (heads * k), h = i / k % heads;
            for (int s = 0; s <= t; s++)
                z[i] += pattern[(h * tokens + t) * tokens + s] * run.Row($"{p}.hook_v", s, weights.KvHead(h))[i % k];
        }

        Keep(run, $"{p}.hook_z", z, tokens, heads, k);
    }

    /// <summary>SwiGLU (Shazeer 2020): (SiLU(x W_gate) ∘ x W_up) W_down. [T, D] in and out.</summary>
    private double[] Mlp(ReferenceRun run, int layer, double[] x)
    {
        string p = $"blocks.{layer}.mlp";
        ReferenceLayer w = weights.Layers[layer];
        double[] gate = Project(x, w.Gate), up = Project(x, w.Up);
        Keep(run, $"{p}.hook_pre", gate, run.Tokens, _c.IntermediateSize);
        Keep(run, $"{p}.hook_pre_linear", up, run.Tokens, _c.IntermediateSize);
        double[] post = [.. gate.Zip(up, (g, u) => Silu(g) * u)];
        Keep(run, $"{p}.hook_post", post, run.Tokens, _c.IntermediateSize);
        return Project(post, w.Down);
    }

    /// <summary>x · sigmoid(x).</summary>
    internal static double Silu(double x) => x / (1 + Math.Exp(-x));

    private static void Softmax(ReadOnlySpan<double> scores, Span<double> pattern)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (double s in scores)
            max = Math.Max(max, s);
        for (int i = 0; i < scores.Length; i++)
            sum += pattern[i] = Math.Exp(scores[i] - max);
        for (int i = 0; i < scores.Length; i++)
            pattern[i] /= sum;
    }

    /// <summary>x [T, heads, K] with every head's vector turned to its token's position.</summary>
    private double[] RotateAll(double[] x, int heads)
    {
        int k = _c.HeadDim;
        double[] y = new double[x.Length];
        for (int row = 0; row < x.Length / k; row++)
            ReferenceRotary.Rotate(x.AsSpan(row * k, k), row / heads, _frequencies, _c.RotaryLayout).CopyTo(y, row * k);
        return y;
    }

    /// <summary>x [T, in] times the transpose of w [out, in]: [T, out].</summary>
    private static double[] Project(double[] x, Matrix w)
    {
        int tokens = x.Length / w.Columns;
        double[] y = new double[tokens * w.Rows];
        for (int t = 0; t < tokens; t++)
        {
            for (int o = 0; o < w.Rows; o++)
                y[t * w.Rows + o] = Vec.Dot(x.AsSpan(t * w.Columns, w.Columns), w.Row(o));
        }

        return y;
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}
