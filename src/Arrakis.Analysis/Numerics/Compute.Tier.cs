using Arrakis.Native;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Numerics;

/// <summary>The products of one tier.</summary>
internal sealed unsafe partial class Compute<TKernels>(LlamaModel model, WorkerTeam team, int tokens, int depth, long floats) : Compute(
    model, team, tokens, floats, MatrixProduct<TKernels>.PackedLength(tokens, depth), WorkerFloats(model.Config, tokens))
    where TKernels : struct, IKernels
{
    // Rows of z or gv that one item makes: a few tiles, so that the items are many and their causal ends differ little.
    private static int RowsPerItem => 4 * TKernels.TileRows;

    public override void Multiply(float* x, nint xStride, int tokens, int depth, ReadOnlySpan<Product> products)
    {
        Panels panels = MatrixProduct<TKernels>.Pack(Team, x, xStride, tokens, depth, Packed);
        MatrixProduct<TKernels>.Multiply(Team, panels, products, Scratch);
    }

    public override void Mix(float* pattern, int runTokens, Window queries, Window keys, float* v, float* z)
    {
        var job = new MixJob(Config, pattern, runTokens, queries, keys, v, z, Scratch);
        Team.Run(job, Config.NumAttentionHeads * job.Blocks);
    }

    public override void MixBack(float* pattern, int runTokens, Window queries, Window keys, float* gz, float* gv)
    {
        var job = new MixBackJob(Config, pattern, runTokens, queries, keys, gz, gv, Scratch);
        Team.Run(job, Config.NumKeyValueHeads * job.Blocks);
    }

    public override void QuadraticForms(float* x, nint xStride, int tokens, int heads, float* grams, float* forms)
    {
        var job = new QuadraticJob(Config.HeadDim, x, xStride, tokens, heads, grams, forms, Scratch);
        Team.Run(job, heads * job.Blocks);
    }

    public override void Apply(in WeightMatrix w, int first, int rows, float* x, float* y) => TKernels.Dots(w, first, rows, x, y);

    public override void Widen(in WeightMatrix w, int first, int rows, float* to)
    {
        for (int r = 0; r < rows; r++)
            TKernels.Widen(w.Type, w.At(first + r, 0), w.Columns, to + (nint)r * w.Columns);
    }

    public override void Transpose(float* from, nint fromStride, int rows, int columns, float* to, nint toStride) =>
        TKernels.Transpose(from, fromStride, to, toStride, rows, columns);

    public override void SiluMultiply(float* gate, float* x, float* y, nint length)
    {
        const int Run = 1 << 20;
        for (; length > 0; gate += Run, x += Run, y += Run, length -= Run)
            TKernels.SiluMultiply(gate, x, y, (int)Math.Min(Run, length));
    }

    // What a product needs; or a tile of rows of a pattern and the tile that they make; or a panel of one head's vectors (or a tile of sums, which is less), a tile,
    // a row of sums, and a head's matrix of whole tile rows.
    private static long WorkerFloats(LlamaConfig c, int tokens)
    {
        int across = TKernels.Lanes * TKernels.TileVectors;
        long mixing = (long)TKernels.TileRows * (RoundUp(tokens, 16) + across);
        long forms = (long)across * (RoundUp(c.HeadDim, TKernels.TileRows) + TKernels.TileRows + 1) + (long)RoundUp(c.HeadDim, TKernels.TileRows) * c.HeadDim;
        return Math.Max(MatrixProduct<TKernels>.ScratchLength(tokens), Math.Max(mixing, forms)) + Arena.SlackFloats;
    }

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>
    /// One head and a few queries an item. The head's dimensions lie along the vectors; a load past them reads the next head's values or the run's slack, and
    /// what comes of it is not kept.
    /// </summary>
    private readonly struct MixJob(
        LlamaConfig c, float* pattern, int runTokens, Window queries, Window keys, float* v, float* z, WorkerScratch scratch) : IJob<MixJob>
    {
        private readonly float* _pattern = pattern, _v = v, _z = z;
        private readonly int _runTokens = runTokens, _heads = c.NumAttentionHeads, _kvHeads = c.NumKeyValueHeads, _k = c.HeadDim;
        private readonly Window _queries = queries, _keys = keys;
        private readonly WorkerScratch _scratch = scratch;

        public int Blocks => (_queries.Length + RowsPerItem - 1) / RowsPerItem;

        public static void Run(in MixJob job, int item, int worker)
        {
            (int block, int head) = Math.DivRem(item, job._heads);
            int end = Math.Min(job._queries.Last + 1, job._queries.First + (block + 1) * RowsPerItem);
            for (int t = job._queries.First + block * RowsPerItem; t < end; t += TKernels.TileRows)
                job.MixTile(head, t, Math.Min(TKernels.TileRows, end - t), job._scratch.Of(worker));
        }

        private void MixTile(int head, int first, int rows, float* scratch)
        {
            float* z = _z + (nint)(first - _queries.First) * _heads * _k + (nint)head * _k;
            nint zStride = (nint)_heads * _k;
            // The causal triangle's zeros are in the pattern: the last row's keys are enough for all.
            int depth = Math.Min(_keys.Last, first + rows - 1) - _keys.First + 1;
            if (depth <= 0)
            {
                for (int r = 0; r < rows; r++)
                    new Span<float>(z + r * zStride, _k).Clear();
                return;
            }

            float* a = _pattern + ((nint)head * _runTokens + first) * _runTokens + _keys.First;
            nint aStride = _runTokens;
            if (rows < TKernels.TileRows)
            {
                // A tile reads whole rows of a: those past the end are zeros of our own.
                for (int r = 0; r < TKernels.TileRows; r++)
                {
                    Span<float> copy = new(scratch + (nint)r * depth, depth);
                    if (r < rows)
                        new ReadOnlySpan<float>(a + r * aStride, depth).CopyTo(copy);
                    else
                        copy.Clear();
                }

                a = scratch;
                aStride = depth;
            }

            float* values = _v + (nint)(head / (_heads / _kvHeads)) * _k;
            Tiles(depth, a, aStride, values, (nint)_kvHeads * _k, _k, z, zStride, rows, scratch + (nint)TKernels.TileRows * RoundUp(_runTokens, 16), add: false);
        }
    }

    /// <summary>One kv head and a few keys an item; the pattern's columns are turned into rows, a tile at a time.</summary>
    private readonly struct MixBackJob(
        LlamaConfig c, float* pattern, int runTokens, Window queries, Window keys, float* gz, float* gv, WorkerScratch scratch) : IJob<MixBackJob>
    {
        private readonly float* _pattern = pattern, _gz = gz, _gv = gv;
        private readonly int _runTokens = runTokens, _heads = c.NumAttentionHeads, _kvHeads = c.NumKeyValueHeads, _k = c.HeadDim;
        private readonly Window _queries = queries, _keys = keys;
        private readonly WorkerScratch _scratch = scratch;

        public int Blocks => (_keys.Length + RowsPerItem - 1) / RowsPerItem;

        public static void Run(in MixBackJob job, int item, int worker)
        {
            (int block, int g) = Math.DivRem(item, job._kvHeads);
            int end = Math.Min(job._keys.Last + 1, job._keys.First + (block + 1) * RowsPerItem);
            for (int s = job._keys.First + block * RowsPerItem; s < end; s += TKernels.TileRows)
                job.MixTile(g, s, Math.Min(TKernels.TileRows, end - s), job._scratch.Of(worker));
        }

        private void MixTile(int g, int first, int rows, float* scratch)
        {
            nint gvStride = (nint)_kvHeads * _k, gzStride = (nint)_heads * _k;
            float* gv = _gv + (nint)(first - _keys.First) * gvStride + (nint)g * _k;
            for (int r = 0; r < rows; r++)
                new Span<float>(gv + r * gvStride, _k).Clear();
            int query = Math.Max(first, _queries.First), depth = _queries.Last - query + 1;
            if (depth <= 0)
                return;
            nint stride = RoundUp(_runTokens, 16);
            float* tile = scratch + TKernels.TileRows * stride;
            for (int r = rows; r < TKernels.TileRows; r++)
                new Span<float>(scratch + r * stride, depth).Clear();
            int group = _heads / _kvHeads;
            for (int h = g * group; h < (g + 1) * group; h++)
            {
                float* columns = _pattern + ((nint)h * _runTokens + query) * _runTokens + first;
                TKernels.Transpose(columns, _runTokens, scratch, stride, depth, rows);
                float* from = _gz + (nint)(query - _queries.First) * gzStride + (nint)h * _k;
                Tiles(depth, scratch, stride, from, gzStride, _k, gv, gvStride, rows, tile, add: true);
            }
        }
    }

    /// <summary>One head and a panel of tokens an item. Tokens lie along the vectors: Σ_r x[r] (M x)[r] goes down a tile's rows.</summary>
    private readonly struct QuadraticJob(
        int k, float* x, nint xStride, int tokens, int heads, float* grams, float* forms, WorkerScratch scratch) : IJob<QuadraticJob>
    {
        private readonly int _k = k, _tokens = tokens, _heads = heads;
        private readonly float* _x = x, _grams = grams, _forms = forms;
        private readonly nint _xStride = xStride;
        private readonly WorkerScratch _scratch = scratch;

        private static int Across => TKernels.Lanes * TKernels.TileVectors;

        public int Blocks => (_tokens + Across - 1) / Across;

        public static void Run(in QuadraticJob job, int item, int worker)
        {
            (int block, int head) = Math.DivRem(item, job._heads);
            int k = job._k, first = block * Across, tokens = Math.Min(Across, job._tokens - first), width = RoundUp(tokens, TKernels.Lanes);
            float* panel = job._scratch.Of(worker);
            float* tile = panel + (nint)Across * RoundUp(k, TKernels.TileRows), sums = tile + TKernels.TileRows * Across;
            float* padded = sums + Across;
            TKernels.Transpose(job._x + first * job._xStride + (nint)head * k, job._xStride, panel, width, tokens, k);
            for (int i = 0; i < k; i++)
                new Span<float>(panel + (nint)i * width + tokens, width - tokens).Clear();
            new Span<float>(sums, width).Clear();
            float* gram = Padded(job._grams + (nint)head * k * k, k, padded);
            for (int r = 0; r < k; r += TKernels.TileRows)
            {
                TKernels.Tile(width / TKernels.Lanes, k, gram + (nint)r * k, k, 1, panel, width, tile, accumulate: false);
                for (int i = 0; i < Math.Min(TKernels.TileRows, k - r); i++)
                {
                    TKernels.Multiply(tile + i * width, panel + (nint)(r + i) * width, tile + i * width, width);
                    TKernels.Add(sums, tile + i * width, sums, width);
                }
            }

            new ReadOnlySpan<float>(sums, tokens).CopyTo(new Span<float>(job._forms + (nint)head * job._tokens + first, tokens));
        }
    }

    /// <summary>y[r, j] (+)= Σ_i a[r, i] b[i, j] for one tile of rows and all columns.</summary>
    private static void Tiles(int depth, float* a, nint aStride, float* b, nint bStride, int columns, float* y, nint yStride, int rows, float* tile, bool add)
    {
        int vectors = RoundUp(columns, TKernels.Lanes) / TKernels.Lanes;
        for (int v = 0; v < vectors; v += TKernels.TileVectors)
        {
            int width = Math.Min(TKernels.TileVectors, vectors - v);
            int column = v * TKernels.Lanes, count = Math.Min(width * TKernels.Lanes, columns - column);
            TKernels.Tile(width, depth, a, aStride, 1, b + column, bStride, tile, accumulate: false);
            for (int r = 0; r < rows; r++)
            {
                float* made = tile + r * width * TKernels.Lanes, to = y + r * yStride + column;
                if (add)
                    TKernels.Add(to, made, to, count);
                else
                    new ReadOnlySpan<float>(made, count).CopyTo(new Span<float>(to, count));
            }
        }
    }
}
