using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Arrakis.Native.Memory;

namespace Arrakis.Native.Model;

// What a plan changes on the way. Every step here returns at once where there is no plan, or none for its place.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    // Keys and values of readers' own, [reader][keys, values], kept while the tokens of one call come in chunks.
    private long ReaderFloats => 2 * Arena.Footprint((long)(_callKeys + KvCache.SpareRows) * cache.RowStride);

    private float* OneHead => workspace.Interventions;

    private float* NamedHeads => OneHead + Arena.Footprint((long)_tokens * _d);

    private float* OneRow => NamedHeads + Arena.Footprint((long)_tokens * _d);

    private float* ReaderKeys(int reader) => workspace.Interventions + _readersAt + reader * ReaderFloats;

    private long _readersAt;

    /// <summary>Floats that a pass needs for its interventions: what one head writes in a chunk, the sum of several, one row, and what readers see.</summary>
    private long InterventionFloats(int chunk)
    {
        if (Interventions is null)
            return 0;
        _readersAt = 2 * Arena.Footprint((long)chunk * _d) + Arena.Footprint(Math.Max(_d, config.HeadDim));
        return _readersAt + Interventions.Readers * ReaderFloats;
    }

    private void Intervene(int layer, HookPoint a, HookPoint? b = null, HookPoint? c = null)
    {
        if (Interventions is null)
            return;
        Apply(layer, a);
        if (b is { } second)
            Apply(layer, second);
        if (c is { } third)
            Apply(layer, third);
    }

    /// <summary>Whether a plan looks at one of these, which must then be in memory as rows.</summary>
    private bool Intervened(int layer, HookPoint a, HookPoint b, HookPoint c) =>
        Interventions is not null && (Interventions.Touches(a, layer) || Interventions.Touches(b, layer) || Interventions.Touches(c, layer));

    private void Apply(int layer, HookPoint point)
    {
        if (!Interventions!.Touches(point, layer))
            return;
        int heads = Math.Max(1, point.Heads(config)), width = point.Width(config, 1);
        Interventions.Apply(point, layer, At(point, layer), _position, _tokens, heads, width, (nint)heads * width, width);
    }

    /// <summary>A change of the scale or of x / r goes into what the projections read: whether there may be one. x is as it was when the norm read it.</summary>
    private bool InterveneNorm(int layer, HookPoint scale, HookPoint normalized, float* x, float[] gamma)
    {
        if (Interventions is null || !(Interventions.Touches(scale, layer) || Interventions.Touches(normalized, layer)))
            return false;
        float* scales = At(scale, layer), rows = At(normalized, layer);
        for (int t = 0; t < _tokens; t++)
        {
            int position = _position + t;
            if (!Interventions.Touches(scale, layer, position, 0) && !Interventions.Touches(normalized, layer, position, 0))
                continue;
            float* from = x + (nint)t * _d, row = rows + (nint)t * _d;
            // Where it is not recorded, x / r has become what the projections read.
            float r = TKernels.Normalize(from, row, _d, config.RmsNormEps);
            scales[t] = r;
            Interventions.Apply(scale, layer, position, 0, new Span<float>(scales + t, 1));
            if (scales[t] != r)
                TensorPrimitives.Divide(new ReadOnlySpan<float>(from, _d), scales[t], new Span<float>(row, _d));
            Interventions.Apply(normalized, layer, position, 0, new Span<float>(row, _d));
            TKernels.Multiply(row, Address(gamma), Normed + (nint)t * _d, _d);
        }

        return true;
    }

    /// <summary>Queries and keys after rotation; and what single query heads see of keys and values.</summary>
    private void InterveneRotated(int layer, float* k)
    {
        if (Interventions is null)
            return;
        Apply(layer, HookPoint.RotQ);
        if (Interventions.Touches(HookPoint.RotK, layer))
        {
            float* keys = cache.Keys(layer) + (nint)_position * cache.RowStride;
            Interventions.Apply(HookPoint.RotK, layer, keys, _position, _tokens, config.NumKeyValueHeads, config.HeadDim, cache.RowStride, cache.HeadStride);
            if (workspace.Recorded(HookPoint.RotK, layer) != null)
                CopyHeads(keys, At(HookPoint.RotK, layer));
        }

        ReadOnlySpan<int> readers = Interventions.ReadersOf(layer);
        for (int i = 0; i < readers.Length; i++)
            FillReader(layer, readers[i], FirstReader(layer) + i, k);
    }

    private void CopyHeads(float* keys, float* to)
    {
        for (nint t = 0; t < _tokens; t++)
        {
            for (nint g = 0; g < config.NumKeyValueHeads; g++)
            {
                new ReadOnlySpan<float>(keys + t * cache.RowStride + g * cache.HeadStride, config.HeadDim)
                    .CopyTo(new Span<float>(to + (t * config.NumKeyValueHeads + g) * config.HeadDim, config.HeadDim));
            }
        }
    }

    private int FirstReader(int layer)
    {
        int first = 0;
        for (int below = 0; below < layer; below++)
            first += Interventions!.ReadersOf(below).Length;
        return first;
    }

    /// <summary>The keys and values of these tokens as one query head sees them.</summary>
    private void FillReader(int layer, int head, int reader, float* k)
    {
        int g = head / config.HeadsPerKeyValueHead;
        float* row = OneRow;
        for (int t = 0; t < _tokens; t++)
        {
            int position = _position + t;
            nint at = (nint)position * cache.RowStride;
            float* keys = ReaderKeys(reader) + at, values = keys + ReaderFloats / 2;
            new ReadOnlySpan<float>(cache.Keys(layer) + g * cache.HeadStride + at, cache.RowStride).CopyTo(new Span<float>(keys, cache.RowStride));
            new ReadOnlySpan<float>(cache.Values(layer) + g * cache.HeadStride + at, cache.RowStride).CopyTo(new Span<float>(values, cache.RowStride));
            new ReadOnlySpan<float>(k + ((nint)t * config.NumKeyValueHeads + g) * config.HeadDim, config.HeadDim).CopyTo(new Span<float>(row, config.HeadDim));
            nint pair = (nint)position * (config.HeadDim / 2);
            if (Interventions!.Apply(HookPoint.K, layer, position, g, new Span<float>(row, config.HeadDim), head))
            {
                TKernels.Rotate(row, keys, config.HeadDim, Address(_rotary.Cos) + pair, Address(_rotary.Sin) + pair, config.RotaryLayout);
                // What the kv head's rotated keys are changed by was lost with them.
                Interventions.Apply(HookPoint.RotK, layer, position, g, new Span<float>(keys, config.HeadDim));
            }

            Interventions.Apply(HookPoint.RotK, layer, position, g, new Span<float>(keys, config.HeadDim), head);
            Interventions.Apply(HookPoint.V, layer, position, g, new Span<float>(values, config.HeadDim), head);
        }
    }

    /// <summary>Attention of the heads that see keys or values of their own, and of those before them. Returns the first head that is left.</summary>
    private int AttendReaders(int layer, float* rotQ, float* z)
    {
        int next = 0;
        ReadOnlySpan<int> readers = Interventions is null ? [] : Interventions.ReadersOf(layer);
        for (int i = 0; i < readers.Length; i++)
        {
            int head = readers[i];
            Attend(layer, next, head - next, rotQ, z, null, cache.Keys(layer), cache.Values(layer));
            float* keys = ReaderKeys(FirstReader(layer) + i) - head / config.HeadsPerKeyValueHead * cache.HeadStride;
            Attend(layer, head, 1, rotQ, z, null, keys, keys + ReaderFloats / 2);
            next = head + 1;
        }

        return next;
    }

    /// <summary>What jobs, which can hold no reference, reach the plan by where it changes scores or patterns.</summary>
    private PlanHandle RowInterventions(int layer) => new(
        Interventions is not null && (Interventions.Touches(HookPoint.AttnScores, layer) || Interventions.Touches(HookPoint.Pattern, layer)) ? Interventions : null);

    /// <summary>What single heads write, and with it their sum.</summary>
    private void InterveneResult(int layer, float* z, float* attnOut)
    {
        if (Interventions is null || !Interventions.Touches(HookPoint.Result, layer))
            return;
        bool recorded = workspace.Recorded(HookPoint.Result, layer) != null;
        nint stride = recorded ? (nint)config.NumAttentionHeads * _d : _d;
        Span<bool> changed = stackalloc bool[_tokens];
        changed.Clear();
        for (int h = 0; h < config.NumAttentionHeads; h++)
        {
            float* result = recorded ? At(HookPoint.Result, layer) + (nint)h * _d : OneHead;
            bool computed = recorded;
            for (int t = 0; t < _tokens; t++)
            {
                if (!Interventions.Touches(HookPoint.Result, layer, _position + t, h))
                    continue;
                if (!computed)
                    HeadResult(layer, h, z, result, stride, _tokens, Packed, workspace.Workers);
                computed = true;
                Interventions.ApplyResult(
                    layer, _position + t, h, new(result + t * stride, _d), new(OneRow, _d), new(attnOut + (nint)t * _d, _d), new(NamedHeads + (nint)t * _d, _d), ref changed[t]);
            }
        }
    }

    private void InterveneLogits()
    {
        if (Interventions is null || !Interventions.Touches(HookPoint.Logits, 0))
            return;
        if (workspace.Recorded(HookPoint.Logits, 0) != null)
            Apply(0, HookPoint.Logits);
        else if (_first + _tokens == _callTokens)
            Interventions.Apply(HookPoint.Logits, 0, _position + _tokens - 1, 0, new Span<float>(workspace.LastLogits, config.VocabSize));
    }

    private readonly struct PlanHandle(BoundInterventions? plan) : IDisposable
    {
        public readonly GCHandle Handle = plan is null ? default : GCHandle.Alloc(plan);

        public void Dispose()
        {
            if (Handle.IsAllocated)
                Handle.Free();
        }
    }
}
