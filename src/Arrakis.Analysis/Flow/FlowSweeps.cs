using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// The two sweeps that give every edge of a flow: the source's share of the stream carried up, and the target's covector carried down, layer by layer. At the bottom the
/// share stands at the source alone and at the top the covector at the destination alone, so that the first and the last layer cost little.
/// </summary>
internal sealed unsafe class FlowSweeps
{
    private readonly Compute _compute;
    private readonly ActivationCache _cache;
    private readonly FrozenNetwork _network;
    private readonly nint[] _pre, _mid, _values, _gPost, _gMid, _gz;
    private readonly Window[] _keys, _queries;

    /// <param name="compute">With room for <see cref="Floats"/>.</param>
    /// <param name="cache">The run.</param>
    /// <param name="network">The network.</param>
    /// <param name="from">a.</param>
    /// <param name="layers">n.</param>
    /// <param name="first">The first position that anything starts from.</param>
    /// <param name="sourceLast">The last position that anything starts from.</param>
    /// <param name="dst">The destination.</param>
    public FlowSweeps(Compute compute, ActivationCache cache, FrozenNetwork network, int from, int layers, int first, int sourceLast, int dst)
    {
        (_compute, _cache, _network, From, Layers) = (compute, cache, network, from, layers);
        (_keys, _queries) = (new Window[layers + 1], new Window[layers]);
        (_pre, _mid, _values) = (new nint[layers + 1], new nint[layers], new nint[layers]);
        (_gPost, _gMid, _gz) = (new nint[layers + 1], new nint[layers], new nint[layers]);
        LlamaConfig c = compute.Config;
        int d = c.HiddenSize, kv = c.NumKeyValueHeads * c.HeadDim, q = c.NumAttentionHeads * c.HeadDim;
        _keys[0] = new Window(first, sourceLast);
        _pre[0] = Take(_keys[0], d);
        _gPost[0] = Take(_keys[0], d);
        for (int i = 0; i < layers; i++)
        {
            _queries[i] = _keys[i + 1] = i == layers - 1 ? new Window(dst, dst) : new Window(first, dst);
            (_values[i], _mid[i], _pre[i + 1]) = (Take(_keys[i], kv), Take(_queries[i], d), Take(_queries[i], d));
            (_gz[i], _gMid[i], _gPost[i + 1]) = (Take(_queries[i], q), Take(_queries[i], d), Take(_queries[i], d));
        }
    }

    public int From { get; }

    public int Layers { get; }

    /// <summary>Floats that sweeps over this many positions take.</summary>
    public static long Floats(LlamaConfig c, int layers, int rows) =>
        (long)(layers + 1) * rows * (4L * c.HiddenSize + ((long)c.NumKeyValueHeads + c.NumAttentionHeads) * c.HeadDim) + layers * 8L * 128;

    /// <summary>Positions at which the share stands before layer a + i.</summary>
    public Window Keys(int i) => _keys[i];

    /// <summary>Positions that matter behind the attention of layer a + i.</summary>
    public Window Queries(int i) => _queries[i];

    /// <summary>The share before layer a + i, [keys, D]; i = n is behind the last.</summary>
    public float* Pre(int i) => (float*)_pre[i];

    /// <summary>The share between attention and MLP, [queries, D].</summary>
    public float* Mid(int i) => (float*)_mid[i];

    /// <summary>V(s), [keys, G·K].</summary>
    public float* Values(int i) => (float*)_values[i];

    /// <summary>The covector before layer a + i, [keys, D]; i = n is behind the last.</summary>
    public float* Covector(int i) => (float*)_gPost[i];

    /// <summary>The covector between attention and MLP, [queries, D].</summary>
    public float* MidCovector(int i) => (float*)_gMid[i];

    /// <summary>G_z, [queries, H·K].</summary>
    public float* HeadCovectors(int i) => (float*)_gz[i];

    /// <summary>Carries <see cref="Pre"/>(0) up.</summary>
    public void Forward(CancellationToken cancellation)
    {
        for (int i = 0; i < Layers; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            _network.Values(From + i, _keys[i], Pre(i), Values(i));
            _network.Attention(From + i, _keys[i], Pre(i), Values(i), _queries[i], Mid(i));
            _network.Mlp(From + i, _queries[i], Mid(i), Pre(i + 1));
        }
    }

    /// <summary>Carries <see cref="Covector"/>(n) down.</summary>
    public void Backward(CancellationToken cancellation)
    {
        for (int i = Layers - 1; i >= 0; i--)
        {
            cancellation.ThrowIfCancellationRequested();
            _network.MlpBack(From + i, _queries[i], Covector(i + 1), MidCovector(i));
            _network.HeadCovectors(From + i, _queries[i], MidCovector(i), HeadCovectors(i));
            _network.AttentionBack(From + i, _queries[i], MidCovector(i), HeadCovectors(i), _keys[i], Covector(i));
        }
    }

    /// <summary>What the share carries behind the last layer.</summary>
    public double Total => TensorPrimitives.Dot<float>(Compute.Row(Pre(Layers), 0, _compute.Config.HiddenSize), Compute.Row(Covector(Layers), 0, _compute.Config.HiddenSize));

    /// <summary>The cut at layer a + i; its edges go to <paramref name="edges"/> as they come, a block of queries at a time.</summary>
    public FlowLayer Cut(int i, FlowEdges edges)
    {
        LlamaConfig c = _compute.Config;
        var heads = new double[c.NumAttentionHeads];
        ReadOnlySpan<float> pattern = _cache.Flat(HookPoint.Pattern, From + i);
        for (int h = 0; h < heads.Length; h++)
            heads[h] = HeadEdges(i, h, pattern, edges);
        double residual = 0, bypass = 0, through = 0;
        for (int t = _queries[i].First; t <= _queries[i].Last; t++)
        {
            int row = t - _queries[i].First, key = t - _keys[i].First;
            if (key >= 0 && t <= _keys[i].Last)
                residual += Dot(MidCovector(i), row, Pre(i), key);
            bypass += Dot(Covector(i + 1), row, Mid(i), row);
            through += Dot(Covector(i + 1), row, Pre(i + 1), row);
        }

        return new FlowLayer(From + i, residual, through - bypass, bypass, heads);
    }

    private double Dot(float* a, int rowA, float* b, int rowB) =>
        TensorPrimitives.Dot<float>(Compute.Row(a, rowA, _compute.Config.HiddenSize), Compute.Row(b, rowB, _compute.Config.HiddenSize));

    private double HeadEdges(int i, int head, ReadOnlySpan<float> pattern, FlowEdges edges)
    {
        LlamaConfig c = _compute.Config;
        int k = c.HeadDim, tokens = _cache.Tokens;
        nint vStride = (nint)c.NumKeyValueHeads * k, gStride = (nint)c.NumAttentionHeads * k;
        float* v = Values(i) + (nint)(head / c.HeadsPerKeyValueHead) * k;
        Window keys = _keys[i], queries = _queries[i];
        double sum = 0;
        for (int first = queries.First; first <= queries.Last; first += FlowEdges.BlockQueries)
        {
            int last = Math.Min(queries.Last, first + FlowEdges.BlockQueries - 1), seen = Math.Min(keys.Last, last) - keys.First + 1;
            if (seen <= 0)
                continue;
            float* g = HeadCovectors(i) + (first - queries.First) * gStride + (nint)head * k;
            _compute.Multiply(g, gStride, last - first + 1, k, [new(Compute.Matrix(v, seen, k, vStride), edges.Block, seen)]);
            for (int t = first; t <= last; t++)
            {
                int visible = Math.Min(keys.Last, t) - keys.First + 1;
                if (visible <= 0)
                    continue;
                Span<float> flows = Compute.Row(edges.Block, t - first, seen)[..visible];
                TensorPrimitives.Multiply(flows, pattern.Slice((head * tokens + t) * tokens + keys.First, visible), flows);
                sum += edges.Add(From + i, head, t, keys.First, flows);
            }
        }

        return sum;
    }

    private nint Take(Window rows, int columns) => (nint)_compute.Take((long)rows.Length * columns);
}
