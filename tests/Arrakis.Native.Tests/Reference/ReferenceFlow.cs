namespace Arrakis.Native.Tests.Reference;

/// <summary>What head <paramref name="Head"/> carries of the flow from key to query.</summary>
public sealed record ReferenceEdge(int Layer, int Head, int Query, int Key, double Flow);

/// <summary>One layer's cut through the flow: Residual + Σ Heads = total; Mlp is the part that goes through the MLP.</summary>
public sealed record ReferenceLayerFlow(int Layer, double Residual, double Mlp, double[] Heads);

/// <summary>One layer of a path: stay (head null) or move with a head; then through the MLP or past it.</summary>
public sealed record ReferenceStep(int Layer, int? Head, int From, int To, bool Mlp);

/// <summary>One path and what flows along it.</summary>
public sealed record ReferencePath(IReadOnlyList<ReferenceStep> Steps, double Flow);

/// <summary>A traced flow.</summary>
public sealed record ReferenceTrace(double Total, ReferenceLayerFlow[] Layers, ReferenceEdge[] Edges);

/// <summary>
/// Semantics, section 5: a run with its patterns, norm scales and SiLU(gate) frozen, which makes layers <paramref name="from"/> … from + layers − 1 a linear map
/// of the residual stream. Streams are [T][D].
/// </summary>
/// <param name="run">The run at whose values everything is frozen.</param>
/// <param name="from">a: the stream starts as resid_pre of this layer.</param>
/// <param name="layers">n: how many layers it passes.</param>
/// <param name="throughMlp">True for <c>frozen</c>, false for <c>source</c>, where the MLP passes nothing on.</param>
public sealed partial class ReferenceFlow(ReferenceRun run, int from, int layers, bool throughMlp)
{
    private readonly LlamaConfig _c = run.Config;
    private readonly ReferenceWeights _w = run.Weights;

    // Ŵ_V without the scale, and W_O, by layer and head: built once, for they are asked for at every edge.
    private readonly Matrix[][] _ov = [.. Enumerable.Range(from, layers).Select(l =>
        Enumerable.Range(0, run.Config.NumAttentionHeads).Select(h => ReferenceAnalysis.OV(run.Weights, l, h)).ToArray())];

    private int Top => from + layers;

    /// <summary>The covector x_b[dst] / ‖x_b[dst]‖²: a share of what stands there.</summary>
    public double[] ResidualTarget(int dst)
    {
        ReadOnlySpan<double> x = run.Residual(Top, dst);
        return Vec.Scaled(x, 1 / Vec.Dot(x, x));
    }

    /// <summary>The covector (γ_final ∘ W_U[:,v]) / r_final[dst]: a logit. Only from the last layer.</summary>
    public double[] TokenTarget(int dst, int token)
    {
        Assert.Equal(_c.NumHiddenLayers, Top);
        return Vec.Scaled(Vec.Times(_w.FinalNorm, _w.Unembedding.Row(token)), 1 / run.Row("ln_final.hook_scale", dst)[0]);
    }

    /// <summary>
    /// The covector of the score of a head of the layer after the flow, with <paramref name="dst"/> as one side and the run's rotated vector at <paramref name="other"/>
    /// as the other: unit vector by unit vector through the rotation and the projection.
    /// </summary>
    public double[] ScoreTarget(int dst, int head, int other, bool isKey)
    {
        int k = _c.HeadDim, group = _w.KvHead(head), own = isKey ? group : head;
        Matrix w = isKey ? _w.Layers[Top].K : _w.Layers[Top].Q;
        double[] across = run.Row($"blocks.{Top}.attn.hook_rot_{(isKey ? 'q' : 'k')}", other, isKey ? head : group).ToArray(), g = new double[_c.HiddenSize];
        double[] frequencies = ReferenceRotary.Frequencies(_c);
        for (int i = 0; i < k; i++)
        {
            double weight = Vec.Dot(ReferenceRotary.Rotate(Vec.Unit(k, i), dst, frequencies, _c.RotaryLayout), across) / Math.Sqrt(k);
            g = [.. g.Zip(w.Row(own * k + i).ToArray(), (sum, element) => sum + weight * element)];
        }

        return Vec.Scaled(Vec.Times(_w.Layers[Top].Norm1, g), 1 / run.Row($"blocks.{Top}.ln1.hook_scale", dst)[0]);
    }

    /// <summary>resid_pre[a] at <paramref name="src"/>, zero elsewhere.</summary>
    public double[][] SourceAt(int src)
    {
        double[][] y = Vec.Zeros(run.Tokens, _c.HiddenSize);
        run.Residual(from, src).CopyTo(y[src]);
        return y;
    }

    /// <summary>A[h,t,s] (y ∘ γ₁ / r₁[s]) W_V W_O: what one edge carries of y at its key.</summary>
    public double[] AlongEdge(int layer, int head, int query, int key, double[] y) =>
        Vec.Scaled(y, run.Pattern(layer, head, query, key) / run.Row($"blocks.{layer}.ln1.hook_scale", key)[0]) * _ov[layer - from][head];

    /// <summary>(SiLU(gate[t]) ∘ ((y ∘ γ₂ / r₂[t]) W_up)) W_down: what the frozen MLP makes of y at t.</summary>
    public double[] ThroughMlp(int layer, int token, double[] y)
    {
        ReferenceLayer w = _w.Layers[layer];
        double r = run.Row($"blocks.{layer}.ln2.hook_scale", token)[0];
        double[] normed = Vec.Scaled(Vec.Times(y, w.Norm2), 1 / r);
        ReadOnlySpan<double> gate = run.Row($"blocks.{layer}.mlp.hook_pre", token);
        double[] result = new double[_c.HiddenSize];
        for (int f = 0; f < _c.IntermediateSize; f++)
        {
            double post = ReferenceModel.Silu(gate[f]) * Vec.Dot(normed, w.Up.Row(f));
            for (int d = 0; d < result.Length; d++)
                result[d] += post * w.Down[d, f];
        }

        return result;
    }

    /// <summary>resid_mid of the linear network; <paramref name="cut"/> (layer, head, query, key) is an edge to leave out, if any.</summary>
    public double[][] PassAttention(int layer, double[][] y, (int Layer, int Head, int Query, int Key)? cut = null)
    {
        double[][] mid = [.. y.Select(row => row.ToArray())];
        for (int h = 0; h < _c.NumAttentionHeads; h++)
        {
            for (int t = 0; t < run.Tokens; t++)
            {
                for (int s = 0; s <= t; s++)
                {
                    if (cut != (layer, h, t, s))
                        Vec.AddTo(mid[t], AlongEdge(layer, h, t, s, y[s]));
                }
            }
        }

        return mid;
    }

    /// <summary>resid_post of the linear network out of its resid_mid.</summary>
    public double[][] PassMlp(int layer, double[][] mid)
    {
        double[][] post = [.. mid.Select(row => row.ToArray())];
        for (int t = 0; throughMlp && t < run.Tokens; t++)
            Vec.AddTo(post[t], ThroughMlp(layer, t, mid[t]));
        return post;
    }

    /// <summary>The stream <paramref name="y"/>, entering layer <paramref name="entry"/>, as it leaves the last one.</summary>
    public double[][] Propagate(double[][] y, int entry, (int Layer, int Head, int Query, int Key)? cut = null)
    {
        for (int l = entry; l < Top; l++)
            y = PassMlp(l, PassAttention(l, y, cut));
        return y;
    }

    /// <summary>The flow from src to dst, by direct propagation and nothing else.</summary>
    public double Total(int src, int dst, double[] target, (int Layer, int Head, int Query, int Key)? cut = null) =>
        Vec.Dot(Propagate(SourceAt(src), from, cut)[dst], target);

    /// <summary>The flow from every position's resid_pre[a], [T].</summary>
    public double[] AllSources(int dst, double[] target) => [.. Enumerable.Range(0, run.Tokens).Select(src => Total(src, dst, target))];

    /// <summary>
    /// The flow from every MLP's output as a source of its own, [n][T]; with <c>source</c> these and <see cref="AllSources"/> add up to the whole.
    /// An MLP's output enters the stream above its layer.
    /// </summary>
    public double[][] MlpSources(int dst, double[] target) => [.. Enumerable.Range(from, layers).Select(l =>
        Enumerable.Range(0, run.Tokens).Select(t =>
        {
            double[][] y = Vec.Zeros(run.Tokens, _c.HiddenSize);
            run.Row($"blocks.{l}.hook_mlp_out", t).CopyTo(y[t]);
            return Vec.Dot(Propagate(y, l + 1)[dst], target);
        }).ToArray())];
}
