using System.Runtime.CompilerServices;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

/// <summary>
/// One y = x Wᵀ: y[t · YStride + n] = Σ_k x[t, k] W[n, k]; or, transposed, one y = x W: y[t · YStride + n] = Σ_k x[t, k] W[k, n], which is how a covector
/// goes back through a projection.
/// </summary>
internal readonly unsafe struct Product(WeightMatrix w, float* y, nint yStride, bool transposed = false)
{
    public readonly WeightMatrix W = w;
    public readonly float* Y = y;
    public readonly nint YStride = yStride;
    public readonly bool Transposed = transposed;

    public int Outputs => Transposed ? W.Columns : W.Rows;
}

/// <summary>Up to three products of the same x, whose items are drawn from one counter: q, k, v; gate, up.</summary>
[InlineArray(3)]
internal struct Products
{
    private Product _first;
}

/// <summary>Activations packed for <see cref="IKernels.Tile"/>: panels of tokens side by side, [depth, tokens of the panel].</summary>
internal readonly unsafe struct Panels(float* data, int tokens, int depth)
{
    public readonly float* Data = data;
    public readonly int Tokens = tokens;
    public readonly int Depth = depth;
}

/// <summary>
/// Matrix products over a tier's register tile. Tokens lie along the vectors and a weight's rows are broadcast element by element, so that float32 weights
/// are read where the file put them, never packed or copied; other types are widened a few rows at a time into cache, once for all tokens.
/// What is packed is the activations: small, and packed once for all matrices that read them.
/// </summary>
/// <remarks>
/// Sums run over k in order within blocks of <see cref="DepthBlock"/>, and blocks are added in order: the bits depend neither on the number of tokens, nor on
/// where a token lies in its tile, nor on the threads. An item is <see cref="RowsPerItem"/> rows: with its depth block 128 KiB of float32, which stays in L2
/// beside one panel (192 KiB) while every panel passes over it.
/// </remarks>
internal static unsafe class MatrixProduct<TKernels> where TKernels : struct, IKernels
{
    private const int MostDepth = 1024;

    // Widened rows are this much longer than a depth block: a slice may begin inside a quantised block.
    private const int WidenSlack = 64;

    private static int PanelTokens => TKernels.Lanes * TKernels.TileVectors;

    private static int RowsPerItem => 32 / TKernels.TileRows * TKernels.TileRows;

    /// <summary>Floats that <paramref name="tokens"/> activations of <paramref name="depth"/> take when packed.</summary>
    public static long PackedLength(int tokens, int depth) => (long)RoundUp(tokens, TKernels.Lanes) * depth;

    /// <summary>Floats of scratch that each worker needs for products over at most <paramref name="tokens"/>.</summary>
    public static long ScratchLength(int tokens) =>
        (long)RowsPerItem * (MostDepth + WidenSlack) + (long)RowsPerItem * RoundUp(tokens, TKernels.Lanes);

    /// <summary>Packs x [tokens, depth] into panels.</summary>
    public static Panels Pack(WorkerTeam team, float* x, nint xStride, int tokens, int depth, float* packed)
    {
        var panels = new Panels(packed, tokens, depth);
        team.Run(new PackJob(panels, x, xStride), PackJob.Items(panels));
        return panels;
    }

    /// <summary>The products of packed activations.</summary>
    public static void Multiply(WorkerTeam team, in Panels x, ReadOnlySpan<Product> products, in WorkerScratch scratch)
    {
        var job = new TileJob(x, products, scratch, team.Size);
        team.Run(job, job.Items);
    }

    /// <summary>The products of one token's activations, contiguous at x.</summary>
    public static void MultiplyOne(WorkerTeam team, float* x, ReadOnlySpan<Product> products)
    {
        var job = new DotsJob(x, products);
        team.Run(job, job.Items);
    }

    // The same for every tier and token count, because it decides the order of sums. A multiple of 32, so that quantised blocks are not cut.
    private static int DepthBlock(int depth)
    {
        int blocks = (depth + MostDepth - 1) / MostDepth;
        return Math.Min(depth, RoundUp((depth + blocks - 1) / blocks, 32));
    }

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    private static int PanelWidth(int tokens, int start) => Math.Min(PanelTokens, RoundUp(tokens - start, TKernels.Lanes));

    private static int ItemsOf(in Products products, int count, int rowsPerItem)
    {
        int items = 0;
        for (int i = 0; i < count; i++)
            items += (products[i].Outputs + rowsPerItem - 1) / rowsPerItem;
        return items;
    }

    /// <summary>Items are numbered through the products in order: the product that an item falls in, and its first row there.</summary>
    private static ref readonly Product Find(in Products products, int item, int rowsPerItem, out int firstRow)
    {
        int index = 0;
        for (int items; item >= (items = (products[index].Outputs + rowsPerItem - 1) / rowsPerItem); index++)
            item -= items;
        firstRow = item * rowsPerItem;
        return ref products[index];
    }

    private readonly struct PackJob(Panels panels, float* x, nint xStride) : IJob<PackJob>
    {
        // Long panels are cut in k, so that a few tokens of many features still occupy every worker.
        private const int Depth = 256;

        private readonly Panels _panels = panels;
        private readonly float* _x = x;
        private readonly nint _xStride = xStride;

        public static int Items(in Panels panels) => (panels.Tokens + PanelTokens - 1) / PanelTokens * Cuts(panels);

        private static int Cuts(in Panels panels) => (panels.Depth + Depth - 1) / Depth;

        public static void Run(in PackJob job, int item, int worker)
        {
            (int panel, int cut) = Math.DivRem(item, Cuts(job._panels));
            int start = panel * PanelTokens, k = cut * Depth;
            int depth = Math.Min(Depth, job._panels.Depth - k);
            int tokens = Math.Min(PanelTokens, job._panels.Tokens - start);
            int width = PanelWidth(job._panels.Tokens, start);
            float* destination = job._panels.Data + (nint)start * job._panels.Depth + (nint)k * width;
            TKernels.Transpose(job._x + start * job._xStride + k, job._xStride, destination, width, tokens, depth);
            if (tokens == width)
                return;
            for (nint i = 0; i < depth; i++)
                new Span<float>(destination + i * width + tokens, width - tokens).Clear();
        }
    }

    private readonly struct TileJob : IJob<TileJob>
    {
        private readonly Panels _x;
        private readonly Products _products;
        private readonly int _count, _workers;
        private readonly WorkerScratch _scratch;

        public TileJob(in Panels x, ReadOnlySpan<Product> products, in WorkerScratch scratch, int workers)
        {
            _workers = workers;
            (_x, _count, _scratch) = (x, products.Length, scratch);
            products.CopyTo(_products);
        }

        public int Items => ItemsOf(_products, _count, RowsPerItem);

        public static void Run(in TileJob job, int item, int worker)
        {
            ref readonly Product product = ref Find(in job._products, item, RowsPerItem, out int firstRow);
            // The item that this worker will most likely draw next.
            int next = item + job._workers;
            int nextRow = 0;
            Product ahead = next < job.Items ? Find(in job._products, next, RowsPerItem, out nextRow) : default;
            Multiply(job._x, product, firstRow, job._scratch.Of(worker), ahead, nextRow);
        }

        private static void Multiply(in Panels x, in Product product, int firstRow, float* scratch, in Product nextProduct, int nextRow)
        {
            int nextRows = nextProduct.Y == null || nextProduct.Transposed ? 0 : Math.Min(RowsPerItem, nextProduct.Outputs - nextRow);
            int panels = (x.Tokens + PanelTokens - 1) / PanelTokens;
            int rows = Math.Min(RowsPerItem, product.Outputs - firstRow);
            int groups = (rows + TKernels.TileRows - 1) / TKernels.TileRows;
            int block = DepthBlock(x.Depth);
            float* tiles = scratch + RowsPerItem * (MostDepth + WidenSlack);
            for (int k = 0; k < x.Depth; k += block)
            {
                int tileIndex = 0, tileCount = panels * groups;
                int depth = Math.Min(block, x.Depth - k);
                float* a = product.Transposed
                    ? Columns(product.W, firstRow, rows, groups * TKernels.TileRows, k, depth, scratch, out nint aStride)
                    : Rows(product.W, firstRow, rows, groups * TKernels.TileRows, k, depth, scratch, out aStride);
                for (int start = 0; start < x.Tokens; start += PanelTokens)
                {
                    int width = PanelWidth(x.Tokens, start);
                    float* panel = x.Data + (nint)start * x.Depth + (nint)k * width;
                    for (int g = 0; g < groups; g++)
                    {
                        int r = g * TKernels.TileRows;
                        float* tile = tiles + start * groups * TKernels.TileRows + r * width;
                        int f = nextRows * tileIndex / tileCount, t = nextRows * ++tileIndex / tileCount;
                        var look = new Ahead(t == f ? null : nextProduct.W.Row(nextRow + f) + nextProduct.W.Type.RowBytes(k), nextProduct.W.RowBytes, t - f, (int)(nextProduct.W.Type.RowBytes(32) / 2));
                        TKernels.Tile(width / TKernels.Lanes, depth, a + r * aStride, aStride, panel, width, tile, accumulate: k > 0, in look);
                        if (k + depth < x.Depth)
                            continue;
                        float* y = product.Y + start * product.YStride + firstRow + r;
                        TKernels.Transpose(tile, width, y, product.YStride, Math.Min(TKernels.TileRows, rows - r), Math.Min(width, x.Tokens - start));
                    }
                }
            }
        }

        /// <summary>Rows and inputs of a matrix as floats: in place where they are floats already and fill their tiles, else widened into scratch.</summary>
        private static float* Rows(in WeightMatrix w, int firstRow, int rows, int tileRows, int k, int depth, float* scratch, out nint stride)
        {
            if (w.Type == ElementType.F32 && rows == tileRows)
            {
                stride = w.RowBytes / sizeof(float);
                return (float*)w.Row(firstRow) + w.FirstColumn + k;
            }

            int block = w.Type.BlockLength();
            int lead = (w.FirstColumn + k) % block;
            int length = RoundUp(lead + depth, block);
            stride = MostDepth + WidenSlack;
            for (int r = 0; r < rows; r++)
                TKernels.Widen(w.Type, w.Row(firstRow + r) + w.Type.RowBytes(w.FirstColumn + k - lead), length, scratch + r * stride);
            for (int r = rows; r < tileRows; r++)
                new Span<float>(scratch + r * stride, length).Clear();
            return scratch + lead;
        }

        /// <summary>Columns of a matrix, turned into rows of floats in scratch: a few stored rows at a time, widened where they are no floats.</summary>
        private static float* Columns(in WeightMatrix w, int firstColumn, int columns, int tileRows, int k, int depth, float* scratch, out nint stride)
        {
            stride = MostDepth + WidenSlack;
            for (int r = columns; r < tileRows; r++)
                new Span<float>(scratch + r * stride, depth).Clear();
            int column = w.FirstColumn + firstColumn;
            if (w.Type == ElementType.F32)
            {
                TKernels.Transpose((float*)w.Row(k) + column, w.RowBytes / sizeof(float), scratch, stride, depth, columns);
                return scratch;
            }

            const int Rows = 8;
            int block = w.Type.BlockLength(), lead = column % block, length = RoundUp(lead + columns, block);
            float* widened = stackalloc float[Rows * 128];
            for (int i = 0; i < depth; i += Rows)
            {
                int rows = Math.Min(Rows, depth - i);
                for (int r = 0; r < rows; r++)
                    TKernels.Widen(w.Type, w.Row(k + i + r) + w.Type.RowBytes(column - lead), length, widened + r * 128);
                TKernels.Transpose(widened + lead, 128, scratch + i, stride, rows, columns);
            }

            return scratch;
        }
    }

    private readonly struct DotsJob : IJob<DotsJob>
    {
        private const int RowsPerItem = 64;

        private readonly float* _x;
        private readonly Products _products;
        private readonly int _count;

        public DotsJob(float* x, ReadOnlySpan<Product> products)
        {
            _x = x;
            _count = products.Length;
            products.CopyTo(_products);
        }

        public int Items => ItemsOf(_products, _count, RowsPerItem);

        public static void Run(in DotsJob job, int item, int worker)
        {
            ref readonly Product product = ref Find(in job._products, item, RowsPerItem, out int first);
            TKernels.Dots(product.W, first, Math.Min(RowsPerItem, product.W.Rows - first), job._x, product.Y + first);
        }
    }
}
