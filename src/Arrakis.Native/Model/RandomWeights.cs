using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

/// <summary>
/// Weights drawn from a seed, the same bits on every machine: an integer hash of (seed, tensor, index) and one rounding. Matrices are roughly normal with
/// variance 1 / inputs, so that activations keep their size through the layers; norm weights lie around 1.
/// </summary>
internal static unsafe class RandomWeights
{
    private const ulong Golden = 0x9E3779B97F4A7C15;

    public static LlamaWeights Create(LlamaConfig config, ulong seed, ElementType type, CancellationToken cancellation)
    {
        if (type.BlockLength() > 1)
        {
            foreach ((string name, int columns) in new[]
            {
                ("hidden_size", config.HiddenSize), ("intermediate_size", config.IntermediateSize),
                ("num_attention_heads × head_dim", config.NumAttentionHeads * config.HeadDim),
            })
            {
                if (columns % type.BlockLength() != 0)
                    throw new ArrakisException($"{type} stores blocks of {type.BlockLength()}, and {name} {columns} is not a multiple of it: use F32, BF16 or F16");
            }
        }

        ulong tensor = 0;
        var owners = new List<long[]>();
        return LlamaWeights.Bind(
            config,
            (_, rows, columns) => Matrix(Mix(seed + Golden * ++tensor), type, rows, columns, owners, cancellation),
            (_, length) => Norm(Mix(seed + Golden * ++tensor), length),
            owners);
    }

    // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>The sum of four 16-bit uniforms about its mean: an integer with variance 4·(2^32 − 1)/12, nearly normal.</summary>
    private static int NearlyNormal(ulong stream, ulong index)
    {
        ulong bits = Mix(stream + Golden * index);
        return (int)(ushort)bits + (ushort)(bits >> 16) + (ushort)(bits >> 32) + (ushort)(bits >> 48) - 2 * ushort.MaxValue;
    }

    private static WeightMatrix Matrix(ulong stream, ElementType type, int rows, int columns, List<long[]> owners, CancellationToken cancellation)
    {
        long rowBytes = type.RowBytes(columns);
        long[] memory = Allocate((rows * rowBytes + sizeof(long) - 1) / sizeof(long));
        owners.Add(memory);
        nint data = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(memory));
        float scale = (float)Math.Sqrt(12.0 / (4.0 * uint.MaxValue) / columns);
        Parallel.For(0, rows, new ParallelOptions { CancellationToken = cancellation }, () => new float[columns], (row, _, values) =>
        {
            for (int i = 0; i < columns; i++)
                values[i] = NearlyNormal(stream, (ulong)row * (ulong)columns + (ulong)i) * scale;
            BlockFormats.Encode(type, values, new Span<byte>((byte*)data + row * rowBytes, checked((int)rowBytes)));
            return values;
        }, _ => { });
        return new WeightMatrix(data, type, rows, columns);
    }

    private static float[] Norm(ulong stream, int length)
    {
        var weights = new float[length];
        for (int i = 0; i < length; i++)
            weights[i] = 1 + NearlyNormal(stream, (ulong)i) * (1f / (1 << 20));
        return weights;
    }

    private static long[] Allocate(long longs)
    {
        try
        {
            return GC.AllocateUninitializedArray<long>(checked((int)longs), pinned: true);
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            throw new ArrakisException($"the machine has no {longs * sizeof(long)} bytes left for a random weight", e);
        }
    }
}
