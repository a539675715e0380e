using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

// Attention of a variant's rows, and its logits.
internal sealed unsafe partial class BranchPass<TKernels>
{
    private readonly int _perRow;

    // One kv head's keys and values as a variant has them, [T, padded K], and those of a single reader; a query; its scores; a sum.
    private float* _kvKeys, _kvValues, _readerKeys, _readerValues, _query, _scores, _sum;

    private long AttentionFloats(int tokens) => 4L * tokens * _perRow + 2 * _perRow + tokens;

    private void TakeAttention(int tokens)
    {
        // Zeroed: what pads a row is multiplied too.
        _kvKeys = _compute.TakeZeroed((long)tokens * _perRow);
        _kvValues = _compute.TakeZeroed((long)tokens * _perRow);
        _readerKeys = _compute.TakeZeroed((long)tokens * _perRow);
        _readerValues = _compute.TakeZeroed((long)tokens * _perRow);
        _query = _compute.TakeZeroed(_perRow);
        _sum = _compute.Take(_perRow);
        _scores = _compute.Take(tokens);
    }

    /// <summary>z of a variant's rows: the run's where neither query nor keys nor values are other, else anew.</summary>
    private void Attend(Branch branch, int layer)
    {
        if (branch.In.Length == 0)
        {
            for (int t = branch.Out.First; t <= branch.Out.Last; t++)
                Base(HookPoint.Z, layer, t, _q).CopyTo(Row(_heads, OutRow(branch, t), _q));
        }
        else if (branch.Out.Length > 0)
        {
            bool rows = branch.Plan.Touches(HookPoint.AttnScores, layer) || branch.Plan.Touches(HookPoint.Pattern, layer);
            for (int g = 0; g < _c.NumKeyValueHeads; g++)
            {
                Gather(branch, HookPoint.RotK, layer, g, _keys, _kvKeys);
                Gather(branch, HookPoint.V, layer, g, _values, _kvValues);
                for (int h = g * _c.HeadsPerKeyValueHead; h < (g + 1) * _c.HeadsPerKeyValueHead; h++)
                {
                    bool own = branch.Plan.ReadersOf(layer).Contains(h);
                    if (own)
                        FillReader(branch, layer, g, h);
                    AttendHead(branch, layer, h, own ? _readerKeys : _kvKeys, own ? _readerValues : _kvValues, rows);
                }
            }
        }

        Each(branch.In.Length == 0 ? branch.Change : branch.Plan, HookPoint.Z, layer, _heads, branch.OutAt, branch.Out);
    }

    /// <summary>One kv head's rows up to the last that is looked at, the run's and the variant's.</summary>
    private void Gather(Branch branch, HookPoint point, int layer, int g, float* own, float* to)
    {
        int k = _c.HeadDim;
        ReadOnlySpan<float> run = _run.Flat(point, layer);
        for (int s = 0; s <= branch.Out.Last; s++)
        {
            ReadOnlySpan<float> row = Within(branch.In, s)
                ? new ReadOnlySpan<float>(own + (nint)InRow(branch, s) * _kv + (nint)g * k, k)
                : run.Slice(s * _kv + g * k, k);
            row.CopyTo(Row(to, s, _perRow));
        }
    }

    /// <summary>Keeps keys before rotation where a single query head will see others.</summary>
    private void KeepUnrotated(Branch branch, int layer, int position, float* key)
    {
        if (!branch.Plan.ReadersOf(layer).IsEmpty)
            new ReadOnlySpan<float>(key, _kv).CopyTo(Row(_unrotated, InRow(branch, position), _kv));
    }

    /// <summary>Keys and values as one query head sees them.</summary>
    private void FillReader(Branch branch, int layer, int g, int head)
    {
        int k = _c.HeadDim;
        long floats = (long)(branch.Out.Last + 1) * _perRow;
        new ReadOnlySpan<float>(_kvKeys, (int)floats).CopyTo(new Span<float>(_readerKeys, (int)floats));
        new ReadOnlySpan<float>(_kvValues, (int)floats).CopyTo(new Span<float>(_readerValues, (int)floats));
        for (int s = branch.In.First; s <= Math.Min(branch.In.Last, branch.Out.Last); s++)
        {
            float* unrotated = _unrotated + (nint)InRow(branch, s) * _kv + (nint)g * k, key = _readerKeys + (nint)s * _perRow;
            Span<float> raw = Row(_query, 0, k);
            new ReadOnlySpan<float>(unrotated, k).CopyTo(raw);
            if (branch.Plan.Apply(HookPoint.K, layer, s, g, raw, head))
            {
                raw.CopyTo(new Span<float>(key, k));
                Rotate(key, 1, s);
                // What the kv head's rotated keys are changed by was lost with them.
                branch.Plan.Apply(HookPoint.RotK, layer, s, g, new Span<float>(key, k));
            }

            branch.Plan.Apply(HookPoint.RotK, layer, s, g, new Span<float>(key, k), head);
            branch.Plan.Apply(HookPoint.V, layer, s, g, new Span<float>(_readerValues + (nint)s * _perRow, k), head);
        }
    }

    private void AttendHead(Branch branch, int layer, int head, float* keys, float* values, bool rows)
    {
        int k = _c.HeadDim;
        float scale = 1 / MathF.Sqrt(k);
        var matrix = new WeightMatrix((nint)keys, ElementType.F32, branch.Out.Last + 1, _perRow);
        for (int t = branch.Out.First; t <= branch.Out.Last; t++)
        {
            int seen = t + 1;
            QueryOf(branch, layer, t).Slice(head * k, k).CopyTo(new Span<float>(_query, k));
            TKernels.Dots(matrix, 0, seen, _query, _scores);
            TKernels.Scale(_scores, scale, _scores, seen);
            if (rows)
                branch.Plan.Apply(HookPoint.AttnScores, layer, t, head, new Span<float>(_scores, seen));
            TKernels.Softmax(_scores, _scores, seen);
            if (rows)
                branch.Plan.Apply(HookPoint.Pattern, layer, t, head, new Span<float>(_scores, seen));
            TKernels.WeightedSum(_scores, seen, values, _perRow, _perRow, _sum, accumulate: false);
            new ReadOnlySpan<float>(_sum, k).CopyTo(Row(_heads, OutRow(branch, t), _q).Slice(head * k, k));
        }
    }

    private ReadOnlySpan<float> QueryOf(Branch branch, int layer, int position) => Within(branch.In, position)
        ? Row(_queries, branch.QueryAt + position - Math.Max(branch.In.First, branch.Out.First), _q)
        : Base(HookPoint.RotQ, layer, position, _q);

    /// <summary>The last norm, the logits that the metric needs, and its number.</summary>
    private void Finish(ReadOnlySpan<Branch> batch, Span<double> values)
    {
        int last = _c.NumHiddenLayers - 1, rows = 0;
        foreach (Branch branch in batch)
        {
            branch.Finish(_needed);
            branch.OutAt = rows;
            for (int t = branch.Out.First; t <= branch.Out.Last; t++)
            {
                ReadOnlySpan<float> x = Within(branch.Before, t)
                    ? Row(_before, branch.BeforeAt + t - branch.Before.First, _d)
                    : Base(HookPoint.ResidPost, last, t, _d);
                x.CopyTo(new Span<float>(_row, _d));
                Norm(branch, HookPoint.LnFinalScale, 0, t, _row, _weights.FinalNorm, _normed + (nint)rows++ * _d);
            }
        }

        bool whole = _metric.Tokens.Length == 0;
        if (whole && rows > 0)
            _compute.Project(_normed, rows, _weights.Unembedding, _logits);
        foreach (Branch branch in batch)
            values[branch.Index] = whole ? OfAllTokens(branch) : OfItsTokens(branch);
    }

    private double OfAllTokens(Branch branch)
    {
        int v = _c.VocabSize;
        Each(branch, HookPoint.Logits, 0, _logits, branch.OutAt, branch.Out);
        ReadOnlySpan<float> run = _run.Flat(HookPoint.Logits).Slice(_needed.First * v, _needed.Length * v);
        if (branch.Out.Length == _needed.Length)
            return _metric.Measure(_run.Ids, new ReadOnlySpan<float>(_logits + (nint)branch.OutAt * v, _needed.Length * v));
        if (branch.Out.Length == 0)
            return _metric.Measure(_run.Ids, run);
        float[] mixed = run.ToArray();
        new ReadOnlySpan<float>(_logits + (nint)branch.OutAt * v, branch.Out.Length * v).CopyTo(mixed.AsSpan((branch.Out.First - _needed.First) * v));
        return _metric.Measure(_run.Ids, mixed);
    }

    // One position. An intervention at the logits themselves acts on the whole row.
    private double OfItsTokens(Branch branch)
    {
        Span<float> logits = stackalloc float[_metric.Tokens.Length];
        ReadOnlySpan<float> run = _run.Flat(HookPoint.Logits).Slice(_needed.First * _c.VocabSize, _c.VocabSize);
        if (branch.Out.Length > 0 && branch.Plan.Touches(HookPoint.Logits, 0))
        {
            float[] row = GC.AllocateUninitializedArray<float>(_c.VocabSize, pinned: true);
            TKernels.Dots(_weights.Unembedding, 0, _c.VocabSize, _normed + (nint)branch.OutAt * _d, Address(row));
            branch.Plan.Apply(HookPoint.Logits, 0, _needed.First, 0, row);
            run = row;
        }

        for (int i = 0; i < logits.Length; i++)
        {
            float logit = run[_metric.Tokens[i]];
            if (branch.Out.Length > 0 && !branch.Plan.Touches(HookPoint.Logits, 0))
                TKernels.Dots(_weights.Unembedding, _metric.Tokens[i], 1, _normed + (nint)branch.OutAt * _d, &logit);
            logits[i] = logit;
        }

        return _metric.Measure(_run.Ids, logits);
    }
}
