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

    private static int QueriesPerBlock(int keys) => keys > ManyKeys ? TKernels.Lanes : MatrixProduct<TKernels>.MostPanelTokens;

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    // A worker's memory: queries packed, one tile, every query's largest score, the scores of a block, whose last tile may overhang, and one row of them.
    private static long AttentionScratch(LlamaConfig config, int keys) =>
        PackedQueries(config.HeadDim, keys) + TileLength(keys) + RoundUp(QueriesPerBlock(keys), 16) + ScoresLength(keys) + RoundUp(keys, 16) + Arena.SlackFloats;

    private static long PackedQueries(int headDim, int keys) => (long)RoundUp(QueriesPerBlock(keys), 16) * RoundUp(headDim, 16);

    private static long TileLength(int keys) => RoundUp(TKernels.TileRows * QueriesPerBlock(keys), 16);

    private static long ScoresLength(int keys) => RoundUp(keys + TKernels.TileRows, 16) * (long)QueriesPerBlock(keys);

    /// <summary>
    /// Attention of all heads. A block of queries is as long as a panel of tokens, and its z comes out of the last tiles as a panel has it: it is handed on as that,
    /// and written as rows only where somebody looks. Where that cannot be, rows are all there is, and no panels.
    /// </summary>
    private Panels Attend(int layer, float* rotQ, float* z)
    {
        bool packs = _callTokens > 1 && Interventions is null && _callKeys <= ManyKeys &&
            config.HeadDim >= TKernels.TileRows && config.HeadDim <= MatrixProduct<TKernels>.MostDepth;
        Panels panels = packs ? new(Packed, _q, _cut) : default;
        int next = AttendReaders(layer, rotQ, z);
        Attend(
            layer, next, config.NumAttentionHeads - next, rotQ, packs && workspace.Recorded(HookPoint.Z, layer) == null ? null : z,
            panels.Data, cache.Keys(layer), cache.Values(layer));
        return panels;
    }

    private void Attend(int layer, int firstHead, int heads, float* rotQ, float* z, float* packed, float* keys, float* values)
    {
        using PlanHandle plan = RowInterventions(layer);
        if (_callTokens == 1)
        {
            var one = new OneQueryJob(
                config, firstHead, heads, HeadsAtOnce(), _callKeys, rotQ, z, keys, values, cache.RowStride, cache.HeadStride,
                Rows(HookPoint.AttnScores, layer), Rows(HookPoint.Pattern, layer), workspace.Workers, layer, plan.Handle);
            team.Run(one, one.Items, AttentionWork(heads));
            return;
        }

        Cut queries = _callKeys > ManyKeys ? Cut.Of(_tokens, TKernels.Lanes, mostVectors: 1, mostParts: 1) : _cut;
        var job = new AttentionJob(
            config, firstHead, heads, queries, _position, _callTokens, _callKeys, rotQ, z, packed, keys, values, cache.RowStride, cache.HeadStride,
            Rows(HookPoint.AttnScores, layer), Rows(HookPoint.Pattern, layer), workspace.Workers, layer, plan.Handle);
        team.Run(job, job.Items, AttentionWork(heads));
    }

    private long AttentionWork(int heads) => 2L * heads * _tokens * _callKeys * config.HeadDim;

    // Recorded rows of [head, query, key], from the first of these queries of head 0 on.
    private float* Rows(HookPoint point, int layer)
    {
        float* recorded = workspace.Recorded(point, layer);
        return recorded == null ? null : recorded + (nint)_first * _callKeys;
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
        LlamaConfig c, int firstHead, int headCount, Cut queries, int position, int callTokens, int callKeys, float* q, float* z, float* packed, float* keys, float* values,
        int rowStride, nint headStride, float* scores, float* pattern, WorkerScratch scratch, int layer, GCHandle interventions) : IJob<AttentionJob>
    {
        private readonly int _firstHead = firstHead, _headCount = headCount, _layer = layer;
        private readonly GCHandle _interventions = interventions;
        private readonly int _heads = c.NumAttentionHeads, _group = c.HeadsPerKeyValueHead, _headDim = c.HeadDim;
        private readonly Cut _queries = queries;
        private readonly int _position = position, _rowStride = rowStride, _callKeys = callKeys, _callTokens = callTokens;
        private readonly nint _headStride = headStride;
        private readonly float* _q = q, _z = z, _packed = packed, _keys = keys, _values = values, _scores = scores, _pattern = pattern;
        private readonly float _scale = 1 / MathF.Sqrt(c.HeadDim);
        private readonly WorkerScratch _scratch = scratch;

        private nint QueryStride => (nint)_heads * _headDim;

        public int Items => _headCount * _queries.Panels;

        public static void Run(in AttentionJob job, int item, int worker)
        {
            // In the order of tokens, so that most stay with the worker who has their rows in cache; who is done with early ones, which see few keys, takes late ones.
            (int panel, int head) = Math.DivRem(item, job._headCount);
            head += job._firstHead;
            int first = job._queries.Start(panel), queries = job._queries.Count(panel);
            float* keys = job._keys + head / job._group * job._headStride;
            float* values = job._values + head / job._group * job._headStride;
            var block = new Block(job, head, first, queries, job._scratch.Of(worker));
            job.Score(block, keys);
            job.Softmax(block);
            job.Mix(block, values);
        }

        /// <summary>scores[s, q] = k·q over a block of queries, which lie along the vectors, a tile of keys at a time.</summary>
        private void Score(in Block block, float* keys)
        {
            TKernels.Transpose(_q + block.First * QueryStride + (nint)block.Head * _headDim, QueryStride, block.Packed, block.Width, block.Queries, _headDim);
            for (nint k = 0; k < _headDim && block.Queries < block.Width; k++)
                new Span<float>(block.Packed + k * block.Width + block.Queries, block.Width - block.Queries).Clear();
            for (int s = 0; s < block.Seen; s += block.TileRows)
                Tile(block, _headDim, keys + (nint)s * _rowStride, _rowStride, 1, block.Packed, block.Scores + (nint)s * block.Width);
        }

        /// <summary>Every column of scores becomes its query's pattern over the keys that it may see, and zero beyond.</summary>
        private void Softmax(in Block block)
        {
            int diagonal = _position + block.First;
            TKernels.ScaleAndMask(block.Scores, block.Seen, block.Width, _scale, diagonal, block.Most);
            if (Intervene(HookPoint.AttnScores, block))
                TKernels.ScaleAndMask(block.Scores, block.Seen, block.Width, 1, diagonal, block.Most);
            Record(_scores, block, float.NegativeInfinity);
            TKernels.SoftmaxColumns(block.Scores, block.Seen, block.Width, block.Most);
            Intervene(HookPoint.Pattern, block);
            Record(_pattern, block, 0);
        }

        /// <summary>A plan sees scores and patterns as rows of the keys that a query may see.</summary>
        private bool Intervene(HookPoint point, in Block block)
        {
            if (!_interventions.IsAllocated)
                return false;
            for (int i = 0; i < block.Queries; i++)
            {
                int visible = _position + block.First + i + 1;
                TKernels.Transpose(block.Scores + i, block.Width, block.Row, visible, visible, 1);
                Intervene(point, block.Head, block.First + i, block.Row, visible);
                TKernels.Transpose(block.Row, visible, block.Scores + i, block.Width, 1, visible);
            }

            return true;
        }

        private void Record(float* recording, in Block block, float beyond)
        {
            if (recording == null)
                return;
            float* rows = recording + ((nint)block.Head * _callTokens + block.First) * _callKeys;
            TKernels.TransposeAway(block.Scores, block.Width, rows, _callKeys, block.Seen, block.Queries);
            for (nint i = 0; i < block.Queries; i++)
                TKernels.FillAway(rows + i * _callKeys + block.Seen, beyond, _callKeys - block.Seen);
        }

        /// <summary>z[q, i] = Σ_s pattern[s, q] v[s, i], a tile of the head's dimensions at a time.</summary>
        private void Mix(in Block block, float* values)
        {
            for (int next = 0; next < _headDim; next += block.TileRows)
            {
                // A last tile begins where it ends with the head, and does again what the one before it did.
                int d = Math.Max(0, Math.Min(next, _headDim - block.TileRows));
                nint column = (nint)block.Head * _headDim + d;
                float* tile = _packed == null ? block.Tile : _packed + block.First * QueryStride + column * block.Width;
                Tile(block, block.Seen, values + d, 1, _rowStride, block.Scores, tile);
                if (_z != null)
                    TKernels.Transpose(tile, block.Width, _z + block.First * QueryStride + column, QueryStride, Math.Min(block.TileRows, _headDim - d), block.Queries);
            }
        }

        private static void Tile(in Block block, int depth, float* a, nint aStride, nint aStep, float* panel, float* c) =>
            MatrixProduct<TKernels>.Tile(block.Wide, block.Width / TKernels.Lanes, depth, a, aStride, aStep, panel, block.Width, c, accumulate: false);

        private void Intervene(HookPoint point, int head, int query, float* row, int visible)
        {
            if (_interventions.IsAllocated)
                Unsafe.As<BoundInterventions>(_interventions.Target!).Apply(point, _layer, _position + query, head, new Span<float>(row, visible));
        }

        /// <summary>A block of queries of one head, the keys that they see together, and where a worker keeps what it computes of them.</summary>
        private readonly struct Block
        {
            public readonly int Head, First, Queries, Width, Seen;
            public readonly bool Wide;
            public readonly float* Packed, Tile, Most, Scores, Row;

            public int TileRows => MatrixProduct<TKernels>.TileRowsOf(Wide);

            public Block(in AttentionJob job, int head, int first, int queries, float* scratch)
            {
                (Head, First, Queries) = (head, first, queries);
                Width = RoundUp(queries, TKernels.Lanes);
                Wide = Width > TKernels.TileVectors * TKernels.Lanes;
                Seen = job._position + first + queries;
                // Of the whole call, as the memory is: a block of its first tokens, with few keys, would be longer.
                int keys = job._callKeys;
                Packed = scratch;
                Tile = Packed + PackedQueries(job._headDim, keys);
                Most = Tile + TileLength(keys);
                Scores = Most + RoundUp(QueriesPerBlock(keys), 16);
                Row = Scores + ScoresLength(keys);
            }
        }
    }
}
