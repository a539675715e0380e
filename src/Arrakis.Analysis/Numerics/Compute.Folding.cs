using System.Numerics.Tensors;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Numerics;

// What measures on the weights alone need beside the products: rows with a norm folded in, and the lengths of what small factors make of a block.
internal sealed unsafe partial class Compute<TKernels>
{
    public override void SquaredColumns(float* factors, int heads, float* b, nint bStride, int blocks, int columns, float* squares)
    {
        var job = new SquaresJob(Config.HeadDim, factors, heads, b, bStride, columns, squares, Scratch);
        Team.Run(job, blocks * job.Panels);
    }

    public override void WidenFolded(in WeightMatrix w, int first, int rows, float[] gamma, float* to)
    {
        fixed (float* folded = gamma)
        {
            var job = new FoldJob(w, first, rows, folded, to);
            Team.Run(job, job.Items);
        }
    }

    /// <summary>A few rows an item.</summary>
    private readonly struct FoldJob(in WeightMatrix w, int first, int rows, float* gamma, float* to) : IJob<FoldJob>
    {
        private const int RowsPerItem = 16;

        private readonly WeightMatrix _w = w;
        private readonly int _first = first, _rows = rows;
        private readonly float* _gamma = gamma, _to = to;

        public int Items => (_rows + RowsPerItem - 1) / RowsPerItem;

        public static void Run(in FoldJob job, int item, int worker)
        {
            int columns = job._w.Columns;
            for (int r = item * RowsPerItem; r < Math.Min(job._rows, (item + 1) * RowsPerItem); r++)
            {
                float* to = job._to + (nint)r * columns;
                TKernels.Widen(job._w.Type, job._w.Row(job._first + r), columns, to);
                TKernels.Multiply(to, job._gamma, to, columns);
            }
        }
    }

    /// <summary>
    /// One block and a tile's width of its columns an item, so that the columns stay in L1 while every factor passes over them. Columns lie along the vectors:
    /// a tile's squares are added row by row of the tile, and those rows to one another at the end.
    /// </summary>
    private readonly struct SquaresJob(
        int k, float* factors, int heads, float* b, nint bStride, int columns, float* squares, WorkerScratch scratch) : IJob<SquaresJob>
    {
        private readonly int _k = k, _heads = heads, _columns = columns;
        private readonly float* _factors = factors, _b = b, _squares = squares;
        private readonly nint _bStride = bStride;
        private readonly WorkerScratch _scratch = scratch;

        private static int Across => TKernels.Lanes * TKernels.TileVectors;

        public int Panels => (_columns + Across - 1) / Across;

        public static void Run(in SquaresJob job, int item, int worker)
        {
            (int block, int panel) = Math.DivRem(item, job.Panels);
            int k = job._k, column = panel * Across, columns = Math.Min(Across, job._columns - column), width = RoundUp(columns, TKernels.Lanes);
            float* b = job._b + block * k * job._bStride + column;
            float* tile = job._scratch.Of(worker), sums = tile + TKernels.TileRows * Across, padded = sums + TKernels.TileRows * Across;
            var made = new ReadOnlySpan<float>(tile, TKernels.TileRows * width);
            var sum = new Span<float>(sums, made.Length);
            for (int head = block * job._heads; head < (block + 1) * job._heads; head++)
            {
                float* factor = Padded(job._factors + (nint)head * k * k, k, padded);
                sum.Clear();
                for (int r = 0; r < k; r += TKernels.TileRows)
                {
                    TKernels.Tile(width / TKernels.Lanes, k, factor + (nint)r * k, k, 1, b, job._bStride, tile, accumulate: false);
                    TensorPrimitives.MultiplyAdd(made, made, sum, sum);
                }

                for (int r = 1; r < TKernels.TileRows; r++)
                    TKernels.Add(sums, sums + r * width, sums, width);
                sum[..columns].CopyTo(new Span<float>(job._squares + (nint)head * job._columns + column, columns));
            }
        }
    }

    /// <summary>A tile reads whole rows of a K×K matrix: where K is no multiple of them, those past the end are zeros of our own.</summary>
    private static float* Padded(float* matrix, int k, float* padded)
    {
        if (k % TKernels.TileRows == 0)
            return matrix;
        new Span<float>(padded, RoundUp(k, TKernels.TileRows) * k).Clear();
        new ReadOnlySpan<float>(matrix, k * k).CopyTo(new Span<float>(padded, k * k));
        return padded;
    }
}
