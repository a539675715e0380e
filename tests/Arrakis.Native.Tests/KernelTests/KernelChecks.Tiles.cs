using System.Runtime.CompilerServices;
using Arrakis.Native.Kernels;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.KernelTests;

// Register tiles and what becomes of their columns.
internal sealed unsafe partial class KernelChecks<T>
{
    public override void Tile()
    {
        for (int vectors = 1; vectors <= T.TileVectors; vectors++)
        {
            for (int depth = 1; depth <= Longest; depth++)
            {
                // Rows stored as rows, as weights and keys are; and as columns, as values are.
                Tile(vectors, depth, aStride: depth + 1, aStep: 1);
                Tile(vectors, depth, aStride: 1, aStep: T.TileRows + 2);
                if (T.Tier == KernelTier.Avx512)
                    BF16Tile(vectors, depth);
            }
        }

        // Whether this machine's products use it or not.
        for (int vectors = 1; T.Tier == KernelTier.Avx512 && vectors <= T.TileVectors + 1; vectors++)
        {
            for (int depth = 1; depth <= Longest; depth++)
            {
                Tile(vectors, depth, aStride: depth + 1, aStep: 1, wide: true);
                Tile(vectors, depth, aStride: 1, aStep: T.WideRows + 2, wide: true);
            }
        }
    }

    // The rows widened and multiplied as any others: the bits must be the same. Rows do not begin where floats would.
    private void BF16Tile(int vectors, int depth)
    {
        int width = vectors * T.Lanes, stride = (depth + 3) * sizeof(ushort);
        byte* rows = Unaligned(T.TileRows * stride + sizeof(ushort)) + sizeof(ushort);
        // What lies before the first element is read with it, and left out.
        Unsafe.WriteUnaligned(rows - sizeof(ushort), ushort.MaxValue);
        Guarded widened = new(T.TileRows * depth), panel = new Guarded(depth * width).Set(Numbers(depth * width));
        for (int r = 0; r < T.TileRows; r++)
        {
            BlockFormats.Encode(ElementType.BF16, Numbers(depth), new Span<byte>(rows + r * stride, depth * sizeof(ushort)));
            ScalarKernels.Widen(ElementType.BF16, rows + r * stride, depth, widened.Pointer + r * depth);
        }

        foreach (bool accumulate in new[] { false, true })
        {
            float[] before = Numbers(T.TileRows * width);
            Guarded expected = new Guarded(before.Length).Set(before), tile = new Guarded(before.Length).Set(before);
            string what = $"{T.Tier} BF16Tile of {vectors} vectors, depth {depth}, {(accumulate ? "added" : "set")}";
            T.Tile(vectors, depth, widened, depth, 1, panel, width, expected, accumulate);
            T.BF16Tile(vectors, depth, rows, stride, panel, width, tile, accumulate, Elsewhere(depth));
            tile.OnlyFirst(before.Length, what);
            SameBits(expected.Values, tile.Values, what);
        }
    }

    private void Tile(int vectors, int depth, int aStride, int aStep, bool wide = false)
    {
        int rows = MatrixProduct<T>.TileRowsOf(wide), width = vectors * T.Lanes, panelStride = width + 3;
        float[] before = Numbers(rows * width);
        int length = (rows - 1) * aStride + (depth - 1) * aStep + 1;
        Guarded a = new Guarded(length).Set(Numbers(length)), panel = new Guarded(depth * panelStride).Set(Numbers(depth * panelStride));
        Guarded set = new(before.Length), added = new Guarded(before.Length).Set(before);
        string what = $"{T.Tier} {(wide ? "WideTile" : "Tile")} of {vectors} vectors, depth {depth}, step {aStep}";
        MatrixProduct<T>.Tile(wide, vectors, depth, a, aStride, aStep, panel, panelStride, set, accumulate: false, Elsewhere(depth));
        MatrixProduct<T>.Tile(wide, vectors, depth, a, aStride, aStep, panel, panelStride, added, accumulate: true);
        set.OnlyFirst(before.Length, what);
        added.OnlyFirst(before.Length, what);
        for (int at = 0; at < before.Length; at++)
        {
            double sum = 0, magnitude = 0;
            for (int k = 0; k < depth; k++)
            {
                double term = (double)a.Pointer[at / width * aStride + k * aStep] * panel.Pointer[k * panelStride + at % width];
                sum += term;
                magnitude += Math.Abs(term);
            }

            // As for Dots; what was there before is one more term.
            Close(sum, set.Pointer[at], depth * U * magnitude, what, at);
            Close(before[at] + sum, added.Pointer[at], (depth + 1) * U * (magnitude + Math.Abs(before[at])), what + ", added", at);
        }
    }

    /// <summary>Fetching ahead changes nothing, whatever is there.</summary>
    private static Ahead Elsewhere(int depth)
    {
        byte[] elsewhere = Guarded.Keep(GC.AllocateArray<byte>(3 * depth * sizeof(float), pinned: true));
        return new((byte*)Unsafe.AsPointer(ref elsewhere[0]), depth * sizeof(float), 3, Ahead.Interval * sizeof(float));
    }

    public override void Columns()
    {
        const float Scale = 0.3f;
        for (int vectors = 1; vectors <= T.TileVectors; vectors++)
        {
            // Fewer keys than queries, as many, and more: the first query sees diagonal + 1 of them.
            foreach ((int keys, int diagonal) in new[] { (1, 0), (2, 0), (7, 3), (33, 0), (64, 16), (Longest, 200), (Longest, Longest) })
                Columns(vectors * T.Lanes, keys, diagonal, Scale);
            // Differences beyond what an exponential can be of.
            Columns(vectors * T.Lanes, 64, 16, 10 * Scale);
        }
    }

    private void Columns(int width, int keys, int diagonal, float scale)
    {
        float[] scores = [.. Numbers(keys * width).Select(v => v * 40)];
        Guarded x = new Guarded(scores.Length).Set(scores), most = new(width);
        string what = $"{T.Tier} columns, {width} queries of {keys} keys from {diagonal}";
        T.ScaleAndMask(x, keys, width, scale, diagonal, most);
        x.OnlyFirst(scores.Length, what);
        most.OnlyFirst(width, what);
        var scaled = new float[scores.Length];
        for (int at = 0; at < scores.Length; at++)
            scaled[at] = at / width <= diagonal + at % width ? scores[at] * scale : float.NegativeInfinity;
        SameBits(scaled, x.Values, what);
        T.SoftmaxColumns(x, keys, width, most);
        x.OnlyFirst(scores.Length, what);
        for (int i = 0; i < width; i++)
        {
            double[] column = [.. Enumerable.Range(0, keys).Select(s => (double)scaled[s * width + i])];
            double max = column.Max(), sum = column.Sum(v => Math.Exp(v - max));
            double shared = column.Where(double.IsFinite).Sum(v => Math.Exp(v - max) / sum * (max - v));
            for (int s = 0; s < keys; s++)
            {
                double expected = Math.Exp(column[s] - max) / sum;
                // As for Softmax; where it multiplies by the sum's inverse, one rounding more.
                double allowed = expected == 0 ? 0 : (max - column[s] + shared + keys + 18) * U * expected + Tiny;
                Close(expected, x.Pointer[s * width + i], allowed, what, s * width + i);
            }
        }
    }
}
