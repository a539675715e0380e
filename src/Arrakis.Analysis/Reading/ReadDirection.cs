using System.Globalization;
using Arrakis.Native;
using Arrakis.Native.Kernels;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

/// <summary>
/// A direction of the residual stream that heads may read: a dimension, what a token's embedding or unembedding points to, any vector, or the write of a head below.
/// A vector's length does not matter; a head's write is a subspace rather than a line, weighted by how strongly the head writes each part of it.
/// </summary>
public sealed class ReadDirection
{
    private readonly string _name;
    private readonly float[]? _vector;
    private readonly int _index;
    private readonly Kind _kind;

    private ReadDirection(Kind kind, string name, int index, float[]? vector = null)
    {
        _kind = kind;
        _name = name;
        _index = index;
        _vector = vector;
    }

    private enum Kind
    {
        Dimension,
        Embedding,
        Unembedding,
        Vector,
        HeadWrite,
    }

    /// <summary>Whether this is another head's write, and which; null for a line.</summary>
    public (int Layer, int Head)? Writer { get; private init; }

    /// <summary>Dimension <paramref name="index"/> of the residual stream, from 0.</summary>
    public static ReadDirection Dimension(int index) => new(Kind.Dimension, Invariant($"dim:{index}"), index);

    /// <summary>A token's row of the embedding W_E.</summary>
    public static ReadDirection Embedding(int id) => new(Kind.Embedding, Invariant($"embedding:{id}"), id);

    /// <summary>A token's column of the unembedding W_U, as it lies in the file: without the last norm's weight.</summary>
    public static ReadDirection Unembedding(int id) => new(Kind.Unembedding, Invariant($"unembedding:{id}"), id);

    /// <summary>
    /// What a head of a layer below writes. Its read weight is ‖OV₁ Ŵ‖_F / ‖OV₁‖_F, which for a head that writes a single direction u is ‖(γ∘u) W‖; its read share is
    /// the part of q, k, v or z that comes from what the head wrote at that token.
    /// </summary>
    public static ReadDirection HeadWrite(int layer, int head) => new(Kind.HeadWrite, Invariant($"head:{layer}.{head}"), 0) { Writer = (layer, head) };

    /// <summary>Any vector.</summary>
    /// <param name="vector">[D], finite and not zero; copied.</param>
    /// <exception cref="ArrakisException">It has no length, or holds what is not a finite number.</exception>
    public static ReadDirection Vector(ReadOnlySpan<float> vector)
    {
        Unit(vector, "the direction");
        return new(Kind.Vector, "vector", 0, vector.ToArray());
    }

    /// <inheritdoc/>
    public override string ToString() => _name;

    /// <summary>The unit vector, [D].</summary>
    internal float[] Resolve(LlamaModel model)
    {
        LlamaConfig c = model.Config;
        switch (_kind)
        {
            case Kind.Dimension:
                if ((uint)_index >= (uint)c.HiddenSize)
                    throw new ArrakisException($"dimension {_index} is not in the residual stream: use 0 to {c.HiddenSize - 1}");
                float[] axis = new float[c.HiddenSize];
                axis[_index] = 1;
                return axis;
            case Kind.Embedding or Kind.Unembedding:
                Requirements.Token(c, _index);
                return Unit(Row(_kind == Kind.Embedding ? model.Weights.Embedding : model.Weights.Unembedding, _index), _name);
            case Kind.Vector:
                if (_vector!.Length != c.HiddenSize)
                    throw new ArrakisException($"the direction has {_vector.Length} numbers: this model's residual stream has {c.HiddenSize}");
                return Unit(_vector, _name);
            default:
                throw new InvalidOperationException("a head's write is no single vector");
        }
    }

    private static float[] Unit(ReadOnlySpan<float> vector, string name)
    {
        double sum = 0;
        foreach (float x in vector)
        {
            if (!float.IsFinite(x))
                throw new ArrakisException(Invariant($"{name} holds {x}: a direction needs finite numbers"));
            sum += (double)x * x;
        }

        if (sum == 0)
            throw new ArrakisException($"{name} is zero: a direction needs a length");
        double length = Math.Sqrt(sum);
        float[] unit = new float[vector.Length];
        for (int i = 0; i < unit.Length; i++)
            unit[i] = (float)(vector[i] / length);
        return unit;
    }

    private static unsafe float[] Row(WeightMatrix matrix, int row)
    {
        float[] values = new float[matrix.Columns];
        fixed (float* to = values)
            ScalarKernels.Widen(matrix.Type, matrix.Row(row), matrix.Columns, to);
        return values;
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
