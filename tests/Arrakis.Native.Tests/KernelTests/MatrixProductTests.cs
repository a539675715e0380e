using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>Whole matrix products, forward (y = x Wᵀ) and back through a projection (y = x W), of matrices and of slices of their columns.</summary>
public sealed class MatrixProductTests
{
    [Theory]
    [MemberData(nameof(Engine.TiersByType), MemberType = typeof(Engine))]
    public void Products_equal_a_plain_loop(KernelTier tier, ElementType type)
    {
        switch (tier)
        {
            case KernelTier.Scalar: new ProductChecks<ScalarKernels>(type).All(); break;
            case KernelTier.Vector: new ProductChecks<VectorKernels>(type).All(); break;
            case KernelTier.Avx2: new ProductChecks<Avx2Kernels>(type).All(); break;
            case KernelTier.Avx512: new ProductChecks<Avx512Kernels>(type).All(); break;
            default: throw new ArgumentOutOfRangeException(nameof(tier), tier, null);
        }
    }

    private sealed unsafe class ProductChecks<T>(ElementType type)
        where T : struct, IKernels
    {
        /// <summary>The unit of rounding: half a unit in the last place of 1.</summary>
        private const double U = 1.0 / (1 << 24);

        private readonly Random _random = new(54321);

        public void All()
        {
            using var team = new WorkerTeam(2);
            foreach (int tokens in new[] { 1, 3, 17, 65 })
            {
                // Stored rows and columns; then the slice. Fewer than a tile, more than an item, more than one block of depth, and slices off every block.
                foreach ((int rows, int columns, int first, int count) in new[]
                {
                    (1, 32, 0, 32), (5, 64, 0, 64), (33, 96, 0, 96), (7, 96, 24, 24), (40, 96, 31, 33), (67, 128, 1, 126), (3, 64, 63, 1),
                })
                    Check(team, tokens, rows, columns, first, count);
            }

            Check(team, 5, 1061, 64, 5, 40);
            Check(team, 5, 37, 1120, 9, 1097);
        }

        private void Check(WorkerTeam team, int tokens, int rows, int columns, int first, int count)
        {
            int rowBytes = (int)type.RowBytes(columns);
            byte[] data = GC.AllocateArray<byte>(rows * rowBytes + 1, pinned: true);
            double[,] wide = new double[rows, count];
            fixed (byte* aligned = data)
            {
                // Weights lie in a file as they may.
                byte* start = aligned + 1;
                float[] row = new float[columns];
                for (int r = 0; r < rows; r++)
                {
                    var stored = new Span<byte>(start + r * rowBytes, rowBytes);
                    BlockFormats.Encode(type, Numbers(columns), stored);
                    BlockFormats.Widen(type, stored, row);
                    for (int c = 0; c < count; c++)
                        wide[r, c] = row[first + c];
                }

                WeightMatrix w = new WeightMatrix((nint)start, type, rows, columns).SliceColumns(first, count);
                Check(team, w, tokens, depth: count, outputs: rows, transposed: false, (k, n) => wide[n, k]);
                Check(team, w, tokens, depth: rows, outputs: count, transposed: true, (k, n) => wide[k, n]);
            }
        }

        private void Check(WorkerTeam team, WeightMatrix w, int tokens, int depth, int outputs, bool transposed, Func<int, int, double> weight)
        {
            string what = $"{T.Tier} {type} {tokens} × {depth} × {outputs}, columns {w.FirstColumn}-{w.FirstColumn + w.Columns - 1}, {(transposed ? "x W" : "x Wᵀ")}";
            nint xStride = depth + 3, yStride = outputs + 2;
            // NaNs between the rows of x, so that one that is taken for a term shows; guards between those of y.
            Guarded x = new(tokens * (int)xStride), y = new(tokens * (int)yStride);
            for (int t = 0; t < tokens; t++)
                Numbers(depth).CopyTo(x.Values.Slice(t * (int)xStride, depth));
            long perWorker = Arena.Footprint(MatrixProduct<T>.ScratchLength(tokens));
            var arena = new Arena();
            float* packed = arena.Take(MatrixProduct<T>.PackedLength(tokens, depth)), scratch = arena.Take(perWorker * team.Size);
            Panels panels = MatrixProduct<T>.Pack(team, x, xStride, tokens, depth, packed);
            MatrixProduct<T>.Multiply(team, panels, [new Product(w, y, yStride, transposed)], new WorkerScratch(scratch, (nint)perWorker));
            GC.KeepAlive(arena);

            y.OnlyFirst((tokens - 1) * (int)yStride + outputs, what);
            for (int t = 0; t < tokens; t++)
            {
                for (int n = 0; n < outputs; n++)
                {
                    double sum = 0, magnitude = 0;
                    for (int k = 0; k < depth; k++)
                    {
                        double term = weight(k, n) * x.Pointer[t * xStride + k];
                        sum += term;
                        magnitude += Math.Abs(term);
                    }

                    // A sum of n products in any order: each is rounded at most n times (Higham, 3.1).
                    double actual = y.Pointer[t * yStride + n];
                    Assert.True(Math.Abs(actual - sum) <= depth * U * magnitude, $"{what}: [{t}, {n}] is {actual:R}, not {sum:R}");
                }

                for (int n = outputs; n < yStride && t < tokens - 1; n++)
                    Assert.True(y.IsUntouched(t * (int)yStride + n), $"{what}: written between rows {t} and {t + 1}");
            }
        }

        private float[] Numbers(int count)
        {
            var numbers = new float[count];
            for (int i = 0; i < count; i++)
                numbers[i] = _random.NextSingle() * 4 - 2;
            return numbers;
        }
    }
}
