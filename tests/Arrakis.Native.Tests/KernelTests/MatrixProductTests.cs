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
            using var team = new WorkerTeam(4, leastShared: 0);
            foreach (int tokens in new[] { 1, 3, 17, 50, 65 })
            {
                // Stored rows and columns; then the slice. Fewer than a tile, more than an item, more than one block of depth, and slices off every block.
                foreach ((int rows, int columns, int first, int count) in new[]
                {
                    (1, 32, 0, 32), (5, 64, 0, 64), (33, 96, 0, 96), (7, 96, 24, 24), (40, 96, 31, 33), (67, 128, 1, 126), (3, 64, 63, 1),
                })
                    Check(team, tokens, rows, columns, first, count);
            }

            // The last are so many that they are two parts.
            foreach (int tokens in new[] { 2, 50, 65, 145 })
            {
                CheckParts(team, tokens, outputs: 70, part: 32, parts: 3);
                CheckGated(team, tokens, outputs: 70, depth: 64);
            }

            CheckFew(team, outputs: 70, depth: 32);
            CheckFew(team, outputs: 33, depth: 1056);
            CheckTeams(tokens: 200, outputs: 70, depth: 64);
            CheckTall(outputs: 160, depth: 2048);
            Check(team, 145, 33, 96, 31, 33);
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

        private WeightMatrix Matrix(Arena arena, int rows, int columns)
        {
            nint bytes = (nint)type.RowBytes(columns) * rows;
            byte* start = (byte*)arena.Take((long)bytes / sizeof(float) + 1);
            for (int r = 0; r < rows; r++)
                BlockFormats.Encode(type, Numbers(columns), new Span<byte>(start + r * (nint)type.RowBytes(columns), (int)type.RowBytes(columns)));
            return new WeightMatrix((nint)start, type, rows, columns);
        }

        private Panels Random(Arena arena, WorkerTeam team, int tokens, int depth)
        {
            float* x = arena.Take((long)tokens * depth);
            Numbers(tokens * depth).CopyTo(new Span<float>(x, tokens * depth));
            return MatrixProduct<T>.Pack(team, x, depth, tokens, depth, arena.Take(MatrixProduct<T>.PackedLength(tokens, depth)));
        }

        private static WorkerScratch Scratch(Arena arena, WorkerTeam team, int tokens)
        {
            long perWorker = Arena.Footprint(MatrixProduct<T>.ScratchLength(tokens));
            return new WorkerScratch(arena.Take(perWorker * team.Size), (nint)perWorker);
        }

        /// <summary>Parts are the products of slices, bit for bit; their sum in order is the product, bit for bit, whether they are kept or not.</summary>
        private void CheckParts(WorkerTeam team, int tokens, int outputs, int part, int parts)
        {
            var arena = new Arena();
            WeightMatrix w = Matrix(arena, outputs, part * parts);
            int depth = part * parts, size = tokens * outputs;
            float* x = arena.Take((long)tokens * depth), kept = arena.Take((long)size * parts), y = arena.Take(size), bare = arena.Take(size), one = arena.Take(size);
            Numbers(tokens * depth).CopyTo(new Span<float>(x, tokens * depth));
            WorkerScratch scratch = Scratch(arena, team, tokens);
            float* packed = arena.Take(MatrixProduct<T>.PackedLength(tokens, depth));
            Panels panels = MatrixProduct<T>.Pack(team, x, depth, tokens, depth, packed);
            MatrixProduct<T>.Multiply(team, panels, [new Product(w, y, outputs) { PartDepth = part, Parts = kept }], scratch);
            MatrixProduct<T>.Multiply(team, panels, [new Product(w, bare, outputs) { PartDepth = part }], scratch);
            var sum = new float[size];
            for (int h = 0; h < parts; h++)
            {
                Panels slice = MatrixProduct<T>.Pack(team, x + h * part, depth, tokens, part, packed);
                MatrixProduct<T>.Multiply(team, slice, [new Product(w.SliceColumns(h * part, part), one, outputs)], scratch);
                for (int at = 0; at < size; at++)
                {
                    float piece = kept[(at / outputs * parts + h) * outputs + at % outputs];
                    Assert.Equal(BitConverter.SingleToUInt32Bits(one[at]), BitConverter.SingleToUInt32Bits(piece));
                    sum[at] = h == 0 ? piece : sum[at] + piece;
                }
            }

            Assert.Equal(sum, new Span<float>(y, size).ToArray());
            Assert.Equal(sum, new Span<float>(bare, size).ToArray());
            GC.KeepAlive(arena);
        }

        /// <summary>What a token becomes has the same bits, however few others are with it.</summary>
        private void CheckFew(WorkerTeam team, int outputs, int depth)
        {
            const int Many = 20;
            var arena = new Arena();
            WeightMatrix w = Matrix(arena, outputs, depth);
            float* x = arena.Take(Many * depth), all = arena.Take(Many * outputs), few = arena.Take(Many * outputs);
            Numbers(Many * depth).CopyTo(new Span<float>(x, Many * depth));
            float* packed = arena.Take(MatrixProduct<T>.PackedLength(Many, depth));
            WorkerScratch scratch = Scratch(arena, team, Many);
            MatrixProduct<T>.Multiply(team, MatrixProduct<T>.Pack(team, x, depth, Many, depth, packed), [new Product(w, all, outputs)], scratch);
            foreach (int tokens in new[] { 1, 2, 7, 8, 9 })
            {
                MatrixProduct<T>.Multiply(team, MatrixProduct<T>.Pack(team, x, depth, tokens, depth, packed), [new Product(w, few, outputs)], scratch);
                Assert.Equal(new Span<float>(all, tokens * outputs).ToArray(), new Span<float>(few, tokens * outputs).ToArray());
            }

            GC.KeepAlive(arena);
        }

        /// <summary>Of more activations than L2 keeps, items have more outputs; what a token becomes has the same bits as among a few.</summary>
        private void CheckTall(int outputs, int depth)
        {
            // More than half of L2 by 17 tokens, whatever its size.
            const int Few = 16, Part = 256, Lead = 31;
            int many = (Caches.Level2 / 2 / (depth * sizeof(float))) + 17;
            using var alone = new WorkerTeam(1);
            var arena = new Arena();
            WeightMatrix w = Matrix(arena, outputs, depth), up = Matrix(arena, outputs, depth), back = Matrix(arena, depth, outputs + 32).SliceColumns(Lead, outputs);
            float* x = arena.Take(many * depth), packed = arena.Take(MatrixProduct<T>.PackedLength(many, depth)), hidden = arena.Take(MatrixProduct<T>.PackedLength(many, outputs));
            Numbers(many * depth).CopyTo(new Span<float>(x, many * depth));
            float[][] all = Products(x, many);
            foreach (int first in new[] { 0, many - Few })
            {
                float[][] few = Products(x + first * depth, Few);
                for (int i = 0; i < all.Length; i++)
                {
                    int row = all[i].Length / many;
                    Assert.Equal(few[i], all[i].AsSpan(first * row, Few * row).ToArray());
                }
            }

            GC.KeepAlive(arena);

            float[][] Products(float* from, int tokens)
            {
                int size = tokens * outputs;
                float[][] results = [new float[size], new float[size], new float[size], new float[size], new float[size * (depth / Part)]];
                WorkerScratch scratch = Scratch(arena, alone, tokens);
                fixed (float* plain = results[0], backward = results[1], gated = results[2], sum = results[3], parts = results[4])
                {
                    Panels panels = MatrixProduct<T>.Pack(alone, from, depth, tokens, depth, packed);
                    MatrixProduct<T>.Multiply(alone, panels, [new Product(w, plain, outputs)], scratch);
                    MatrixProduct<T>.Multiply(alone, panels, [new Product(back, backward, outputs, transposed: true)], scratch);
                    MatrixProduct<T>.Multiply(alone, panels, [new Product(w, sum, outputs) { PartDepth = Part, Parts = parts }], scratch);
                    MatrixProduct<T>.MultiplyGated(alone, panels, new Product(w, null, outputs), new Product(up, null, outputs), gated, hidden, scratch);
                }

                return results;
            }
        }

        /// <summary>A product has the same bits, however many workers share it and its tokens.</summary>
        private void CheckTeams(int tokens, int outputs, int depth)
        {
            var arena = new Arena();
            WeightMatrix w = Matrix(arena, outputs, depth);
            int size = tokens * outputs;
            float* x = arena.Take(tokens * depth), y = arena.Take(size), packed = arena.Take(MatrixProduct<T>.PackedLength(tokens, depth));
            Numbers(tokens * depth).CopyTo(new Span<float>(x, tokens * depth));
            float[] alone = Shared(1);
            foreach (int workers in new[] { 2, 3, 5 })
                Assert.Equal(alone, Shared(workers));
            Assert.DoesNotContain(alone, float.IsNaN);
            GC.KeepAlive(arena);

            float[] Shared(int workers)
            {
                using var team = new WorkerTeam(workers, leastShared: 0);
                new Span<float>(y, size).Fill(float.NaN);
                MatrixProduct<T>.Multiply(team, MatrixProduct<T>.Pack(team, x, depth, tokens, depth, packed), [new Product(w, y, outputs)], Scratch(arena, team, tokens));
                return new Span<float>(y, size).ToArray();
            }
        }

        /// <summary>Gate and up in one go are what they are one by one, and what the next product reads is their SiLU product, bit for bit, kept as rows or not.</summary>
        private void CheckGated(WorkerTeam team, int tokens, int outputs, int depth)
        {
            var arena = new Arena();
            WeightMatrix gate = Matrix(arena, outputs, depth), up = Matrix(arena, outputs, depth), down = Matrix(arena, depth, 96);
            WeightMatrix narrowed = down.SliceColumns(0, outputs);
            int size = tokens * outputs;
            Panels x = Random(arena, team, tokens, depth);
            WorkerScratch scratch = Scratch(arena, team, tokens);
            float* gates = arena.Take(size), ups = arena.Take(size), hidden = arena.Take(size), plainGates = arena.Take(size), plainUps = arena.Take(size);
            float* packed = arena.Take(MatrixProduct<T>.PackedLength(tokens, outputs)), y = arena.Take(tokens * depth), again = arena.Take(tokens * depth);
            Panels all = MatrixProduct<T>.MultiplyGated(team, x, new Product(gate, gates, outputs), new Product(up, ups, outputs), hidden, packed, scratch);
            MatrixProduct<T>.Multiply(team, all, [new Product(narrowed, y, depth)], scratch);
            Panels bare = MatrixProduct<T>.MultiplyGated(team, x, new Product(gate, null, outputs), new Product(up, null, outputs), null, packed, scratch);
            MatrixProduct<T>.Multiply(team, bare, [new Product(narrowed, again, depth)], scratch);
            MatrixProduct<T>.Multiply(team, x, [new Product(gate, plainGates, outputs), new Product(up, plainUps, outputs)], scratch);
            Assert.Equal(new Span<float>(plainGates, size).ToArray(), new Span<float>(gates, size).ToArray());
            Assert.Equal(new Span<float>(plainUps, size).ToArray(), new Span<float>(ups, size).ToArray());
            for (int t = 0; t < tokens; t++)
                T.SiluMultiply(plainGates + t * outputs, plainUps + t * outputs, plainGates + t * outputs, outputs);
            Assert.Equal(new Span<float>(plainGates, size).ToArray(), new Span<float>(hidden, size).ToArray());
            Assert.Equal(new Span<float>(y, tokens * depth).ToArray(), new Span<float>(again, tokens * depth).ToArray());
            Panels rows = MatrixProduct<T>.Pack(team, hidden, outputs, tokens, outputs, packed);
            MatrixProduct<T>.Multiply(team, rows, [new Product(narrowed, again, depth)], scratch);
            Assert.Equal(new Span<float>(y, tokens * depth).ToArray(), new Span<float>(again, tokens * depth).ToArray());
            GC.KeepAlive(arena);
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
