using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;

namespace Arrakis.Analysis;

/// <summary>The strongest edges of a flow, of all that pass by, and every head's strongest. Equal ones: the one that came first.</summary>
/// <param name="block">Memory for the flows of <see cref="BlockQueries"/> queries and all keys.</param>
/// <param name="limit">How many to keep; null for all that carry anything.</param>
internal sealed unsafe class FlowEdges(float* block, int? limit)
{
    /// <summary>Queries whose edges are computed together, so that keys after them are hardly computed for nothing.</summary>
    public const int BlockQueries = 64;

    private readonly Strongest<FlowEdge> _kept = new(limit ?? int.MaxValue);
    private readonly Dictionary<(int Layer, int Head), FlowEdge> _strongest = [];

    /// <summary>Where a block's flows are computed.</summary>
    public float* Block { get; } = block;

    /// <summary>Takes a query's flows from keys <paramref name="firstKey"/> on. Returns their sum.</summary>
    public double Add(int layer, int head, int query, int firstKey, ReadOnlySpan<float> flows)
    {
        float most = Math.Abs(TensorPrimitives.MaxMagnitude(flows));
        if (most > Math.Abs(_strongest.GetValueOrDefault((layer, head)).Flow))
        {
            int first = 0;
            while (Math.Abs(flows[first]) != most)
                first++;
            _strongest[(layer, head)] = new FlowEdge(layer, head, query, firstKey + first, flows[first]);
        }

        // An edge that carries nothing is none.
        double least = Math.Max(0, _kept.Least);
        for (int i = 0; i < flows.Length && most > least; i++)
        {
            if (Math.Abs(flows[i]) > least)
                _kept.Add(new FlowEdge(layer, head, query, firstKey + i, flows[i]), Math.Abs(flows[i]));
        }

        double sum = 0;
        foreach (float flow in flows)
            sum += flow;
        return sum;
    }

    /// <summary>A head's strongest edge; null where it carries nothing.</summary>
    public FlowEdge? Strongest(int layer, int head) => _strongest.TryGetValue((layer, head), out FlowEdge edge) ? edge : null;

    /// <summary>What was kept, strongest first; equal ones by layer, head, query and key.</summary>
    public FlowEdge[] Sorted()
    {
        FlowEdge[] edges = _kept.InOrder();
        Array.Sort(edges, static (a, b) =>
        {
            int order = Math.Abs(b.Flow).CompareTo(Math.Abs(a.Flow));
            return order != 0 ? order : (a.Layer, a.Head, a.Query, a.Key).CompareTo((b.Layer, b.Head, b.Query, b.Key));
        });
        return edges;
    }
}
