using System.Diagnostics;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

// Items of some outputs for the tokens of a part. Why these sizes, for the widest tier: a tile of 8 rows by 48 tokens, or of 6 by 64 (CutOf), is 24 sums in 32 registers, 24 multiply-adds
// for 11 loads or 10; 32 rows pass over a panel of 48 tokens while it is in L2 (110 KiB at a depth of 576), so that a panel is loaded for four tiles; and a depth
// block of at most 1,024 keeps rows (128 KiB) and panel (192 KiB) in an L2 of 1 MiB together with the rows that are fetched for the next item. All activations
// of the part pass through L2 for every item (of 512 tokens 1.2 MB at a depth of 576, 4 MB at 2,048): where they do not stay there, items are taller (RowsOf). With 32 rows, panels
// are wanted of L3 at some 10 GB/s, all that an Emerald Rapids gives a core; with 128 at a quarter of that, and 512x2048x2048 is 11 % faster. The first tile of a panel
// would still have to wait for all of it: so the tiles of the panel before fetch it, each its share, for another 1 to 6 %.
internal static unsafe partial class MatrixProduct<TKernels>
{
    private readonly struct TileJob : IJob<TileJob>
    {
        private readonly Panels _x;
        private readonly Products _products;
        private readonly int _rows, _perPart;
        private readonly WorkerScratch _scratch;

        public TileJob(in Panels x, ReadOnlySpan<Product> products, int workers, in WorkerScratch scratch)
        {
            (_x, _scratch) = (x, scratch);
            products.CopyTo(_products);
            _rows = RowsOf(x, products[0], OutputsOf(products), workers);
            _perPart = ItemsOf(_products, products.Length, _rows);
        }

        public int Items => _x.Cut.Parts * _perPart;

        public static void Run(in TileJob job, int item, int worker)
        {
            (int number, int row) = Math.DivRem(item, job._perPart);
            ref readonly Product product = ref Find(in job._products, row, job._rows, out int firstRow);
            int rows = Math.Min(job._rows, product.Outputs - firstRow);
            var part = new Part(job._x, number);
            // What this worker does next.
            int next = item + 1;
            NextRows ahead = next < job.Items ? new(in Find(in job._products, next % job._perPart, job._rows, out int nextRow), nextRow, job._rows) : default;
            float* scratch = job._scratch.Of(worker), tiles = scratch + WidenedLength;
            Multiply(part, product, firstRow, rows, ahead, scratch, tiles);
            Write(part, product, firstRow, rows, tiles, product.Y, product.YStride, away: false);
        }
    }

    private readonly struct GatedJob(
        Panels x, Product gate, Product up, int workers, Panels hidden, float* rows, WorkerScratch scratch) : IJob<GatedJob>
    {
        private readonly Panels _x = x, _hidden = hidden;
        private readonly Product _gate = gate, _up = up;
        private readonly int _outputs = RowsOf(x, gate, gate.Outputs, workers);
        private readonly float* _rows = rows;
        private readonly WorkerScratch _scratch = scratch;

        public int Items => _x.Cut.Parts * PerPart;

        private int PerPart => (_gate.Outputs + _outputs - 1) / _outputs;

        public static void Run(in GatedJob job, int item, int worker)
        {
            (int number, int row) = Math.DivRem(item, job.PerPart);
            var part = new Part(job._x, number);
            int firstRow = row * job._outputs, rows = Math.Min(job._outputs, job._gate.Outputs - firstRow), next = item + 1;
            float* scratch = job._scratch.Of(worker), gates = scratch + WidenedLength, ups = gates + TilesLength(part.Tokens);
            Multiply(part, job._gate, firstRow, rows, new NextRows(in job._up, firstRow, rows), scratch, gates);
            Multiply(part, job._up, firstRow, rows, next < job.Items ? new(in job._gate, next % job.PerPart * job._outputs, job._outputs) : default, scratch, ups);
            if (job._gate.Y != null)
                Write(part, job._gate, firstRow, rows, gates, job._gate.Y, job._gate.YStride, away: true);
            if (job._up.Y != null)
                Write(part, job._up, firstRow, rows, ups, job._up.Y, job._up.YStride, away: true);
            if (Few(job._x, job._gate))
                job.FinishFew(firstRow, rows, gates, ups);
            else
                job.Finish(part, firstRow, rows, gates, ups);
        }

        private void FinishFew(int firstRow, int rows, float* gates, float* ups)
        {
            int across = RoundUp(rows, TKernels.Lanes);
            Panel only = _hidden[0];
            TKernels.SiluMultiply(gates, ups, gates, _x.Tokens * across);
            TKernels.Transpose(gates, across, only.At(firstRow), only.Width, _x.Tokens, rows);
            if (_rows != null)
                WriteFew(_x.Tokens, rows, gates, _rows + firstRow, _hidden.Depth);
        }

        private void Finish(in Part part, int firstRow, int rows, float* gates, float* ups)
        {
            for (int p = part.First; p < part.End; p++)
            {
                Panel panel = _hidden[p];
                nint tiles = part.TilesAt(panel, rows);
                float* packed = panel.At(firstRow);
                TKernels.SiluMultiply(gates + tiles, ups + tiles, packed, rows * panel.Width);
                if (_rows != null)
                    TKernels.TransposeAway(packed, panel.Width, _rows + (nint)panel.Start * _hidden.Depth + firstRow, _hidden.Depth, rows, panel.Tokens);
            }
        }
    }

    /// <summary>A run of panels, whose tokens an item is for.</summary>
    private readonly struct Part(in Panels x, int number)
    {
        public readonly Panels X = x;
        public readonly int First = x.Cut.FirstPanel(number), End = x.Cut.FirstPanel(number + 1);

        private readonly int _start = x.Cut.Start(x.Cut.FirstPanel(number));

        /// <summary>Its tokens, with those that fill a last vector.</summary>
        public int Tokens => X.Cut.Start(End) - _start;

        /// <summary>Where a panel's tiles begin among the part's: [rows rounded up to tiles, tokens of the panel], dense, panel after panel.</summary>
        public nint TilesAt(in Panel panel, int rows) => (nint)(panel.Start - _start) * RoundUp(rows, TileRowsOf(X.Cut.Wide));
    }

    /// <summary>The rows of a matrix that a worker reads after those that it computes with.</summary>
    private readonly struct NextRows(in Product product, int firstRow, int rows)
    {
        // The columns of a transposed product are not rows that lie side by side.
        private readonly int _rows = product.Transposed ? 0 : Math.Min(rows, product.Outputs - firstRow);
        private readonly WeightMatrix _w = product.W;
        private readonly int _firstRow = firstRow;

        /// <summary>The part of them that tile <paramref name="tile"/> of <paramref name="tiles"/> fetches of the inputs from <paramref name="k"/> on.</summary>
        public Ahead Part(int tile, int tiles, int k)
        {
            int first = _rows * tile / tiles, count = (_rows * (tile + 1) / tiles) - first;
            if (count == 0)
                return default;
            return new Ahead(_w.At(_firstRow + first, k), _w.RowBytes, count, (int)(_w.Type.RowBytes(2 * Ahead.Interval) / 2));
        }
    }

    /// <summary>The panel that comes after one of a part, and is fetched while that is multiplied, where panels do not stay in L2.</summary>
    private readonly struct NextPanel
    {
        private readonly byte* _at;
        private readonly int _step;

        public NextPanel(in Part part, int p, int k, int then)
        {
            if (!Spills(part.X))
                return;
            bool last = p + 1 == part.End;
            Panel panel = part.X[last ? part.First : p + 1];
            _at = (byte*)panel.At(last ? then : k);
            _step = panel.Width * sizeof(float) * Ahead.Interval;
        }

        /// <summary>What a tile fetches of rows, and its share of the panel.</summary>
        public Ahead With(in Ahead rows, int tile, int tiles)
        {
            int lines = _step / Streaming.Line, first = lines * tile / tiles, count = (lines * (tile + 1) / tiles) - first;
            return rows with { Panel = _at + first * Streaming.Line, PanelBytes = count * Streaming.Line, PanelStep = _step };
        }
    }

    /// <summary>The tiles of an item: its outputs for the tokens of its part.</summary>
    private static void Multiply(in Part part, in Product product, int firstRow, int rows, in NextRows next, float* scratch, float* tiles)
    {
        ref readonly Panels x = ref part.X;
        int block = BlockOf(product, x.Depth);
        float* parts = tiles + TilesLength(part.Tokens);
        for (int k = 0; k < x.Depth; k += block)
        {
            int depth = Math.Min(block, x.Depth - k);
            bool apart = product.Parts != null && k > 0, accumulate = k > 0 && !apart;
            float* sums = apart ? parts : tiles;
            // Beside a block's sums, the inputs of the next block are fetched; beside the last one's, the first of the next item.
            int then = k + block < x.Depth ? k + block : 0;
            NextRows ahead = then > 0 ? new(in product, firstRow, rows) : next;
            if (Few(x, product))
                FewTiles(x, product, firstRow, rows, k, depth, ahead, then, scratch, sums, accumulate);
            else
                Tiles(part, product, firstRow, rows, k, depth, ahead, then, scratch, sums, accumulate);
            if (product.Parts == null)
                continue;
            nint partsStride = x.Depth / block * (nint)product.Outputs;
            Write(part, product, firstRow, rows, sums, product.Parts + (nint)(k / block) * product.Outputs, partsStride, away: true);
            if (apart)
                TKernels.Add(tiles, parts, tiles, TilesLength(part.Tokens));
        }
    }

    private static void Tiles(
        in Part part, in Product product, int firstRow, int rows, int k, int depth, in NextRows next, int then, float* scratch, float* sums, bool accumulate)
    {
        ref readonly WeightMatrix w = ref product.W;
        bool wide = part.X.Cut.Wide;
        int tileRows = TileRowsOf(wide), all = RoundUp(rows, tileRows), groups = all / tileRows, tile = 0;
        bool bf16 = w.Type == ElementType.BF16 && InPlace(w.Type) && !product.Transposed && rows == all;
        Debug.Assert(!(bf16 && wide), "a tier that multiplies bfloat16 in place has no wide tiles");
        // Half-precision rows are widened for a tile while the one before it computes; only the first tile's before that.
        bool inPassing = TKernels.WidensAhead && w.Type == ElementType.F16 && !product.Transposed && depth % Ahead.Interval == 0;
        int count = (part.End - part.First) * groups - (inPassing ? groups - 1 : 0);
        nint aStride = 0;
        float* a =
            bf16 ? null :
            product.Transposed ? Columns(w, firstRow, rows, all, k, depth, scratch, out aStride) :
            inPassing ? Rows(w, firstRow, Math.Min(rows, tileRows), tileRows, k, depth, scratch, out aStride) :
            Rows(w, firstRow, rows, all, k, depth, scratch, out aStride);
        for (int p = part.First; p < part.End; p++)
        {
            Panel panel = part.X[p];
            int vectors = panel.Width / TKernels.Lanes;
            var follows = new NextPanel(part, p, k, then);
            float* packed = panel.At(k), tiles = sums + part.TilesAt(panel, rows);
            for (int r = 0; r < all; r += tileRows)
            {
                int after = r + tileRows;
                Ahead ahead = inPassing && p == part.First && after < all
                    ? Widening(w, firstRow + after, Math.Min(rows - after, tileRows), k, a + after * aStride, aStride)
                    : follows.With(next.Part(tile++, count, then), r / tileRows, groups);
                float* c = tiles + r * panel.Width;
                if (bf16)
                    TKernels.BF16Tile(vectors, depth, w.At(firstRow + r, k), w.RowBytes, packed, panel.Width, c, accumulate, in ahead);
                else
                    Tile(wide, vectors, depth, a + r * aStride, aStride, 1, packed, panel.Width, c, accumulate, in ahead);
            }
        }
    }

    private static Ahead Widening(in WeightMatrix w, int firstRow, int rows, int k, float* to, nint stride) =>
        new(w.At(firstRow, k), w.RowBytes, rows, (int)w.Type.RowBytes(Ahead.Interval)) { To = to, ToStride = stride };

    /// <summary>An item's tiles, turned into rows of y.</summary>
    private static void Write(in Part part, in Product product, int firstRow, int rows, float* tiles, float* y, nint yStride, bool away)
    {
        if (Few(part.X, product))
        {
            WriteFew(part.X.Tokens, rows, tiles, y + firstRow, yStride);
            return;
        }

        for (int p = part.First; p < part.End; p++)
        {
            Panel panel = part.X[p];
            float* from = tiles + part.TilesAt(panel, rows), to = y + panel.Start * yStride + firstRow;
            if (away)
                TKernels.TransposeAway(from, panel.Width, to, yStride, rows, panel.Tokens);
            else
                TKernels.Transpose(from, panel.Width, to, yStride, rows, panel.Tokens);
        }
    }

    /// <summary>Rows and inputs of a matrix as floats: in place where they are floats already and fill their tiles, else widened into scratch.</summary>
    private static float* Rows(in WeightMatrix w, int firstRow, int rows, int tileRows, int k, int depth, float* scratch, out nint stride)
    {
        if (w.Type == ElementType.F32 && rows == tileRows)
        {
            stride = w.RowBytes / sizeof(float);
            return (float*)w.At(firstRow, k);
        }

        int block = w.Type.BlockLength();
        int lead = (w.FirstColumn + k) % block;
        int length = RoundUp(lead + depth, block);
        stride = MostDepth + WidenSlack;
        for (int r = 0; r < rows; r++)
            TKernels.Widen(w.Type, w.At(firstRow + r, k), length, scratch + r * stride);
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
            TKernels.Transpose((float*)w.At(k, firstColumn), w.RowBytes / sizeof(float), scratch, stride, depth, columns);
            return scratch;
        }

        const int Rows = 8, Row = MostRows + WidenSlack;
        int block = w.Type.BlockLength(), lead = column % block, length = RoundUp(lead + columns, block);
        float* widened = stackalloc float[Rows * Row];
        for (int i = 0; i < depth; i += Rows)
        {
            int rows = Math.Min(Rows, depth - i);
            for (int r = 0; r < rows; r++)
                TKernels.Widen(w.Type, w.At(k + i + r, firstColumn), length, widened + r * Row);
            TKernels.Transpose(widened + lead, Row, scratch + i, stride, rows, columns);
        }

        return scratch;
    }
}
