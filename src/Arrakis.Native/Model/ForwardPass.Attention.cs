using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

// Attention: z[t, h] = Σ_s softmax_s(q[t, h]·k[s, g] / √K) v[s, g], one head and a block of queries an item.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    // Past this many keys a block is one vector of queries, so that a worker's scores stay small.
    private const int ManyKeys = 4096;

    private static int QueriesPerBlock(int keys) => keys > ManyKeys ? TKernels.Lanes : TKernels.Lanes * TKernels.TileVectors;

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    // Queries packed, one tile, and the scores of a block, whose rows are read in whole tiles.
    private static long AttentionScratch(LlamaConfig config, int keys)
    {
        int queries = RoundUp(QueriesPerBlock(keys), TKernels.TileRows);
        int padded = RoundUp(config.HeadDim, 16);
        return (long)queries * padded + TileLength(padded) + (long)queries * RoundUp(keys, 16) + Arena.SlackFloats;
    }

    private static int TileLength(int padded) => TKernels.TileRows * Math.Max(TKernels.Lanes * TKernels.TileVectors, padded);

    private void Attend(int layer, float* rotQ, float* z)
    {
        int next = AttendReaders(layer, rotQ, z);
        Attend(layer, next, config.NumAttentionHeads - next, rotQ, z, cache.Keys(layer), cache.Values(layer));
    }

    private void Attend(int layer, int firstHead, int heads, float* rotQ, float* z, float* keys, float* values)
    {
        using PlanHandle plan = RowInterventions(layer);
        var job = new AttentionJob(
            config, firstHead, heads, _position, _tokens, _callTokens, _callKeys, rotQ, z, keys, values, cache.RowStride, cache.HeadStride,
            Rows(HookPoint.AttnScores, layer), Rows(HookPoint.Pattern, layer), workspace.Workers, layer, plan.Handle);
        team.Run(job, job.Items);
    }

    // Recorded rows of [head, query, key], from this chunk's first query of head 0 on.
    private float* Rows(HookPoint point, int layer)
    {
        float* recorded = workspace.Recorded(point, layer);
        return recorded == null ? null : recorded + (nint)_first * _callKeys;
    }

    /// <summary>What every head writes by itself, where it is recorded.</summary>
    private void RecordResult(int layer, float* z)
    {
        if (workspace.Recorded(HookPoint.Result, layer) != null)
            HeadResults(layer, z, At(HookPoint.Result, layer), _tokens, workspace.Packed, workspace.Workers);
    }

    public override void ComputeResult(int layer, ReadOnlySpan<float> z, Span<float> result)
    {
        int tokens = z.Length / _q;
        float[] packed = GC.AllocateUninitializedArray<float>(checked((int)MatrixProduct<TKernels>.PackedLength(tokens, config.HeadDim)), pinned: true);
        int perWorker = checked((int)MatrixProduct<TKernels>.ScratchLength(tokens));
        float[] scratch = GC.AllocateUninitializedArray<float>(checked(perWorker * team.Size), pinned: true);
        fixed (float* from = z, to = result)
            HeadResults(layer, from, to, tokens, Address(packed), new WorkerScratch(Address(scratch), perWorker));
        GC.KeepAlive(packed);
        GC.KeepAlive(scratch);
    }

    private void HeadResults(int layer, float* z, float* result, int tokens, float* packed, in WorkerScratch scratch)
    {
        for (int h = 0; h < config.NumAttentionHeads; h++)
            HeadResult(layer, h, z, result + (nint)h * _d, (nint)config.NumAttentionHeads * _d, tokens, packed, scratch);
    }

    private void HeadResult(int layer, int head, float* z, float* result, nint stride, int tokens, float* packed, in WorkerScratch scratch)
    {
        int k = config.HeadDim;
        Panels panels = MatrixProduct<TKernels>.Pack(team, z + (nint)head * k, _q, tokens, k, packed);
        WeightMatrix output = weights.Layers[layer].Output.SliceColumns(head * k, k);
        MatrixProduct<TKernels>.Multiply(team, panels, [new(output, result, stride)], scratch);
    }

    private readonly struct AttentionJob(
        LlamaConfig c, int firstHead, int headCount, int position, int tokens, int callTokens, int callKeys, float* q, float* z, float* keys, float* values,
        int rowStride, nint headStride, float* scores, float* pattern, WorkerScratch scratch, int layer, GCHandle interventions) : IJob<AttentionJob>
    {
        private readonly int _firstHead = firstHead, _headCount = headCount, _layer = layer;
        private readonly GCHandle _interventions = interventions;
        private readonly int _heads = c.NumAttentionHeads, _group = c.HeadsPerKeyValueHead, _headDim = c.HeadDim;
        private readonly int _position = position, _tokens = tokens, _rowStride = rowStride, _callKeys = callKeys, _callTokens = callTokens;
        private readonly nint _headStride = headStride;
        private readonly float* _q = q, _z = z, _keys = keys, _values = values, _scores = scores, _pattern = pattern;
        private readonly float _scale = 1 / MathF.Sqrt(c.HeadDim);
        private readonly WorkerScratch _scratch = scratch;

        private int BlockLength => QueriesPerBlock(_position + _tokens);

        private int Blocks => (_tokens + BlockLength - 1) / BlockLength;

        private nint QueryStride => (nint)_heads * _headDim;

        public int Items => _headCount * Blocks;

        public static void Run(in AttentionJob job, int item, int worker)
        {
            // Late blocks see the most keys: they go first, so that the last items are the short ones.
            (int fromLast, int head) = Math.DivRem(item, job._headCount);
            head += job._firstHead;
            int first = (job.Blocks - 1 - fromLast) * job.BlockLength;
            int queries = Math.Min(job.BlockLength, job._tokens - first);
            float* keys = job._keys + head / job._group * job._headStride;
            float* values = job._values + head / job._group * job._headStride;
            int seen = job._position + first + queries;
            nint stride = RoundUp(seen, 16);
            float* packed = job._scratch.Of(worker);
            float* tile = packed + (nint)RoundUp(job.BlockLength, TKernels.TileRows) * RoundUp(job._headDim, 16);
            float* scores = tile + TileLength(RoundUp(job._headDim, 16));

            if (job._callTokens == 1)
            {
                job.ScoreOne(head, keys, seen, packed, scores);
                job.Softmax(head, first, queries, seen, scores, stride);
                job.MixOne(head, values, seen, scores, tile);
                return;
            }

            job.Score(head, first, queries, keys, seen, packed, tile, scores, stride);
            job.Softmax(head, first, queries, seen, scores, stride);
            job.Mix(head, first, queries, values, tile, scores, stride);
        }

        /// <summary>scores[q, s] = q·k over a block of queries, a tile of keys at a time.</summary>
        private void Score(int head, int first, int queries, float* keys, int seen, float* packed, float* tile, float* scores, nint stride)
        {
            int width = RoundUp(queries, TKernels.Lanes);
            TKernels.Transpose(_q + first * QueryStride + (nint)head * _headDim, QueryStride, packed, width, queries, _headDim);
            for (nint k = 0; k < _headDim && queries < width; k++)
                new Span<float>(packed + k * width + queries, width - queries).Clear();
            for (int s = 0; s < seen; s += TKernels.TileRows)
            {
                TKernels.Tile(width / TKernels.Lanes, _headDim, keys + (nint)s * _rowStride, _rowStride, packed, width, tile, accumulate: false);
                TKernels.Transpose(tile, width, scores + s, stride, Math.Min(TKernels.TileRows, seen - s), queries);
            }
        }

        /// <summary>Every row of scores becomes its pattern over the keys that its query may see, and zero beyond.</summary>
        private void Softmax(int head, int first, int queries, int seen, float* scores, nint stride)
        {
            for (int i = 0; i < queries; i++)
            {
                float* row = scores + i * stride;
                int visible = _position + first + i + 1;
                nint recorded = ((nint)head * _callTokens + first + i) * _callKeys;
                TKernels.Scale(row, _scale, row, visible);
                Intervene(HookPoint.AttnScores, head, first + i, row, visible);
                Record(_scores, recorded, row, visible, float.NegativeInfinity);
                TKernels.Softmax(row, row, visible);
                Intervene(HookPoint.Pattern, head, first + i, row, visible);
                new Span<float>(row + visible, seen - visible).Clear();
                Record(_pattern, recorded, row, visible, 0);
            }
        }

        private void Intervene(HookPoint point, int head, int query, float* row, int visible)
        {
            if (_interventions.IsAllocated)
                Unsafe.As<BoundInterventions>(_interventions.Target!).Apply(point, _layer, _position + query, head, new Span<float>(row, visible));
        }

        private void Record(float* recording, nint at, float* row, int visible, float beyond)
        {
            if (recording == null)
                return;
            new ReadOnlySpan<float>(row, visible).CopyTo(new Span<float>(recording + at, visible));
            new Span<float>(recording + at + visible, _callKeys - visible).Fill(beyond);
        }

        /// <summary>z[q] = Σ_s pattern[q, s] v[s], a tile of queries at a time; here the head's dimensions lie along the vectors.</summary>
        private void Mix(int head, int first, int queries, float* values, float* tile, float* pattern, nint stride)
        {
            int vectors = RoundUp(_headDim, TKernels.Lanes) / TKernels.Lanes;
            for (int i = 0; i < queries; i += TKernels.TileRows)
            {
                int rows = Math.Min(TKernels.TileRows, queries - i);
                int seen = _position + first + i + rows;
                for (int v = 0; v < vectors; v += TKernels.TileVectors)
                {
                    int width = Math.Min(TKernels.TileVectors, vectors - v);
                    int column = v * TKernels.Lanes, columns = Math.Min(width * TKernels.Lanes, _headDim - column);
                    TKernels.Tile(width, seen, pattern + i * stride, stride, values + column, _rowStride, tile, accumulate: false);
                    for (int r = 0; r < rows; r++)
                    {
                        float* z = _z + (first + i + r) * QueryStride + (nint)head * _headDim + column;
                        new ReadOnlySpan<float>(tile + r * width * TKernels.Lanes, columns).CopyTo(new Span<float>(z, columns));
                    }
                }
            }
        }

        // One query: its products with the keys are rows of a matrix–vector product, the padding of both multiplied as zeros.
        private void ScoreOne(int head, float* keys, int seen, float* padded, float* scores)
        {
            new ReadOnlySpan<float>(_q + (nint)head * _headDim, _headDim).CopyTo(new Span<float>(padded, _headDim));
            new Span<float>(padded + _headDim, _rowStride - _headDim).Clear();
            TKernels.Dots(new WeightMatrix((nint)keys, ElementType.F32, seen, _rowStride), 0, seen, padded, scores);
        }

        private void MixOne(int head, float* values, int seen, float* pattern, float* sum)
        {
            TKernels.WeightedSum(pattern, seen, values, _rowStride, _rowStride, sum);
            new ReadOnlySpan<float>(sum, _headDim).CopyTo(new Span<float>(_z + (nint)head * _headDim, _headDim));
        }
    }
}
