using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

public sealed unsafe partial class InformationFlowRoutes
{
    // What the paper gives a part that does not come near the whole at all.
    private const float Least = 1e-5f;

    /// <summary>Measures every layer of a run. The parts are streamed, a head at a time: they are never held as [T, T, H, D].</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it from its beginning, recorded with at least <c>flow</c>.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="cancellation">Looked at before every layer.</param>
    /// <exception cref="ArrakisException">The run holds values that are not finite, or the cache is of another model, continues a sequence, or lacks a hook point; the message names a recording that has it.</exception>
    public static InformationFlowRoutes Measure(LlamaModel model, ActivationCache cache, AnalysisOptions? options = null, CancellationToken cancellation = default)
    {
        Requirements.Cache(model, cache);
        Requirements.Whole(cache);
        LlamaConfig c = model.Config;
        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            Requirements.Recorded(cache, "flow", l, HookPoint.V, HookPoint.Pattern);
            Residuals.RequireStream(c, cache, l);
            Residuals.RequireMid(cache, l);
            Requirements.Unchanged(cache, l, HookPoint.Z, HookPoint.Result, HookPoint.AttnOut, HookPoint.ResidMid, HookPoint.ResidPost);
        }

        Residuals.RequireStream(c, cache, c.NumHiddenLayers);
        int tokens = cache.Tokens;
        long floats = Residuals.Floats(c, tokens) + Measurement.Floats(c, tokens);
        using Compute compute = Compute.Rent(model, options, tokens, Residuals.Depth(c), floats);
        var measurement = new Measurement(compute, cache);
        var layers = new RouteLayer[c.NumHiddenLayers];
        for (int l = 0; l < layers.Length; l++)
        {
            cancellation.ThrowIfCancellationRequested();
            layers[l] = measurement.Of(l);
        }

        return new InformationFlowRoutes(layers);
    }

    /// <summary>The memory of one measurement: rows of the stream, padded to whole vectors.</summary>
    private sealed class Measurement
    {
        private readonly Compute _compute;
        private readonly ActivationCache _cache;
        private readonly Residuals _residuals;
        private readonly int[] _positions;
        private readonly int _width;
        private readonly float* _rows;
        private readonly float* _pre;
        private readonly float* _mid;
        private readonly float* _post;
        private readonly float* _part;

        public Measurement(Compute compute, ActivationCache cache)
        {
            int tokens = cache.Tokens, d = compute.Config.HiddenSize;
            (_compute, _cache, _residuals) = (compute, cache, new Residuals(compute, cache, tokens));
            _positions = [.. Enumerable.Range(0, tokens)];
            _width = Proximity.Width(d);
            long padded = (long)tokens * _width;
            _rows = compute.Take((long)tokens * d);
            // What pads a row is never written again.
            _pre = compute.TakeZeroed(padded);
            _mid = compute.TakeZeroed(padded);
            _post = compute.TakeZeroed(padded);
            _part = compute.TakeZeroed(padded);
        }

        private int Tokens => _positions.Length;

        public static long Floats(LlamaConfig c, int tokens) => (long)tokens * (c.HiddenSize + 4 * Proximity.Width(c.HiddenSize));

        public RouteLayer Of(int layer)
        {
            int heads = _compute.Config.NumAttentionHeads;
            _residuals.Stream(layer, _positions, _rows);
            Pad(_pre);
            _residuals.Mid(layer, _positions, _rows);
            Pad(_mid);
            _residuals.Stream(layer + 1, _positions, _rows);
            Pad(_post);

            float[] attention = new float[Requirements.Length((long)heads * Tokens * Tokens, "Contributions")], residual = new float[Tokens], mlp = new float[Tokens], bypass = new float[Tokens];
            for (int h = 0; h < heads; h++)
                Head(layer, h, attention);
            for (int t = 0; t < Tokens; t++)
                residual[t] = Proximity.Of(_mid + (nint)t * _width, _pre + (nint)t * _width, 1, _width);
            ShareAttention(attention, residual, heads);
            ShareMlp(mlp, bypass);
            foreach (float[] shares in new[] { attention, residual, mlp, bypass })
                Requirements.Finite(shares, $"a contribution in layer {layer}");
            return new RouteLayer(layer, heads, attention, residual, mlp, bypass);
        }

        private void Pad(float* to)
        {
            int d = _compute.Config.HiddenSize;
            for (int t = 0; t < Tokens; t++)
                Compute.Row(_rows, t, d).CopyTo(Compute.Row(to, t, _width));
        }

        /// <summary>attention[h, t, s] = ‖y‖₁ − ‖A[h, t, s] v[s] W_O[h] − y‖₁ with y = resid_mid[t], for s ≤ t.</summary>
        private void Head(int layer, int head, float[] attention)
        {
            LlamaConfig c = _compute.Config;
            int k = c.HeadDim, square = Tokens * Tokens;
            WeightMatrix output = _compute.Model.Weights.Layers[layer].Output.SliceColumns(head * k, k);
            fixed (float* v = _cache.Flat(HookPoint.V, layer), pattern = _cache.Flat(HookPoint.Pattern, layer), to = attention)
            {
                float* values = v + (nint)(head / c.HeadsPerKeyValueHead) * k;
                _compute.Multiply(values, (nint)c.NumKeyValueHeads * k, Tokens, k, [new(output, _part, _width)]);
                var job = new ProximityJob(Tokens, _width, _mid, _part, pattern + (nint)head * square, to + (nint)head * square);
                _compute.Run(job, job.Items);
            }
        }

        private void ShareAttention(float[] attention, float[] residual, int heads)
        {
            for (int t = 0; t < Tokens; t++)
            {
                residual[t] = Math.Max(Least, residual[t]);
                double sum = residual[t];
                for (int h = 0; h < heads; h++)
                {
                    Span<float> row = attention.AsSpan((h * Tokens + t) * Tokens, t + 1);
                    TensorPrimitives.Max(row, Least, row);
                    sum += TensorPrimitives.Sum<float>(row);
                }

                residual[t] = (float)(residual[t] / sum);
                for (int h = 0; h < heads; h++)
                {
                    Span<float> row = attention.AsSpan((h * Tokens + t) * Tokens, t + 1);
                    TensorPrimitives.Divide(row, (float)sum, row);
                }
            }
        }

        // mlp_out is the difference of what stands after and before it.
        private void ShareMlp(float[] mlp, float[] bypass)
        {
            for (int t = 0; t < Tokens; t++)
            {
                float* mid = _mid + (nint)t * _width, post = _post + (nint)t * _width, written = _part + (nint)t * _width;
                TensorPrimitives.Subtract(Compute.Row(_post, t, _width), Compute.Row(_mid, t, _width), Compute.Row(_part, t, _width));
                double through = Math.Max(Least, Proximity.Of(post, written, 1, _width)), past = Math.Max(Least, Proximity.Of(post, mid, 1, _width));
                (mlp[t], bypass[t]) = ((float)(through / (through + past)), (float)(past / (through + past)));
            }
        }
    }

    /// <summary>A few queries an item, of one head.</summary>
    private readonly struct ProximityJob(int tokens, int width, float* mid, float* written, float* pattern, float* to) : IJob<ProximityJob>
    {
        // So many queries share what a few keys wrote while it is in the second cache.
        private const int Queries = 8;
        private const int Keys = 8;

        private readonly int _tokens = tokens, _width = width;
        private readonly float* _mid = mid, _written = written, _pattern = pattern, _to = to;

        public int Items => (_tokens + Queries - 1) / Queries;

        public static void Run(in ProximityJob job, int item, int worker)
        {
            // The last queries have the most keys: begun first, they keep no one waiting at the end.
            int first = (job.Items - 1 - item) * Queries, end = Math.Min(job._tokens, first + Queries);
            for (int s = 0; s < end; s += Keys)
            {
                for (int t = Math.Max(first, s); t < end; t++)
                {
                    nint at = (nint)t * job._tokens + s;
                    float* y = job._mid + (nint)t * job._width, parts = job._written + (nint)s * job._width;
                    Proximity.Of(y, parts, job._pattern + at, Math.Min(Keys, t + 1 - s), job._width, job._to + at);
                }
            }
        }
    }
}
