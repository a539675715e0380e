using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The bridge from the engine's weights to the reference: the numbers only, widened by code of the tests' own.</summary>
public sealed partial class ReferenceWeights
{
    /// <summary>The weights of a loaded or random model, exactly as the engine holds them.</summary>
    public static ReferenceWeights From(LlamaModel model) => new(model.Config, name => Widen(Find(model, name)));

    // A norm's weight is a matrix of one row; the model keeps the memory.
    private static unsafe WeightMatrix Find(LlamaModel model, string name)
    {
        string[] parts = name.Split('.');
        LlamaLayer? layer = parts[1] == "layers" ? model.Weights.Layers[int.Parse(parts[2], System.Globalization.CultureInfo.InvariantCulture)] : null;
        return parts[^2] switch
        {
            "embed_tokens" => model.Weights.Embedding,
            "lm_head" => model.Weights.Unembedding,
            "norm" => Row(model.Weights.FinalNorm),
            "input_layernorm" => Row(layer!.AttentionNorm),
            "post_attention_layernorm" => Row(layer!.MlpNorm),
            "q_proj" => layer!.Query,
            "k_proj" => layer!.Key,
            "v_proj" => layer!.Value,
            "o_proj" => layer!.Output,
            "gate_proj" => layer!.Gate,
            "up_proj" => layer!.Up,
            "down_proj" => layer!.Down,
            _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
        };

        static WeightMatrix Row(float[] pinned) => new(System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0), ElementType.F32, 1, pinned.Length);
    }

    /// <summary>Every stored type to double; blocks of Q8_0 and Q4_0 as ElementType describes them.</summary>
    internal static unsafe double[] Widen(WeightMatrix m)
    {
        double[] values = new double[m.Rows * m.Columns];
        for (int r = 0; r < m.Rows; r++)
        {
            byte* row = m.Row(r);
            for (int c = 0; c < m.Columns; c++)
                values[r * m.Columns + c] = Element(m.Type, row, c);
        }

        return values;
    }

    private static unsafe double Element(ElementType type, byte* row, int column)
    {
        (int block, int i) = (column / 32, column % 32);
        switch (type)
        {
            case ElementType.F32:
                return BitConverter.ToSingle(new ReadOnlySpan<byte>(row + 4 * column, 4));
            case ElementType.F16:
                return (double)BitConverter.ToHalf(new ReadOnlySpan<byte>(row + 2 * column, 2));
            case ElementType.BF16:
                return BitConverter.Int32BitsToSingle(BitConverter.ToUInt16(new ReadOnlySpan<byte>(row + 2 * column, 2)) << 16);
            case ElementType.Q8_0:
                byte* q8 = row + 34 * block;
                return (double)BitConverter.ToHalf(new ReadOnlySpan<byte>(q8, 2)) * (sbyte)q8[2 + i];
            case ElementType.Q4_0:
                byte* q4 = row + 18 * block;
                int nibble = i < 16 ? q4[2 + i] & 15 : q4[2 + i - 16] >> 4;
                return (double)BitConverter.ToHalf(new ReadOnlySpan<byte>(q4, 2)) * (nibble - 8);
            default:
                throw new NotSupportedException($"{type}");
        }
    }
}
