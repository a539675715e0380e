using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;

namespace Arrakis.Analysis;

/// <summary>
/// The strongest paths of a flow. Beginnings of paths grow a layer at a time, all at once, so that each layer's weights are read once; of every generation those are
/// kept over which the most flows to the destination, which the covectors of the sweeps tell exactly. Where none had to be dropped the search was exhaustive.
/// </summary>
internal sealed unsafe class FlowPathSearch
{
    private readonly Compute _compute;
    private readonly ActivationCache _cache;
    private readonly FlowSweeps _sweeps;
    private readonly FrozenMlp? _mlp;
    private readonly int _breadth;
    private readonly float* _streams, _mids, _through, _values, _headInputs;
    private readonly float[] _scales;
    private readonly List<Move>[] _moves;
    private Node[] _frontier;

    public FlowPathSearch(Compute compute, ActivationCache cache, FlowSweeps sweeps, bool throughMlp, int breadth)
    {
        (_compute, _cache, _sweeps, _breadth) = (compute, cache, sweeps, breadth);
        _mlp = throughMlp ? new FrozenMlp(compute, cache, breadth) : null;
        LlamaConfig c = compute.Config;
        _streams = Take(c.HiddenSize);
        _mids = Take(c.HiddenSize);
        _through = Take(c.HiddenSize);
        _values = Take(c.NumKeyValueHeads * c.HeadDim);
        _headInputs = Take(c.HeadDim);
        _scales = new float[breadth];
        _moves = [.. Enumerable.Range(0, sweeps.Layers).Select(_ => new List<Move>())];
        Window source = sweeps.Keys(0);
        Compute.Row(sweeps.Pre(0), 0, c.HiddenSize).CopyTo(Compute.Row(_streams, 0, c.HiddenSize));
        _frontier = [new Node(-1, source.First, 0)];
    }

    /// <summary>Whether no beginning of a path was dropped: then what is found are the strongest there are.</summary>
    public bool Exhaustive { get; private set; } = true;

    private int D => _compute.Config.HiddenSize;

    /// <summary>
    /// How many beginnings to keep: as many as asked for, or as fit in 16 MB and no fewer than a few hundred; but no more than there are paths, which at every layer
    /// stay or move with a head, and go through an MLP or past it.
    /// </summary>
    public static int Breadth(LlamaConfig c, FlowOptions options, int positions)
    {
        if (options.Paths == 0)
            return 0;
        double choices = (1 + (double)c.NumAttentionHeads * positions) * (options.Mlp == MlpTreatment.Frozen ? 2 : 1);
        int wanted = Math.Max(options.Paths, options.PathBreadth ?? (int)Math.Clamp((4L << 20) / Floats(c, 1), 256, 16384));
        return (int)Math.Min(wanted, Math.Pow(choices, options.Layers));
    }

    /// <summary>Floats of a search.</summary>
    public static long Floats(LlamaConfig c, int breadth) =>
        (long)breadth * (3L * c.HiddenSize + (c.NumKeyValueHeads + 1L) * c.HeadDim + c.IntermediateSize);

    /// <summary>The strongest complete paths, strongest first.</summary>
    public FlowPath[] Find(int count, CancellationToken cancellation)
    {
        for (int i = 0; i < _sweeps.Layers; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Candidate[] moved = Attention(i);
            MidStreams(i, moved);
            Mlp(i, moved);
        }

        int[] order = [.. Enumerable.Range(0, _frontier.Length).Where(n => _frontier[n].Flow != 0)];
        Array.Sort(order, (a, b) =>
        {
            int strength = Math.Abs(_frontier[b].Flow).CompareTo(Math.Abs(_frontier[a].Flow));
            return strength != 0 ? strength : a.CompareTo(b);
        });
        return [.. order.Take(count).Select(n => new FlowPath(Steps(_frontier[n]), _frontier[n].Flow))];
    }

    private float* Take(int columns) => _compute.Take((long)_breadth * columns);

    private FlowStep[] Steps(Node node)
    {
        var steps = new FlowStep[_sweeps.Layers];
        int at = node.Link;
        for (int i = steps.Length - 1; i >= 0; i--)
        {
            Move move = _moves[i][at];
            steps[i] = new FlowStep(_sweeps.From + i, move.Head < 0 ? null : move.Head, move.From, move.To, move.Mlp);
            at = move.Parent;
        }

        return steps;
    }

    /// <summary>Every way through the attention of layer a + i, and what flows over it: the best of them.</summary>
    private Candidate[] Attention(int i)
    {
        LlamaConfig c = _compute.Config;
        LlamaLayer w = _compute.Model.Weights.Layers[_sweeps.From + i];
        int count = _frontier.Length, k = c.HeadDim, tokens = _cache.Tokens;
        ReadOnlySpan<float> scales = _cache.Flat(HookPoint.Ln1Scale, _sweeps.From + i);
        for (int n = 0; n < count; n++)
            _scales[n] = scales[_frontier[n].Position];
        _compute.Normed(_streams, w.AttentionNorm, _scales, _through, count);
        _compute.Project(_through, count, w.Value, _values);

        ReadOnlySpan<float> pattern = _cache.Flat(HookPoint.Pattern, _sweeps.From + i);
        Window queries = _sweeps.Queries(i);
        var best = new Strongest<Candidate>(_breadth);
        for (int n = 0; n < count; n++)
        {
            int s = _frontier[n].Position;
            if (s >= queries.First && s <= queries.Last)
                Add(best, new(n, -1, s, 1, TensorPrimitives.Dot<float>(Compute.Row(_streams, n, D), Compute.Row(_sweeps.MidCovector(i), s - queries.First, D))));
            for (int h = 0; h < c.NumAttentionHeads; h++)
            {
                ReadOnlySpan<float> v = new(_values + ((nint)n * c.NumKeyValueHeads + h / c.HeadsPerKeyValueHead) * k, k);
                for (int t = Math.Max(s, queries.First); t <= queries.Last; t++)
                {
                    float a = pattern[(h * tokens + t) * tokens + s];
                    if (a == 0)
                        continue;
                    ReadOnlySpan<float> g = new(_sweeps.HeadCovectors(i) + ((nint)(t - queries.First) * c.NumAttentionHeads + h) * k, k);
                    Add(best, new(n, h, t, a, a * TensorPrimitives.Dot(g, v)));
                }
            }
        }

        // Without MLPs the last generation are complete paths, of which only the weakest were dropped.
        Exhaustive &= !best.Dropped || (i == _sweeps.Layers - 1 && _mlp is null);
        return best.InOrder();
    }

    /// <summary>The kept streams behind the attention: as they were, or A v W_O[h], all of a head together.</summary>
    private void MidStreams(int i, Candidate[] moved)
    {
        LlamaConfig c = _compute.Config;
        int k = c.HeadDim;
        for (int n = 0; n < moved.Length; n++)
        {
            if (moved[n].Head < 0)
                Compute.Row(_streams, moved[n].Parent, D).CopyTo(Compute.Row(_mids, n, D));
        }

        foreach (IGrouping<int, int> head in Enumerable.Range(0, moved.Length).Where(n => moved[n].Head >= 0).GroupBy(n => moved[n].Head))
        {
            int rows = 0;
            foreach (int n in head)
            {
                float* v = _values + ((nint)moved[n].Parent * c.NumKeyValueHeads + head.Key / c.HeadsPerKeyValueHead) * k;
                TensorPrimitives.Multiply(new ReadOnlySpan<float>(v, k), moved[n].Pattern, Compute.Row(_headInputs, rows++, k));
            }

            _compute.Project(_headInputs, rows, _compute.Model.Weights.Layers[_sweeps.From + i].Output.SliceColumns(head.Key * k, k), _through);
            rows = 0;
            foreach (int n in head)
                Compute.Row(_through, rows++, D).CopyTo(Compute.Row(_mids, n, D));
        }
    }

    /// <summary>Past the MLP and, where streams go through it, through it: the best of both.</summary>
    private void Mlp(int i, Candidate[] moved)
    {
        _mlp?.Forward(_sweeps.From + i, [.. moved.Select(move => move.To)], _mids, _through);
        var best = new Strongest<Candidate>(_breadth);
        for (int n = 0; n < moved.Length; n++)
        {
            ReadOnlySpan<float> g = Compute.Row(_sweeps.Covector(i + 1), moved[n].To - _sweeps.Queries(i).First, D);
            Add(best, new(n, 0, moved[n].To, 1, TensorPrimitives.Dot(Compute.Row(_mids, n, D), g)));
            if (_mlp is not null)
                Add(best, new(n, 1, moved[n].To, 1, TensorPrimitives.Dot(Compute.Row(_through, n, D), g)));
        }

        Exhaustive &= !best.Dropped || i == _sweeps.Layers - 1;
        Candidate[] kept = best.InOrder();
        var next = new Node[kept.Length];
        for (int m = 0; m < kept.Length; m++)
        {
            Candidate choice = kept[m], move = moved[choice.Parent];
            bool mlp = choice.Head == 1;
            Compute.Row(mlp ? _through : _mids, choice.Parent, D).CopyTo(Compute.Row(_streams, m, D));
            _moves[i].Add(new Move(_frontier[move.Parent].Link, move.Head, _frontier[move.Parent].Position, move.To, mlp));
            next[m] = new Node(m, move.To, choice.Flow);
        }

        _frontier = next;
    }

    private static void Add(Strongest<Candidate> best, in Candidate candidate) => best.Add(candidate, Math.Abs(candidate.Flow));

    /// <summary>A beginning of a path: the move that it ends with, where it is, and what flows over it.</summary>
    private readonly record struct Node(int Link, int Position, double Flow);

    private readonly record struct Move(int Parent, int Head, int From, int To, bool Mlp);

    private readonly record struct Candidate(int Parent, int Head, int To, float Pattern, double Flow);
}
