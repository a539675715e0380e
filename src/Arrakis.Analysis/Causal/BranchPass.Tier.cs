using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Kernels;
using Arrakis.Native.Model;

namespace Arrakis.Analysis;

/// <summary>The steps are those of the forward pass, in its order; here a row belongs to a variant and a position.</summary>
internal sealed unsafe partial class BranchPass<TKernels> : BranchPass where TKernels : struct, IKernels
{
    private readonly Compute _compute;
    private readonly ActivationCache _run;
    private readonly CausalMetric _metric;
    private readonly LlamaConfig _c;
    private readonly LlamaWeights _weights;
    private readonly RotaryTable.Values _rotary;
    private readonly Window _needed;
    private readonly int _d, _q, _kv, _f;

    // Rows of the batch: the stream behind the last layer; before this one; what projections read; what they make.
    private readonly float* _before, _stream, _normed, _gathered, _queries, _keys, _unrotated, _values, _heads, _written, _gate, _up, _logits;
    private readonly float* _row;

    // Of a variant's rows, those in which a head has come to write something else.
    private readonly bool[] _changed;

    public BranchPass(LlamaModel model, ActivationCache run, CausalMetric metric, int rows, AnalysisOptions options)
    {
        (_run, _metric, _c, _weights) = (run, metric, model.Config, model.Weights);
        (_d, _q, _kv, _f) = (_c.HiddenSize, _c.NumAttentionHeads * _c.HeadDim, _c.NumKeyValueHeads * _c.HeadDim, _c.IntermediateSize);
        _rotary = model.Rotary.For(run.Tokens);
        _needed = metric.Needed(run.Tokens);
        _perRow = Padded(_c.HeadDim);
        int logits = metric.Tokens.Length > 0 ? 0 : _c.VocabSize;
        long floats = (long)rows * (5 * _d + 2 * _q + 3 * _kv + 2 * _f + logits) + AttentionFloats(run.Tokens) + _d;
        _compute = Compute.Rent(model, options with { Threads = 1 }, rows, Math.Max(Math.Max(_d, _f), _q), floats);
        _before = _compute.Take((long)rows * _d);
        _stream = _compute.Take((long)rows * _d);
        _normed = _compute.Take((long)rows * _d);
        _gathered = _compute.Take((long)rows * _d);
        _written = _compute.Take((long)rows * _d);
        _queries = _compute.Take((long)rows * _q);
        _heads = _compute.Take((long)rows * _q);
        _keys = _compute.Take((long)rows * _kv);
        _unrotated = _compute.Take((long)rows * _kv);
        _values = _compute.Take((long)rows * _kv);
        _gate = _compute.Take((long)rows * _f);
        _up = _compute.Take((long)rows * _f);
        _logits = _compute.Take((long)rows * logits);
        _row = _compute.Take(_d);
        _changed = new bool[rows];
        TakeAttention(run.Tokens);
    }

    public override void Dispose() => _compute.Dispose();

    public override void Run(ReadOnlySpan<Branch> batch, Span<double> values)
    {
        for (int layer = batch[0].StartLayer; layer < _c.NumHiddenLayers; layer++)
        {
            (int ins, int outs) = Enter(batch, layer, layer == _c.NumHiddenLayers - 1 ? _needed : new Window(0, _needed.Last));
            LlamaLayer w = _weights.Layers[layer];
            Queries(batch, layer, ins, w);
            foreach (Branch branch in batch)
                Attend(branch, layer);
            _compute.Project(_heads, outs, w.Output, _written);
            foreach (Branch branch in batch)
                AddAttention(branch, layer);
            Mlp(batch, layer, outs, w);
        }

        Finish(batch, values);
    }

    /// <summary>Says which rows the layer makes, numbers them, and lays out the stream before it: [In, D] in <see cref="_stream"/>.</summary>
    private (int Ins, int Outs) Enter(ReadOnlySpan<Branch> batch, int layer, Window wanted)
    {
        int ins = 0, outs = 0;
        foreach (Branch branch in batch)
        {
            branch.Enter(layer, wanted);
            (branch.InAt, branch.OutAt) = (ins, outs);
            ins += branch.In.Length;
            outs += branch.Out.Length;
            for (int t = branch.In.First; t <= branch.In.Last; t++)
                EnterRow(branch, layer, t, Row(_stream, InRow(branch, t), _d));
        }

        return (ins, outs);
    }

    private void EnterRow(Branch branch, int layer, int position, Span<float> row)
    {
        if (layer == 0)
        {
            // From the table: of two changes at the embedding and the stream, the run's row has both behind it, and the variant's may go between.
            fixed (float* x = row)
                TKernels.Widen(_weights.Embedding.Type, _weights.Embedding.Row(_run.Ids[position]), _d, x);
            branch.Plan.Apply(HookPoint.Embed, layer, position, 0, row);
        }
        else
        {
            Before(branch, layer, position).CopyTo(row);
        }

        bool ofRun = layer > 0 && !Within(branch.Before, position);
        (ofRun ? branch.Change : branch.Plan).Apply(HookPoint.ResidPre, layer, position, 0, row);
    }

    /// <summary>The stream that a layer found at a position: the variant's own, or the run's.</summary>
    private ReadOnlySpan<float> Before(Branch branch, int layer, int position) =>
        Within(branch.Before, position) ? Row(_before, branch.BeforeAt + position - branch.Before.First, _d) : Base(HookPoint.ResidPre, layer, position, _d);

    /// <summary>norm, q, k, v and rotation of the rows that are no longer the run's. Queries only where the stream behind attention is wanted.</summary>
    private void Queries(ReadOnlySpan<Branch> batch, int layer, int ins, LlamaLayer w)
    {
        int asked = 0;
        foreach (Branch branch in batch)
        {
            for (int t = branch.In.First; t <= branch.In.Last; t++)
            {
                float* normed = _normed + (nint)InRow(branch, t) * _d;
                Norm(branch, HookPoint.Ln1Scale, layer, t, _stream + (nint)InRow(branch, t) * _d, w.AttentionNorm, normed);
                if (Within(branch.Out, t))
                    new ReadOnlySpan<float>(normed, _d).CopyTo(Row(_gathered, asked++, _d));
            }
        }

        if (ins == 0)
            return;
        _compute.Multiply(_normed, _d, ins, _d, [new(w.Key, _keys, _kv), new(w.Value, _values, _kv)]);
        if (asked > 0)
            _compute.Project(_gathered, asked, w.Query, _queries);
        float* query = _queries;
        foreach (Branch branch in batch)
        {
            Each(branch, HookPoint.K, layer, _keys, branch.InAt, branch.In);
            Each(branch, HookPoint.V, layer, _values, branch.InAt, branch.In);
            branch.QueryAt = (int)((query - _queries) / _q);
            for (int t = branch.In.First; t <= branch.In.Last; t++)
            {
                float* key = _keys + (nint)InRow(branch, t) * _kv;
                KeepUnrotated(branch, layer, t, key);
                Rotate(key, _c.NumKeyValueHeads, t);
                if (!Within(branch.Out, t))
                    continue;
                branch.Plan.Apply(HookPoint.Q, layer, query, t, 1, _c.NumAttentionHeads, _c.HeadDim, _q, _c.HeadDim);
                Rotate(query, _c.NumAttentionHeads, t);
                branch.Plan.Apply(HookPoint.RotQ, layer, query, t, 1, _c.NumAttentionHeads, _c.HeadDim, _q, _c.HeadDim);
                query += _q;
            }

            Each(branch, HookPoint.RotK, layer, _keys, branch.InAt, branch.In);
        }
    }

    /// <summary>mid = pre + attn_out, over what is written; a change of a head's own write goes into the sum.</summary>
    private void AddAttention(Branch branch, int layer)
    {
        if (branch.Plan.Touches(HookPoint.Result, layer))
            Results(branch, layer);
        Each(branch, HookPoint.AttnOut, layer, _written, branch.OutAt, branch.Out);
        for (int t = branch.Out.First; t <= branch.Out.Last; t++)
        {
            ReadOnlySpan<float> pre = Within(branch.In, t) ? Row(_stream, InRow(branch, t), _d) : Before(branch, layer, t);
            Span<float> mid = Row(_written, OutRow(branch, t), _d);
            TensorPrimitives.Add(pre, mid, mid);
        }

        Each(branch, HookPoint.ResidMid, layer, _written, branch.OutAt, branch.Out);
    }

    private void Results(Branch branch, int layer)
    {
        int rows = branch.Out.Length;
        Array.Clear(_changed);
        for (int h = 0; h < _c.NumAttentionHeads && rows > 0; h++)
        {
            if (!AnyTouched(branch, layer, h))
                continue;
            // The rows of the normed stream are free here, and are as many; so are those that queries were made of.
            WriteOf(layer, h, branch, rows);
            for (int i = 0; i < rows; i++)
            {
                branch.Plan.ApplyResult(
                    layer, branch.Out.First + i, h, Row(_normed, i, _d), new(_row, _d), Row(_written, branch.OutAt + i, _d), Row(_gathered, i, _d), ref _changed[i]);
            }
        }
    }

    private static bool AnyTouched(Branch branch, int layer, int head)
    {
        for (int t = branch.Out.First; t <= branch.Out.Last; t++)
        {
            if (branch.Plan.Touches(HookPoint.Result, layer, t, head))
                return true;
        }

        return false;
    }

    /// <summary>What a head writes at a variant's rows, into the rows of <see cref="_normed"/>.</summary>
    private void WriteOf(int layer, int head, Branch branch, int rows)
    {
        int k = _c.HeadDim;
        _compute.Multiply(
            _heads + (nint)branch.OutAt * _q + (nint)head * k, _q, rows, k, [new(_weights.Layers[layer].Output.SliceColumns(head * k, k), _normed, _d)]);
    }

    /// <summary>norm, gate, up, SiLU, down, and the stream behind the layer: [Out, D] in <see cref="_before"/>.</summary>
    private void Mlp(ReadOnlySpan<Branch> batch, int layer, int outs, LlamaLayer w)
    {
        if (outs == 0)
            return;
        foreach (Branch branch in batch)
        {
            for (int t = branch.Out.First; t <= branch.Out.Last; t++)
                Norm(branch, HookPoint.Ln2Scale, layer, t, _written + (nint)OutRow(branch, t) * _d, w.MlpNorm, _normed + (nint)OutRow(branch, t) * _d);
        }

        _compute.Multiply(_normed, _d, outs, _d, [new(w.Gate, _gate, _f), new(w.Up, _up, _f)]);
        foreach (Branch branch in batch)
        {
            Each(branch, HookPoint.MlpPre, layer, _gate, branch.OutAt, branch.Out);
            Each(branch, HookPoint.MlpPreLinear, layer, _up, branch.OutAt, branch.Out);
        }

        for (nint row = 0; row < outs; row++)
            TKernels.SiluMultiply(_gate + row * _f, _up + row * _f, _up + row * _f, _f);
        foreach (Branch branch in batch)
            Each(branch, HookPoint.MlpPost, layer, _up, branch.OutAt, branch.Out);
        _compute.Project(_up, outs, w.Down, _before);
        foreach (Branch branch in batch)
            Each(branch, HookPoint.MlpOut, layer, _before, branch.OutAt, branch.Out);
        for (nint row = 0; row < outs; row++)
            TKernels.Add(_written + row * _d, _before + row * _d, _before + row * _d, _d);
        foreach (Branch branch in batch)
            Each(branch, HookPoint.ResidPost, layer, _before, branch.OutAt, branch.Out);
    }

    /// <summary>x / r ∘ γ of one row.</summary>
    private void Norm(Branch branch, HookPoint scale, int layer, int position, float* x, float[] gamma, float* y)
    {
        // A norm's x / r follows its scale among the hook points.
        HookPoint normalized = scale + 1;
        float r = TKernels.Normalize(x, y, _d, _c.RmsNormEps), changed = r;
        if (branch.Plan.Apply(scale, layer, position, 0, new Span<float>(ref changed)) && changed != r)
            TensorPrimitives.Divide(new ReadOnlySpan<float>(x, _d), changed, new Span<float>(y, _d));
        branch.Plan.Apply(normalized, layer, position, 0, new Span<float>(y, _d));
        TKernels.Multiply(y, Address(gamma), y, _d);
    }

    private void Rotate(float* row, int heads, int position)
    {
        nint pair = (nint)position * (_c.HeadDim / 2);
        for (int h = 0; h < heads; h++)
            TKernels.Rotate(row + (nint)h * _c.HeadDim, row + (nint)h * _c.HeadDim, _c.HeadDim, Address(_rotary.Cos) + pair, Address(_rotary.Sin) + pair, _c.RotaryLayout);
    }

    /// <summary>Changes a variant's rows of a hook point, which were made anew.</summary>
    private void Each(Branch branch, HookPoint point, int layer, float* rows, int at, Window positions) => Each(branch.Plan, point, layer, rows, at, positions);

    private void Each(BoundInterventions plan, HookPoint point, int layer, float* rows, int at, Window positions)
    {
        if (positions.Length == 0 || !plan.Touches(point, layer))
            return;
        int heads = Math.Max(1, point.Heads(_c)), width = point.Width(_c, 1);
        plan.Apply(point, layer, rows + (nint)at * heads * width, positions.First, positions.Length, heads, width, (nint)heads * width, width);
    }

    /// <summary>A row of the run.</summary>
    private ReadOnlySpan<float> Base(HookPoint point, int layer, int position, int width) => _run.Flat(point, layer).Slice(position * width, width);

    private static int InRow(Branch branch, int position) => branch.InAt + position - branch.In.First;

    private static int OutRow(Branch branch, int position) => branch.OutAt + position - branch.Out.First;

    private static bool Within(Window window, int position) => position >= window.First && position <= window.Last;

    private static Span<float> Row(float* matrix, int row, int columns) => Compute.Row(matrix, row, columns);

    private static float* Address(float[] pinned) => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));

    private static int Padded(int value) => (value + 15) / 16 * 16;
}
