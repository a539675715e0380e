using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Kernels;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>What every operation of a tier must do.</summary>
internal abstract class KernelChecks
{
    public static KernelChecks Of(KernelTier tier) => tier switch
    {
        KernelTier.Scalar => new KernelChecks<ScalarKernels>(),
        KernelTier.Vector => new KernelChecks<VectorKernels>(),
        KernelTier.Avx2 => new KernelChecks<Avx2Kernels>(),
        KernelTier.Avx512 => new KernelChecks<Avx512Kernels>(),
        _ => throw new ArgumentOutOfRangeException(nameof(tier), tier, null),
    };

    public abstract void Dots(ElementType type);

    public abstract void Widen(ElementType type);

    public abstract void WidenAll(ElementType type);

    public abstract void WeightedSum();

    public abstract void Rotate(RotaryLayout layout);

    public abstract void Normalize();

    public abstract void Elementwise();

    public abstract void SiluMultiply();

    public abstract void Softmax();

    public abstract void Transpose();

    public abstract void Tile();

    public abstract void Columns();
}

/// <summary>
/// Against a double-precision loop where results are rounded, against <see cref="ScalarKernels"/> bit by bit where they are not. Every input is followed
/// by NaNs, every output by a guard.
/// </summary>
internal sealed unsafe partial class KernelChecks<T> : KernelChecks
    where T : struct, IKernels
{
    private const int Longest = 257;

    /// <summary>The unit of rounding: half a unit in the last place of 1.</summary>
    private const double U = 1.0 / (1 << 24);

    /// <summary>Results below the normal numbers may be flushed or rounded coarsely.</summary>
    private const double Tiny = 1.2e-38;

    private readonly Random _random = new(12345);

    public override void Dots(ElementType type)
    {
        const int First = 1, Most = 9;
        var x = new Guarded(Longest);
        var y = new Guarded(Most);
        for (int columns = 0; columns <= Longest; columns += type.BlockLength())
        {
            x.Set(Numbers(columns));
            int rowBytes = (int)type.RowBytes(columns);
            byte* data = Unaligned((First + Most) * rowBytes);
            double[] expected = new double[Most], magnitude = new double[Most];
            float[] wide = new float[columns];
            for (int r = 0; r < First + Most; r++)
            {
                var row = new Span<byte>(data + r * rowBytes, rowBytes);
                BlockFormats.Encode(type, Numbers(columns), row);
                BlockFormats.Widen(type, row, wide);
                for (int k = 0; k < columns && r >= First; k++)
                {
                    expected[r - First] += (double)wide[k] * x.Pointer[k];
                    magnitude[r - First] += Math.Abs((double)wide[k] * x.Pointer[k]);
                }
            }

            var matrix = new WeightMatrix((nint)data, type, First + Most, columns);
            for (int rows = 0; rows <= Most; rows++)
            {
                string what = $"{T.Tier} Dots {type}, {rows} rows of {columns}";
                y.Clear();
                T.Dots(matrix, First, rows, x, y);
                y.OnlyFirst(rows, what);
                // A sum of n products in any order: each is rounded at most n times (Higham, 3.1); two more where a block's scale comes last.
                for (int r = 0; r < rows; r++)
                    Close(expected[r], y.Pointer[r], (columns + 2) * U * magnitude[r], what, r);
            }
        }
    }

    public override void Widen(ElementType type)
    {
        for (int count = 0; count <= Longest; count += type.BlockLength())
        {
            byte* data = Unaligned((int)type.RowBytes(count));
            BlockFormats.Encode(type, Numbers(count), new Span<byte>(data, (int)type.RowBytes(count)));
            SameWidened(type, data, count);
        }
    }

    public override void WidenAll(ElementType type)
    {
        const int Count = 1 << 16;
        byte* data = Unaligned(Count * sizeof(ushort));
        for (int i = 0; i < Count; i++)
            Unsafe.WriteUnaligned(data + i * sizeof(ushort), (ushort)i);
        SameWidened(type, data, Count);
    }

    public override void WeightedSum()
    {
        for (int n = 0; n <= Longest; n++)
        {
            foreach (int other in new[] { 0, 1, 2, 5, 16, 67 })
            {
                WeightedSum(other, n);
                WeightedSum(n, other);
            }
        }
    }

    public override void Rotate(RotaryLayout layout)
    {
        for (int headDim = 0; headDim <= Longest; headDim += 2)
        {
            int half = headDim / 2;
            float[] numbers = Numbers(headDim), angles = Numbers(half);
            Guarded x = new Guarded(headDim).Set(numbers), y = new(headDim);
            Guarded cos = new Guarded(half).Set([.. angles.Select(MathF.Cos)]), sin = new Guarded(half).Set([.. angles.Select(MathF.Sin)]);
            string what = $"{T.Tier} Rotate {layout} {headDim}";
            T.Rotate(x, y, headDim, cos, sin, layout);
            y.OnlyFirst(headDim, what);
            T.Rotate(x, x, headDim, cos, sin, layout);
            x.OnlyFirst(headDim, what);
            SameBits(y.Values, x.Values, what + " in place");
            for (int i = 0; i < half; i++)
            {
                int first = layout == RotaryLayout.Halves ? i : 2 * i, second = layout == RotaryLayout.Halves ? half + i : 2 * i + 1;
                double a = numbers[first], b = numbers[second], c = cos.Pointer[i], s = sin.Pointer[i];
                // Each product is rounded, and their sum.
                Close(a * c - b * s, y.Pointer[first], 2 * U * (Math.Abs(a * c) + Math.Abs(b * s)), what, first);
                Close(b * c + a * s, y.Pointer[second], 2 * U * (Math.Abs(b * c) + Math.Abs(a * s)), what, second);
            }
        }
    }

    public override void Normalize()
    {
        const float Epsilon = 1e-5f;
        for (int n = 1; n <= Longest; n++)
        {
            float[] numbers = Numbers(n);
            Guarded x = new Guarded(n).Set(numbers), y = new(n);
            string what = $"{T.Tier} Normalize {n}";
            float r = T.Normalize(x, y, n, Epsilon);
            y.OnlyFirst(n, what);
            double expected = Math.Sqrt(numbers.Sum(v => (double)v * v) / n + Epsilon);
            // A sum of n squares, none of which cancel: n roundings, halved by the root; then a division, an addition and the root.
            Close(expected, r, (n / 2.0 + 3) * U * expected, what, -1);
            float[] divided = [.. numbers.Select(v => v / r)];
            SameBits(divided, y.Values, what);
            Assert.Equal(r, T.Normalize(x, x, n, Epsilon));
            x.OnlyFirst(n, what);
            SameBits(divided, x.Values, what + " in place");
        }
    }

    public override void Elementwise()
    {
        const float Factor = -0.7f;
        for (int n = 0; n <= Longest; n++)
        {
            float[] a = Numbers(n), b = Numbers(n);
            float[] products = [.. a.Zip(b, (p, q) => p * q)], sums = [.. a.Zip(b, (p, q) => p + q)], scaled = [.. a.Select(p => p * Factor)];
            Guarded x = new(n), w = new(n), y = new(n);
            for (int target = 0; target < 3; target++)
            {
                // 0: elsewhere, 1: in place of the first, 2: of the second.
                Guarded to = target == 0 ? y : target == 1 ? x : w;
                string what = $"{n} elements, target {target}";
                Prepare();
                T.Add(x, w, to, n);
                Check(sums, $"{T.Tier} Add {what}");
                if (target == 2)
                    continue;
                Prepare();
                T.Multiply(x, w, to, n);
                Check(products, $"{T.Tier} Multiply {what}");
                Prepare();
                T.Scale(x, Factor, to, n);
                Check(scaled, $"{T.Tier} Scale {what}");

                void Prepare()
                {
                    x.Set(a);
                    w.Set(b);
                    y.Clear();
                }

                void Check(float[] expected, string name)
                {
                    SameBits(expected, to.Values, name);
                    to.OnlyFirst(n, name);
                }
            }

            // From wherever in a cache line.
            for (int start = 0; start < Math.Min(n, 17); start++)
            {
                y.Set(a);
                T.FillAway(y.Pointer + start, Factor, n - start);
                SameBits([.. a.Take(start), .. Enumerable.Repeat(Factor, n - start)], y.Values, $"{T.Tier} FillAway {n - start} from {start}");
                y.OnlyFirst(n, $"{T.Tier} FillAway {n - start} from {start}");
            }
        }
    }

    public override void SiluMultiply()
    {
        // Past one piece of the shared kernel, too.
        foreach (int n in Enumerable.Range(0, Longest + 1).Concat([1023, 1024, 1025, 2048, 2049]))
        {
            float[] gates = [.. Numbers(n).Select(v => v * 30)], ups = Numbers(n);
            Guarded gate = new Guarded(n).Set(gates), up = new Guarded(n).Set(ups), y = new(n);
            string what = $"{T.Tier} SiluMultiply {n}";
            T.SiluMultiply(gate, up, y, n);
            y.OnlyFirst(n, what);
            for (int i = 0; i < n; i++)
            {
                double expected = gates[i] / (1 + Math.Exp(-gates[i])) * ups[i];
                // Four operations, and an exponential within four units in the last place.
                Close(expected, y.Pointer[i], 12 * U * Math.Abs(expected) + Tiny, what, i);
            }

            T.SiluMultiply(gate, up, up, n);
            up.OnlyFirst(n, what);
            SameBits(y.Values, up.Values, what + " in place of up");
            up.Set(ups);
            T.SiluMultiply(gate, up, gate, n);
            gate.OnlyFirst(n, what);
            SameBits(y.Values, gate.Values, what + " in place of gate");
        }
    }

    public override void Softmax()
    {
        for (int n = 1; n <= Longest; n++)
        {
            // In every eighth row differences are beyond what an exponential can be of.
            float[] scores = [.. Numbers(n).Select(v => v * (n % 8 == 0 ? 100 : 20))];
            Guarded x = new Guarded(n).Set(scores), y = new(n);
            string what = $"{T.Tier} Softmax {n}";
            T.Softmax(x, y, n);
            y.OnlyFirst(n, what);
            double max = scores.Max();
            double sum = scores.Sum(s => Math.Exp(s - max));
            // A rounding of the difference to the largest moves its exponential by as much, relative to it; in the sum such moves count by their share.
            double shared = scores.Sum(s => Math.Exp(s - max) / sum * (max - s));
            for (int i = 0; i < n; i++)
            {
                double expected = Math.Exp(scores[i] - max) / sum;
                // Beyond that: a sum of n, a division, and two exponentials (the sum's and this one's) within four units in the last place.
                Close(expected, y.Pointer[i], (max - scores[i] + shared + n + 17) * U * expected + Tiny, what, i);
            }

            T.Softmax(x, x, n);
            x.OnlyFirst(n, what);
            SameBits(y.Values, x.Values, what + " in place");
        }
    }

    public override void Transpose()
    {
        const int Most = 40;
        var source = new Guarded(Most * (Most + 3));
        var destination = new Guarded(Most * (Most + 5));
        for (int rows = 0; rows <= Most; rows++)
        {
            for (int columns = 0; columns <= Most; columns++)
            {
                int from = columns + 3, to = rows + 5;
                for (int i = 0; i < source.Length; i++)
                    source.Pointer[i] = i;
                destination.Clear();
                T.Transpose(source, from, destination, to, rows, columns);
                string what = $"{T.Tier} Transpose {rows} × {columns}";
                TransposeAway(source, from, rows, columns);
                destination.OnlyFirst(columns * to, what);
                for (int at = 0; at < columns * to; at++)
                {
                    int i = at % to, j = at / to;
                    if (i < rows ? destination.Pointer[at] != i * from + j : !destination.IsUntouched(at))
                        Assert.Fail($"{what}: {destination.Pointer[at]} at row {j}, column {i} of the destination");
                }
            }
        }
    }

    // Rows of whole cache lines, where stores may pass by the caches, and rows of any length.
    private static void TransposeAway(Guarded source, int from, int rows, int columns)
    {
        foreach (int to in new[] { rows + 5, (rows + 31) / 16 * 16 })
        {
            float[] memory = GC.AllocateArray<float>(columns * to + 32, pinned: true);
            float* destination = (float*)(((nint)Unsafe.AsPointer(ref memory[0]) + 63) & ~63);
            new Span<float>(destination, columns * to).Fill(float.NaN);
            T.TransposeAway(source, from, destination, to, rows, columns);
            for (int at = 0; at < columns * to; at++)
            {
                int i = at % to, j = at / to;
                if (i < rows ? destination[at] != i * from + j : !float.IsNaN(destination[at]))
                    Assert.Fail($"{T.Tier} TransposeAway {rows} × {columns}: {destination[at]} at row {j}, column {i} of the destination");
            }

            GC.KeepAlive(memory);
        }
    }

    private void WeightedSum(int count, int columns)
    {
        int stride = columns + 3;
        Guarded weights = new Guarded(count).Set(Numbers(count)), rows = new Guarded(count * stride).Set(Numbers(count * stride)), y = new(columns);
        string what = $"{T.Tier} WeightedSum of {count} rows of {columns}";
        T.WeightedSum(weights, count, rows, stride, columns, y, accumulate: false);
        y.OnlyFirst(columns, what);
        Guarded added = new Guarded(columns).Set(Numbers(columns));
        float[] before = added.Values.ToArray();
        T.WeightedSum(weights, count, rows, stride, columns, added, accumulate: true);
        added.OnlyFirst(columns, what);
        for (int j = 0; j < columns; j++)
        {
            double sum = 0, magnitude = 0;
            for (int i = 0; i < count; i++)
            {
                double term = (double)weights.Pointer[i] * rows.Pointer[i * stride + j];
                sum += term;
                magnitude += Math.Abs(term);
            }

            Close(sum, y.Pointer[j], count * U * magnitude, what, j);
            // What is added is the same sum, bit for bit.
            Assert.Equal(before[j] + y.Pointer[j], added.Pointer[j]);
        }
    }

    private static void SameWidened(ElementType type, byte* data, int count)
    {
        string what = $"{T.Tier} Widen {type} {count}";
        Guarded expected = new(count), actual = new(count);
        ScalarKernels.Widen(type, data, count, expected);
        T.Widen(type, data, count, actual);
        actual.OnlyFirst(count, what);
        SameBits(expected.Values, actual.Values, what);
    }

    private static void SameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        ReadOnlySpan<uint> e = MemoryMarshal.Cast<float, uint>(expected), a = MemoryMarshal.Cast<float, uint>(actual);
        Assert.Equal(e.Length, a.Length);
        int at = e.CommonPrefixLength(a);
        if (at < e.Length)
            Assert.Fail($"{what}: element {at} is {a[at]:X8}, not {e[at]:X8}");
    }

    private static void Close(double expected, float actual, double allowed, string what, int at)
    {
        if (!(Math.Abs(actual - expected) <= allowed))
            Assert.Fail($"{what}: element {at} is {actual:R}, not {expected:R}; off by {Math.Abs(actual - expected):E2}, allowed {allowed:E2}");
    }

    /// <summary>Bytes that begin at an odd address.</summary>
    private static byte* Unaligned(int length)
    {
        byte[] memory = Guarded.Keep(GC.AllocateArray<byte>(length + 17, pinned: true));
        nint first = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(memory));
        return (byte*)(((first + 15) & ~15) + 1);
    }

    private float[] Numbers(int count)
    {
        var numbers = new float[count];
        for (int i = 0; i < count; i++)
            numbers[i] = _random.NextSingle() * 4 - 2;
        return numbers;
    }
}
