using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

// Attention of a call of one token, which is bound by reading keys and values: the heads that share them read them together.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    /// <summary>Heads of an item: those of a kv head, or fewer if workers would be idle, and no more than there is room for scores of.</summary>
    private int HeadsAtOnce()
    {
        int each = (config.NumAttentionHeads + team.Size - 1) / team.Size;
        return Math.Min(Math.Min(config.HeadsPerKeyValueHead, each), QueriesPerBlock(_callKeys));
    }

    private readonly struct OneQueryJob(
        LlamaConfig c, int firstHead, int heads, int headsAtOnce, int seen, float* q, float* z, float* keys, float* values, int rowStride, nint headStride,
        float* scores, float* pattern, WorkerScratch scratch, int layer, GCHandle interventions) : IJob<OneQueryJob>
    {
        // Rows that stay in L1 while one head after the other is multiplied with them: 16 KiB.
        private const int FloatsAtOnce = 4096;

        private readonly int _firstHead = firstHead, _endHead = firstHead + heads, _headsAtOnce = headsAtOnce;
        private readonly int _group = c.HeadsPerKeyValueHead, _headDim = c.HeadDim, _seen = seen, _rowStride = rowStride, _layer = layer;
        private readonly float* _q = q, _z = z, _keys = keys, _values = values, _scores = scores, _pattern = pattern;
        private readonly nint _headStride = headStride;
        private readonly float _scale = 1 / MathF.Sqrt(c.HeadDim);
        private readonly WorkerScratch _scratch = scratch;
        private readonly GCHandle _interventions = interventions;

        public int Items => _endHead > _firstHead ? ItemOf(_endHead - 1) - ItemOf(_firstHead) + 1 : 0;

        private int ItemsPerGroup => (_group + _headsAtOnce - 1) / _headsAtOnce;

        private int RowsAtOnce => Math.Max(1, FloatsAtOnce / _rowStride);

        // Among those of all heads.
        private int ItemOf(int head) => head / _group * ItemsPerGroup + head % _group / _headsAtOnce;

        public static void Run(in OneQueryJob job, int item, int worker)
        {
            (int g, int part) = Math.DivRem(job.ItemOf(job._firstHead) + item, job.ItemsPerGroup);
            int first = g * job._group + part * job._headsAtOnce, end = Math.Min(first + job._headsAtOnce, (g + 1) * job._group);
            first = Math.Max(first, job._firstHead);
            int heads = Math.Min(end, job._endHead) - first;
            float* rows = job._scratch.Of(worker), scores = rows + heads * job._rowStride;
            nint scoresStride = RoundUp(job._seen, 16);
            job.Score(first, heads, job._keys + g * job._headStride, rows, scores, scoresStride);
            for (int h = 0; h < heads; h++)
                job.Softmax(first + h, scores + h * scoresStride);
            job.Mix(first, heads, job._values + g * job._headStride, scores, scoresStride, rows);
        }

        // Products with the keys are rows of a matrix–vector product, the padding of both multiplied as zeros.
        private void Score(int firstHead, int heads, float* keys, float* queries, float* scores, nint scoresStride)
        {
            for (int h = 0; h < heads; h++)
            {
                float* query = queries + h * _rowStride;
                new ReadOnlySpan<float>(_q + (nint)(firstHead + h) * _headDim, _headDim).CopyTo(new Span<float>(query, _headDim));
                new Span<float>(query + _headDim, _rowStride - _headDim).Clear();
            }

            var matrix = new WeightMatrix((nint)keys, ElementType.F32, _seen, _rowStride);
            for (int s = 0; s < _seen; s += RowsAtOnce)
            {
                int rows = Math.Min(RowsAtOnce, _seen - s);
                for (int h = 0; h < heads; h++)
                    TKernels.Dots(matrix, s, rows, queries + h * _rowStride, scores + h * scoresStride + s);
            }
        }

        private void Softmax(int head, float* scores)
        {
            TKernels.Scale(scores, _scale, scores, _seen);
            Intervene(HookPoint.AttnScores, head, scores);
            Record(_scores, head, scores);
            TKernels.Softmax(scores, scores, _seen);
            Intervene(HookPoint.Pattern, head, scores);
            Record(_pattern, head, scores);
        }

        private void Mix(int firstHead, int heads, float* values, float* pattern, nint patternStride, float* sums)
        {
            for (int s = 0; s < _seen; s += RowsAtOnce)
            {
                int rows = Math.Min(RowsAtOnce, _seen - s);
                float* at = values + (nint)s * _rowStride;
                for (int h = 0; h < heads; h++)
                    TKernels.WeightedSum(pattern + h * patternStride + s, rows, at, _rowStride, _rowStride, sums + h * _rowStride, accumulate: s > 0);
            }

            for (int h = 0; h < heads; h++)
                new ReadOnlySpan<float>(sums + h * _rowStride, _headDim).CopyTo(new Span<float>(_z + (nint)(firstHead + h) * _headDim, _headDim));
        }

        private void Record(float* recording, int head, float* row)
        {
            if (recording != null)
                new ReadOnlySpan<float>(row, _seen).CopyTo(new Span<float>(recording + (nint)head * _seen, _seen));
        }

        private void Intervene(HookPoint point, int head, float* row)
        {
            if (_interventions.IsAllocated)
                Unsafe.As<BoundInterventions>(_interventions.Target!).Apply(point, _layer, _seen - 1, head, new Span<float>(row, _seen));
        }
    }
}
