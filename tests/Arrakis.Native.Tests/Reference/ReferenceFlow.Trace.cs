namespace Arrakis.Native.Tests.Reference;

/// <summary>Edges and cuts by forward and backward sweeps, and by walking every path.</summary>
public sealed partial class ReferenceFlow
{
    /// <summary>Two sweeps: the source's share at every place, and the target's covector carried back to every place; an edge is their product.</summary>
    public ReferenceTrace Trace(int src, int dst, double[] target) => Trace(SourceAt(src), dst, target);

    /// <summary>The same for any stream [T][D] that enters the first layer.</summary>
    public ReferenceTrace Trace(double[][] source, int dst, double[] target)
    {
        // pre[i], mid[i]: the share before layer a + i, and between its attention and MLP.
        double[][][] pre = new double[layers + 1][][], mid = new double[layers][][];
        pre[0] = source;
        for (int i = 0; i < layers; i++)
        {
            mid[i] = PassAttention(from + i, pre[i]);
            pre[i + 1] = PassMlp(from + i, mid[i]);
        }

        double[][] g = Vec.Zeros(run.Tokens, _c.HiddenSize);
        target.CopyTo(g[dst], 0);
        var cuts = new ReferenceLayerFlow[layers];
        var edges = new List<ReferenceEdge>();
        for (int i = layers - 1; i >= 0; i--)
        {
            double[][] gMid = BackThroughMlp(from + i, g);
            // The MLP's part is all that reaches the covector above, but for what passed by.
            double mlp = Enumerable.Range(0, run.Tokens).Sum(t => Vec.Dot(g[t], pre[i + 1][t]) - Vec.Dot(g[t], mid[i][t]));
            List<ReferenceEdge> own = EdgesOf(from + i, pre[i], gMid);
            edges.AddRange(own);
            cuts[i] = new ReferenceLayerFlow(
                from + i,
                Enumerable.Range(0, run.Tokens).Sum(t => Vec.Dot(gMid[t], pre[i][t])),
                mlp,
                [.. Enumerable.Range(0, _c.NumAttentionHeads).Select(h => own.Where(e => e.Head == h).Sum(e => e.Flow))]);
            g = BackThroughAttention(from + i, gMid);
        }

        return new ReferenceTrace(Vec.Dot(pre[layers][dst], target), cuts, [.. edges]);
    }

    /// <summary>The source's share of the residual stream before every layer, and after the last: [n + 1][T][D].</summary>
    public double[][][] Shares(int src)
    {
        var shares = new List<double[][]> { SourceAt(src) };
        for (int l = from; l < Top; l++)
            shares.Add(PassMlp(l, PassAttention(l, shares[^1])));
        return [.. shares];
    }

    private List<ReferenceEdge> EdgesOf(int layer, double[][] y, double[][] gMid)
    {
        var edges = new List<ReferenceEdge>();
        for (int h = 0; h < _c.NumAttentionHeads; h++)
        {
            for (int t = 0; t < run.Tokens; t++)
            {
                for (int s = 0; s <= t; s++)
                    edges.Add(new ReferenceEdge(layer, h, t, s, Vec.Dot(AlongEdge(layer, h, t, s, y[s]), gMid[t])));
            }
        }

        return edges;
    }

    /// <summary>The adjoint of <see cref="PassMlp"/>: g + ((g W_downᵀ ∘ SiLU(gate)) W_upᵀ) ∘ γ₂ / r₂.</summary>
    private double[][] BackThroughMlp(int layer, double[][] g)
    {
        ReferenceLayer w = _w.Layers[layer];
        double[][] back = [.. g.Select(row => row.ToArray())];
        for (int t = 0; throughMlp && t < run.Tokens; t++)
        {
            ReadOnlySpan<double> gate = run.Row($"blocks.{layer}.mlp.hook_pre", t);
            double[] post = g[t] * w.Down;
            for (int f = 0; f < post.Length; f++)
                post[f] *= ReferenceModel.Silu(gate[f]);
            double r = run.Row($"blocks.{layer}.ln2.hook_scale", t)[0];
            Vec.AddTo(back[t], Vec.Times(post * w.Up, w.Norm2), 1 / r);
        }

        return back;
    }

    /// <summary>The adjoint of <see cref="PassAttention"/>: g[s] + Σ_h Σ_t A[h,t,s] / r₁[s] · g[t] (Ŵ_V W_O)ᵀ.</summary>
    private double[][] BackThroughAttention(int layer, double[][] g)
    {
        double[][] back = [.. g.Select(row => row.ToArray())];
        for (int h = 0; h < _c.NumAttentionHeads; h++)
        {
            Matrix transposed = _ov[layer - from][h].Transpose();
            for (int t = 0; t < run.Tokens; t++)
            {
                double[] value = g[t] * transposed;
                for (int s = 0; s <= t; s++)
                    Vec.AddTo(back[s], value, run.Pattern(layer, h, t, s) / run.Row($"blocks.{layer}.ln1.hook_scale", s)[0]);
            }
        }

        return back;
    }

    /// <summary>
    /// Every path from src to dst, one by one: at each layer stay or move with a head, and (with <c>frozen</c>) go through the MLP or past it.
    /// Grows as (2 · heads · positions)^layers; for small models only.
    /// </summary>
    public IEnumerable<ReferencePath> AllPaths(int src, int dst, double[] target) =>
        Walk(from, src, run.Residual(from, src).ToArray(), [], dst, target);

    private IEnumerable<ReferencePath> Walk(int layer, int at, double[] y, ReferenceStep[] steps, int dst, double[] target)
    {
        if (layer == Top)
        {
            if (at == dst)
                yield return new ReferencePath(steps, Vec.Dot(y, target));
            yield break;
        }

        foreach ((int? head, int to) in Moves(at, dst, layer == Top - 1))
        {
            double[] mid = head is int h ? AlongEdge(layer, h, to, at, y) : y;
            for (int mlp = 0; mlp <= (throughMlp ? 1 : 0); mlp++)
            {
                ReferenceStep[] longer = [.. steps, new ReferenceStep(layer, head, at, to, mlp == 1)];
                double[] post = mlp == 1 ? ThroughMlp(layer, to, mid) : mid;
                foreach (ReferencePath path in Walk(layer + 1, to, post, longer, dst, target))
                    yield return path;
            }
        }
    }

    /// <summary>Where one can go from a position without overshooting dst; at the last layer, only there.</summary>
    private IEnumerable<(int? Head, int To)> Moves(int at, int dst, bool last)
    {
        if (!last || at == dst)
            yield return (null, at);
        for (int h = 0; h < _c.NumAttentionHeads; h++)
        {
            for (int to = last ? dst : at; to <= dst; to++)
                yield return (h, to);
        }
    }
}
