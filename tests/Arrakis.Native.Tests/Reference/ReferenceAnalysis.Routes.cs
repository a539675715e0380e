namespace Arrakis.Native.Tests.Reference;

/// <summary>What every part of a layer contributed: Attention [H][T][T] and Residual [T] to resid_mid, Mlp [T] and Bypass [T] to resid_post.</summary>
public sealed record ReferenceRouteLayer(double[][][] Attention, double[] Residual, double[] Mlp, double[] Bypass);

/// <summary>An edge of the information flow graph; Kind is attention, residual, mlp or bypass.</summary>
public sealed record ReferenceRouteEdge(int Layer, string Kind, int Query, int Key, double Weight);

/// <summary>Attention rollout (Abnar and Zuidema 2020) and information flow routes (Ferrando and Voita 2024).</summary>
public static partial class ReferenceAnalysis
{
    /// <summary>
    /// The product over the first <paramref name="layers"/> layers (all if null) of Ã = rows-to-one(mean over heads of A + I), T×T: [position above, position in the input].
    /// </summary>
    public static Matrix AttentionRollout(ReferenceRun run, int? layers = null)
    {
        int tokens = run.Tokens, heads = run.Config.NumAttentionHeads;
        Matrix product = Matrix.Build(tokens, tokens, (t, s) => t == s ? 1 : 0);
        for (int l = 0; l < (layers ?? run.Config.NumHiddenLayers); l++)
        {
            int layer = l;
            Matrix mixed = Matrix.Build(tokens, tokens, (t, s) =>
                (t == s ? 1 : 0) + Enumerable.Range(0, heads).Average(h => run.Pattern(layer, h, t, s)));
            double[] sums = [.. Enumerable.Range(0, tokens).Select(t => mixed.Row(t).ToArray().Sum())];
            product = Matrix.Build(tokens, tokens, (t, s) => mixed[t, s] / sums[t]) * product;
        }

        return product;
    }

    /// <summary>Every contribution c_j = p_j / Σp with p_j = max(1e-5, ‖y‖₁ − ‖z_j − y‖₁), by layer.</summary>
    public static ReferenceRouteLayer[] Routes(ReferenceRun run) =>
        [.. Enumerable.Range(0, run.Config.NumHiddenLayers).Select(l => RoutesOf(run, l))];

    private static ReferenceRouteLayer RoutesOf(ReferenceRun run, int layer)
    {
        int tokens = run.Tokens, heads = run.Config.NumAttentionHeads;
        string p = $"blocks.{layer}";
        Matrix[] wo = [.. Enumerable.Range(0, heads).Select(h => run.Weights.WO(layer, h))];
        double[][][] attention = [.. Enumerable.Range(0, heads).Select(_ => Vec.Zeros(tokens, tokens))];
        double[] residual = new double[tokens], mlp = new double[tokens], bypass = new double[tokens];
        for (int t = 0; t < tokens; t++)
        {
            // At resid_mid the parts are resid_pre and A[h,t,s] v[s] W_O[h] for every head and key, in that order.
            List<double[]> parts = [run.Row($"{p}.hook_resid_pre", t).ToArray()];
            for (int h = 0; h < heads; h++)
            {
                for (int s = 0; s <= t; s++)
                {
                    ReadOnlySpan<double> v = run.Row($"{p}.attn.hook_v", s, run.Weights.KvHead(h));
                    parts.Add(Vec.Scaled(v, run.Pattern(layer, h, t, s)) * wo[h]);
                }
            }

            double[] c = Contributions(run.Row($"{p}.hook_resid_mid", t), parts);
            residual[t] = c[0];
            for (int h = 0; h < heads; h++)
                Array.Copy(c, 1 + h * (t + 1), attention[h][t], 0, t + 1);

            double[] above = Contributions(
                run.Row($"{p}.hook_resid_post", t),
                [run.Row($"{p}.hook_mlp_out", t).ToArray(), run.Row($"{p}.hook_resid_mid", t).ToArray()]);
            (mlp[t], bypass[t]) = (above[0], above[1]);
        }

        return new ReferenceRouteLayer(attention, residual, mlp, bypass);
    }

    private static double[] Contributions(ReadOnlySpan<double> y, List<double[]> parts)
    {
        double whole = Vec.Norm1(y);
        double[] proximity = new double[parts.Count];
        for (int j = 0; j < parts.Count; j++)
        {
            double[] rest = [.. parts[j]];
            Vec.AddTo(rest, y, -1);
            proximity[j] = Math.Max(1e-5, whole - Vec.Norm1(rest));
        }

        double sum = proximity.Sum();
        return [.. proximity.Select(p => p / sum)];
    }

    /// <summary>
    /// The part of the graph that reaches <paramref name="dst"/> at the top over edges heavier than <paramref name="tau"/>. A position is walked on from resid_mid
    /// if the edge through the MLP or the one past it was kept, for the MLP reads resid_mid as well.
    /// </summary>
    public static ReferenceRouteEdge[] RouteEdges(ReferenceRouteLayer[] layers, int dst, double tau = 0.04)
    {
        var edges = new List<ReferenceRouteEdge>();
        SortedSet<int> active = [dst];
        for (int l = layers.Length - 1; l >= 0; l--)
        {
            var below = new SortedSet<int>();
            foreach (int t in active)
            {
                int before = edges.Count;
                Keep(l, "mlp", t, t, layers[l].Mlp[t]);
                Keep(l, "bypass", t, t, layers[l].Bypass[t]);
                if (edges.Count == before)
                    continue;
                if (Keep(l, "residual", t, t, layers[l].Residual[t]))
                    below.Add(t);
                for (int s = 0; s <= t; s++)
                {
                    if (Keep(l, "attention", t, s, layers[l].Attention.Sum(head => head[t][s])))
                        below.Add(s);
                }
            }

            active = below;
        }

        return [.. edges];

        bool Keep(int layer, string kind, int query, int key, double weight)
        {
            if (weight > tau)
                edges.Add(new ReferenceRouteEdge(layer, kind, query, key, weight));
            return weight > tau;
        }
    }
}
