namespace Arrakis.Native.Kernels;

// A few tokens leave most of a vector of tokens empty, and a weight that is broadcast for them alone costs as much to load as to multiply. So the parts are changed: an
// item's outputs lie along the vectors, its weights being turned, and the tokens are broadcast. Every sum has the same terms in the same order: the bits are the same.
internal static unsafe partial class MatrixProduct<TKernels>
{
    private static bool Few(in Panels x, in Product product) => x.Tokens <= TKernels.FewTokens && !product.Transposed;

    /// <summary>An item's outputs for all of a few tokens, [tokens, outputs].</summary>
    private static void FewTiles(
        in Panels x, in Product product, int firstRow, int rows, int k, int depth, in NextRows next, int then, float* scratch, float* sums, bool accumulate)
    {
        int width = x.Cut.Width(0), across = RoundUp(rows, TKernels.Lanes), groups = across / TKernels.Lanes;
        float* a = Rows(product.W, firstRow, rows, across, k, depth, scratch, out nint aStride);
        for (int group = 0; group < groups; group++)
        {
            int first = group * TKernels.Lanes;
            Ahead ahead = next.Part(group, groups, then);
            TKernels.TurnedTile(x.Tokens, depth, a + first * aStride, aStride, x.Data + (nint)k * width, width, sums + first, across, accumulate, in ahead);
        }
    }

    private static void WriteFew(int tokens, int rows, float* tile, float* y, nint yStride)
    {
        int across = RoundUp(rows, TKernels.Lanes);
        for (nint t = 0; t < tokens; t++)
            new ReadOnlySpan<float>(tile + t * across, rows).CopyTo(new Span<float>(y + t * yStride, rows));
    }
}
