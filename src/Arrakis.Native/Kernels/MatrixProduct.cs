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

    /// <summary>
    /// Inputs that are summed by themselves before they are added to the others: a head's, whose part of attn_out is what it writes. 0 for no such parts.
    /// A multiple of it is the number of inputs.
    /// </summary>
    public int PartDepth { get; init; }

    /// <summary>Where the parts go, [token, part, output]; null for nowhere. Their sum in order is y, bit for bit.</summary>
    public float* Parts { get; init; }

    public int Outputs => Transposed ? W.Columns : W.Rows;
}

/// <summary>Up to three products of the same x, whose items are numbered through: q, k, v; gate, up.</summary>
[InlineArray(3)]
internal struct Products
{
    private Product _first;
}

/// <summary>
/// Matrix products over a tier's register tile. Tokens lie along the vectors and a weight's rows are broadcast element by element, so that weights that
/// are <see cref="InPlace"/> are read where the file put them, never packed or copied; others are widened a few rows at a time into cache, once for all tokens (as are
/// bfloat16 ones for a few tokens, and in an item whose rows do not fill its tiles).
/// What is packed is the activations: small, and packed once for all matrices that read them.
/// </summary>
/// <remarks>
/// Sums run over k in order within blocks of <see cref="Product.PartDepth"/> where a product has parts, else of <see cref="DepthBlock"/>, and blocks are added in
/// order: the bits depend neither on the number of tokens, nor on where a token lies in its tile, nor on the threads.
/// </remarks>
internal static unsafe partial class MatrixProduct<TKernels> where TKernels : struct, IKernels
{
    /// <summary>Inputs that a worker's memory for widened rows holds, and so the longest part of a product.</summary>
    public const int MostDepth = 1024;

    // Widened rows are this much longer than a depth block: a slice may begin inside a quantised block.
    private const int WidenSlack = 64;

    /// <summary>Tokens that are packed together: of any tier, whole vectors, which lie in one panel each.</summary>
    public const int PackedAtOnce = 16;

    /// <summary>Tokens of the widest panel.</summary>
    public static int MostPanelTokens => TKernels.Lanes * Math.Max(TKernels.TileVectors, TKernels.WideVectors);

    // Tokens of the shortest part of a product that workers share, if nothing is widened for it; of any tier.
    private const int LeastPart = 64;

    // Outputs of an item, before they are whole tiles: of few tokens, of such with wide tiles (eight of six rows, and outputs are turned sixteen at a time), and at the most.
    private const int LeastRows = 32, LeastWideRows = 48, MostRows = 128;

    // Of f16 weights, on a Zen 5, 128 tokens in two halves take 1 to 7 % more time.
    private const int LeastWidenedBeside = 128;

    // Fewer items are not shared out evenly.
    private const int LeastItemsOfWorker = 3;

    /// <summary>
    /// How <paramref name="tokens"/> are divided for products with matrices of a type that workers share. Every part reads all weights, and widens what is not in place: it is
    /// for no fewer than two workers, where there are more than one, and no shorter than is worth that.
    /// </summary>
    public static Cut CutOf(int tokens, int workers, ElementType type)
    {
        int parts = Math.Min(workers / 2, tokens / (InPlace(type) ? LeastPart : 2 * LeastPart));
        Cut cut = Cut.Of(tokens, TKernels.Lanes, TKernels.TileVectors, parts);
        if (TKernels.WideVectors == 0)
            return cut;
        // Panels narrower than a tile load more for every multiply-add. Where a vector is missing in a third of them, or more, and wide panels are fewer, those are better; else
        // the others are as good.
        Cut wide = Cut.Of(tokens, TKernels.Lanes, TKernels.WideVectors, parts) with { Wide = true };
        int missing = cut.Panels * TKernels.TileVectors - cut.Vectors;
        return wide.Panels < cut.Panels && 3 * missing >= cut.Panels ? wide : cut;
    }

    /// <summary>Rows of a tile, or of a wide one.</summary>
    public static int TileRowsOf(bool wide) => wide ? TKernels.WideRows : TKernels.TileRows;

    /// <summary><see cref="IKernels.WideTile"/> or <see cref="IKernels.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tile(
        bool wide, int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead = default)
    {
        if (wide)
            TKernels.WideTile(vectors, depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
        else
            TKernels.Tile(vectors, depth, a, aStride, aStep, panel, panelStride, c, accumulate, in ahead);
    }

    /// <summary>
    /// Tokens of which one worker had better multiply all weights of a type by itself; of fewer it shares them, and their widening, with others. Rows that are widened beside
    /// tiles want these wide, as those of many tokens are.
    /// </summary>
    public static int LeastAlone(ElementType type) =>
        InPlace(type) ? TKernels.LeastAlone : Math.Max(2 * TKernels.LeastAlone, type == ElementType.F16 && TKernels.WidensAhead ? LeastWidenedBeside : 0);

    /// <summary>Whether tiles multiply weights as they are stored.</summary>
    private static bool InPlace(ElementType type) => type == ElementType.F32 || (type == ElementType.BF16 && TKernels.TilesBF16);

    /// <summary>Floats that <paramref name="tokens"/> activations of <paramref name="depth"/> take when packed.</summary>
    public static long PackedLength(int tokens, int depth) => (long)RoundUp(tokens, TKernels.Lanes) * depth;

    /// <summary>Floats of scratch that each worker needs for products over at most <paramref name="tokens"/>.</summary>
    public static long ScratchLength(int tokens) => WidenedLength + 2L * TilesLength(tokens);

    // An item's rows, widened.
    private static int WidenedLength => MostRows * (MostDepth + WidenSlack);

    // An item's outputs for all tokens, as tiles.
    private static int TilesLength(int tokens) => MostRows * RoundUp(tokens, TKernels.Lanes);

    /// <summary>Packs x [tokens, depth] into panels.</summary>
    public static Panels Pack(WorkerTeam team, float* x, nint xStride, int tokens, int depth, float* packed) =>
        Pack(team, x, xStride, CutOf(tokens, team.Size, ElementType.F32), depth, packed);

    /// <summary>Packs x [tokens, depth] into the panels of a cut.</summary>
    public static Panels Pack(WorkerTeam team, float* x, nint xStride, in Cut cut, int depth, float* packed)
    {
        var panels = new Panels(packed, depth, cut);
        team.Run(new PackJob(panels, x, xStride), PackJob.Items(panels), 8L * cut.Tokens * depth);
        return panels;
    }

    /// <summary>
    /// Packs up to <see cref="PackedAtOnce"/> rows, of the tokens from <paramref name="first"/> on (a multiple of it), inputs <paramref name="k"/> and the
    /// <paramref name="depth"/> that begin there. x is where the first of them is.
    /// </summary>
    public static void Pack(in Panels panels, float* x, nint xStride, int first, int k, int depth)
    {
        for (int token = first; token < Math.Min(first + PackedAtOnce, panels.Tokens); token += TKernels.Lanes, x += TKernels.Lanes * xStride)
        {
            Panel panel = panels[panels.Cut.PanelOf(token)];
            int tokens = Math.Min(TKernels.Lanes, panels.Tokens - token);
            float* destination = panel.At(k) + (token - panel.Start);
            TKernels.Transpose(x, xStride, destination, panel.Width, tokens, depth);
            for (nint i = 0; i < depth && tokens < TKernels.Lanes; i++)
                new Span<float>(destination + i * panel.Width + tokens, TKernels.Lanes - tokens).Clear();
        }
    }

    /// <summary>The products of packed activations.</summary>
    public static void Multiply(WorkerTeam team, in Panels x, ReadOnlySpan<Product> products, in WorkerScratch scratch)
    {
        var job = new TileJob(x, products, team.Size, scratch);
        team.Run(job, job.Items, x.Tokens * Weights(products));
    }

    /// <summary>
    /// SiLU(x W_gateᵀ) ∘ x W_upᵀ, packed for the product that reads it: an item's tiles are already laid out as panels are. Gate, up and the result go to memory
    /// as rows only where they are wanted, that is where <see cref="Product.Y"/> and <paramref name="rows"/> are not null.
    /// </summary>
    public static Panels MultiplyGated(WorkerTeam team, in Panels x, in Product gate, in Product up, float* rows, float* packed, in WorkerScratch scratch)
    {
        var hidden = new Panels(packed, gate.Outputs, x.Cut);
        var job = new GatedJob(x, gate, up, team.Size, hidden, rows, scratch);
        team.Run(job, job.Items, x.Tokens * Weights([gate, up]));
        return hidden;
    }

    /// <summary>The products of one token's activations, contiguous at x.</summary>
    public static void MultiplyOne(WorkerTeam team, float* x, ReadOnlySpan<Product> products)
    {
        var job = new DotsJob(x, products);
        team.Run(job, job.Items, Weights(products));
    }

    private static long Weights(ReadOnlySpan<Product> products)
    {
        long weights = 0;
        foreach (ref readonly Product product in products)
            weights += (long)product.W.Rows * product.W.Columns;
        return weights;
    }

    // The same for every tier and token count, because it decides the order of sums. A multiple of 32, so that quantised blocks are not cut.
    private static int DepthBlock(int depth)
    {
        int blocks = (depth + MostDepth - 1) / MostDepth;
        return Math.Min(depth, RoundUp((depth + blocks - 1) / blocks, 32));
    }

    /// <summary>
    /// Outputs of an item. Every item reads the activations of its part once: where L2 keeps them from one item to the next, few outputs are as good as many, and workers
    /// have more to share. Where they come from further away each time, an item has as many outputs as a quarter of L2 has room for, so that it is worth the way.
    /// </summary>
    private static int RowsOf(in Panels x, in Product product, int outputs, int workers)
    {
        int tileRows = TileRowsOf(x.Cut.Wide), least = x.Cut.Wide ? LeastWideRows : LeastRows, rows = least;
        if (Spills(x))
        {
            int fits = Caches.Level2 / 4 / (BlockOf(product, x.Depth) * sizeof(float));
            int shared = workers > 1 ? outputs / (LeastItemsOfWorker * workers) : MostRows;
            rows = Math.Clamp(Math.Min(fits, shared) / least * least, least, MostRows);
        }

        return rows / tileRows * tileRows;
    }

    /// <summary>Whether the activations of a part take more of L2 than they are left beside weights and sums, so that each item reads them from further away.</summary>
    private static bool Spills(in Panels x) => (long)x.Tokens * x.Depth * sizeof(float) > x.Cut.Parts * (long)Caches.Level2 / 2;

    private static int BlockOf(in Product product, int depth) => product.PartDepth > 0 ? product.PartDepth : DepthBlock(depth);

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    private static int OutputsOf(ReadOnlySpan<Product> products)
    {
        int outputs = 0;
        foreach (ref readonly Product product in products)
            outputs += product.Outputs;
        return outputs;
    }

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
        // Few tokens of many features occupy every worker too.
        private const int Depth = 512;

        private readonly Panels _panels = panels;
        private readonly float* _x = x;
        private readonly nint _xStride = xStride;

        public static int Items(in Panels panels) => (panels.Tokens + PackedAtOnce - 1) / PackedAtOnce * Cuts(panels);

        private static int Cuts(in Panels panels) => (panels.Depth + Depth - 1) / Depth;

        public static void Run(in PackJob job, int item, int worker)
        {
            (int part, int cut) = Math.DivRem(item, Cuts(job._panels));
            int first = part * PackedAtOnce, k = cut * Depth;
            Pack(job._panels, job._x + first * job._xStride + k, job._xStride, first, k, Math.Min(Depth, job._panels.Depth - k));
        }
    }

    private readonly struct DotsJob : IJob<DotsJob>
    {
        // Of the few hundred rows of a small projection, as many items as two or four workers have equal shares of.
        private const int RowsPerItem = 32;

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
