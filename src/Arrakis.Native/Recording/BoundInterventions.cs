using System.Numerics.Tensors;
using System.Runtime.InteropServices;

namespace Arrakis.Native;

/// <summary>
/// A plan made ready for one model: what is done at every hook point of every layer, and, once a pass is about to begin, where the values for it are.
/// Applying it allocates nothing.
/// </summary>
internal sealed unsafe class BoundInterventions
{
    private readonly CacheOrigin _model;
    private readonly Operation[]?[] _operations;
    private readonly int[][]? _readers;

    /// <exception cref="ArrakisException">The plan names what the model does not have.</exception>
    public BoundInterventions(InterventionPlan plan, CacheOrigin model)
    {
        (Plan, _model) = (plan, model);
        int layers = model.Config.NumHiddenLayers;
        InterventionCheck.Plan(plan, model.Config);
        _operations = new Operation[layers * HookNames.All.Count][];
        foreach (Intervention i in plan.Interventions)
        {
            for (int layer = i.Layer ?? 0; layer <= (i.Layer ?? layers - 1); layer++)
            {
                int at = Index(i.Point, layer);
                _operations[at] = [.. _operations[at] ?? [], new Operation(i, layer)];
            }
        }

        // Sweeps make plans by the thousand, and few have any.
        if (plan.Interventions.Any(i => i.Reader is not null))
            _readers = [.. Enumerable.Range(0, layers).Select(Of)];
        Readers = _readers?.Sum(heads => heads.Length) ?? 0;

        int[] Of(int layer) => [.. plan.Interventions
            .Where(i => i.Reader is not null && (i.Layer ?? layer) == layer).Select(i => i.Reader!.Value).Distinct().Order()];
    }

    public InterventionPlan Plan { get; }

    /// <summary>The names of the hook points at which anything is done, in the order of the forward pass.</summary>
    public string[] Names => [.. Enumerable.Range(0, _operations.Length).Where(i => _operations[i] is not null)
        .Select(i => ((HookPoint)(i % HookNames.All.Count)).Name(i / HookNames.All.Count)).Distinct()];

    /// <summary>Query heads of a layer that see keys or values of their own, in order.</summary>
    public ReadOnlySpan<int> ReadersOf(int layer) => _readers is null ? [] : _readers[layer];

    /// <summary>How many that are in all layers.</summary>
    public int Readers { get; }

    /// <summary>Whether anything is done at a hook point.</summary>
    public bool Touches(HookPoint point, int layer) => _operations[Index(point, layer)] is not null;

    /// <summary>Whether anything is done to a row that all see.</summary>
    public bool Touches(HookPoint point, int layer, int position, int head)
    {
        foreach (Operation operation in _operations[Index(point, layer)] ?? [])
        {
            if (operation.Covers(position, head, null))
                return true;
        }

        return false;
    }

    /// <summary>Checks a pass that is about to begin, and looks up what its values are replaced by.</summary>
    /// <exception cref="ArrakisException">A position is not in the sequence, or a source is not of this model or not of this length.</exception>
    public void Bind(ActivationCache? own, int past, int tokens)
    {
        foreach (Operation[]? operations in _operations)
        {
            foreach (Operation operation in operations ?? [])
                operation.Bind(_model, own, past, tokens);
        }
    }

    /// <summary>Changes the rows of a hook point, which lie token by token.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="layer">Its layer.</param>
    /// <param name="values">The first token's first row.</param>
    /// <param name="position">Where the first token stands.</param>
    /// <param name="tokens">How many tokens.</param>
    /// <param name="heads">Rows of a token.</param>
    /// <param name="width">Values of a row.</param>
    /// <param name="tokenStride">Floats from one token to the next.</param>
    /// <param name="headStride">Floats from one head to the next.</param>
    public void Apply(HookPoint point, int layer, float* values, int position, int tokens, int heads, int width, nint tokenStride, nint headStride)
    {
        foreach (Operation operation in _operations[Index(point, layer)] ?? [])
        {
            (int first, int last) = operation.Positions(position, tokens);
            for (nint t = first; t <= last; t++)
            {
                for (int h = 0; h < heads; h++)
                {
                    if (operation.Covers((int)t, h, null))
                        operation.Apply((int)t, h, new Span<float>(values + (t - position) * tokenStride + h * headStride, width));
                }
            }
        }
    }

    /// <summary>Changes one row.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="layer">Its layer.</param>
    /// <param name="position">Where it stands.</param>
    /// <param name="head">Its head.</param>
    /// <param name="row">The row; of scores and patterns, over the keys that the query sees.</param>
    /// <param name="reader">The query head that alone sees it; null where all do.</param>
    /// <returns>Whether anything was done.</returns>
    public bool Apply(HookPoint point, int layer, int position, int head, Span<float> row, int? reader = null)
    {
        bool done = false;
        foreach (Operation operation in _operations[Index(point, layer)] ?? [])
        {
            if (!operation.Covers(position, head, reader))
                continue;
            operation.Apply(position, head, row);
            done = true;
        }

        return done;
    }

    /// <summary>
    /// Changes what one head writes at a position, and by as much attn_out, the sum of what all heads write. A row that keeps its bits changes nothing. Where every head
    /// is named, attn_out is the sum of what they now write, so that all of them zeroed leave zero and not what rounding left, which the next norm would blow up.
    /// </summary>
    /// <param name="layer">The layer.</param>
    /// <param name="position">The position.</param>
    /// <param name="head">The head; a position's heads come in their order.</param>
    /// <param name="row">What it writes: [D].</param>
    /// <param name="before">Room for one row.</param>
    /// <param name="attnOut">The sum of all heads: [D].</param>
    /// <param name="named">Room for the sum of those that are named, the position's own.</param>
    /// <param name="changed">Whether a head's row has changed so far, the position's own.</param>
    public void ApplyResult(int layer, int position, int head, Span<float> row, Span<float> before, Span<float> attnOut, Span<float> named, ref bool changed)
    {
        row.CopyTo(before);
        if (!Apply(HookPoint.Result, layer, position, head, row))
            return;
        if (head == 0)
            row.CopyTo(named);
        else
            TensorPrimitives.Add(named, row, named);
        if (!MemoryMarshal.AsBytes(row).SequenceEqual(MemoryMarshal.AsBytes(before)))
        {
            changed = true;
            TensorPrimitives.Subtract(row, before, before);
            TensorPrimitives.Add(attnOut, before, attnOut);
        }

        if (head == _model.Config.NumAttentionHeads - 1 && changed && TouchesAllResults(layer, position))
            named.CopyTo(attnOut);
    }

    private bool TouchesAllResults(int layer, int position)
    {
        for (int h = 0; h < _model.Config.NumAttentionHeads; h++)
        {
            if (!Touches(HookPoint.Result, layer, position, h))
                return false;
        }

        return true;
    }

    private static int Index(HookPoint point, int layer) => layer * HookNames.All.Count + (int)point;

    /// <summary>One intervention in one layer.</summary>
    private sealed class Operation(Intervention intervention, int layer)
    {
        private readonly Intervention _i = intervention;
        private readonly int? _position = intervention.Position, _head = intervention.Head, _reader = intervention.Reader;

        // Where the source's row of a position and head begins.
        private ReadOnlyMemory<float> _source = intervention.Vector;
        private int _first, _positionStride, _headStride;

        public bool Covers(int position, int head, int? reader) =>
            (_position is not { } p || p == position) && (_head is not { } h || h == head) && _reader == reader;

        /// <summary>Positions of a run of tokens that are covered, first and last; last below first where none are.</summary>
        public (int First, int Last) Positions(int position, int tokens) => _position is not { } p
            ? (position, position + tokens - 1)
            : p >= position && p < position + tokens ? (p, p) : (0, -1);

        public void Bind(in CacheOrigin model, ActivationCache? own, int past, int tokens)
        {
            if (_position >= past + tokens)
                throw new ArrakisException($"an intervention at {_i.Point.Name(layer)} names position {_position}: the sequence has positions 0-{past + tokens - 1}");
            if (_reader is not null && past > 0)
                throw new ArrakisException($"query head {_reader} of layer {layer} has keys or values of its own, which are not kept: run the whole sequence with Forward");
            if (_position < past)
                return;
            if (_i.Cache is { } cache)
            {
                InterventionCheck.Cache(cache, model, own, past, tokens);
                Bind(cache.Values(_i.Point, layer), model.Config, past, tokens, perPosition: true);
            }
            else if (_i.Means is { } means)
            {
                InterventionCheck.Means(means, _i.Point, model, past, tokens);
                Bind(means.Values(_i.Point, layer), model.Config, past, tokens, means.PerPosition);
            }
        }

        public void Apply(int position, int head, Span<float> row)
        {
            if (_i.Key is { } key)
            {
                if (key >= row.Length)
                    return;
                row = row.Slice(key, 1);
            }

            if (_i.Kind == InterventionKind.Call)
            {
                _i.Callback!(new InterventionSite(_i.Point, layer, head, position), row);
                return;
            }

            ReadOnlySpan<float> source = _source.Span;
            if (!source.IsEmpty)
                source = source.Slice((position - _first) * _positionStride + head * _headStride + (_i.Vector is null ? _i.Key ?? 0 : 0), row.Length);
            switch (_i.Kind)
            {
                case InterventionKind.Fill: row.Fill(_i.Factor); break;
                case InterventionKind.Scale: TensorPrimitives.Multiply(row, _i.Factor, row); break;
                case InterventionKind.Add: TensorPrimitives.MultiplyAdd(source, _i.Factor, row, row); break;
                case InterventionKind.Replace: source.CopyTo(row); break;
                default: throw new InvalidOperationException($"no intervention of kind {_i.Kind}");
            }
        }

        private void Bind(ReadOnlyMemory<float> values, LlamaConfig config, int past, int tokens, bool perPosition)
        {
            bool byHead = _i.Point is HookPoint.AttnScores or HookPoint.Pattern;
            int width = _i.Point.Width(config, past + tokens), heads = Math.Max(1, _i.Point.Heads(config));
            _source = values;
            _first = past;
            _positionStride = !perPosition ? 0 : byHead ? width : heads * width;
            _headStride = byHead ? tokens * width : width;
        }
    }
}
