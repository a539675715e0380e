using System.Buffers.Binary;

namespace Arrakis.Native.Weights;

/// <summary>
/// What stored elements mean, one number at a time: the specification that kernels are tested against.
/// A row is a run of whole blocks; plain types have blocks of one.
/// </summary>
internal static class BlockFormats
{
    /// <summary>Elements of a quantised block.</summary>
    private const int Block = 32;

    /// <summary>Writes the numbers of one row as F32.</summary>
    public static void Widen(ElementType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        CheckLengths(type, source.Length, destination.Length);
        int step = type.BlockBytes();
        for (int i = 0, at = 0; i < destination.Length; i += type.BlockLength(), at += step)
        {
            ReadOnlySpan<byte> block = source.Slice(at, step);
            switch (type)
            {
                case ElementType.F32: destination[i] = BinaryPrimitives.ReadSingleLittleEndian(block); break;
                case ElementType.F16: destination[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(block); break;
                case ElementType.BF16: destination[i] = BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(block) << 16); break;
                case ElementType.Q8_0: WidenQ8(block, destination.Slice(i, Block)); break;
                default: WidenQ4(block, destination.Slice(i, Block)); break;
            }
        }
    }

    /// <summary>
    /// Stores one row. F16 and BF16 round to the nearest, ties to even. Quantised blocks are ggml's reference; one that holds a number that is not
    /// finite becomes NaN as a whole, so that it shows rather than vanishes.
    /// </summary>
    public static void Encode(ElementType type, ReadOnlySpan<float> source, Span<byte> destination)
    {
        CheckLengths(type, destination.Length, source.Length);
        int step = type.BlockBytes();
        for (int i = 0, at = 0; i < source.Length; i += type.BlockLength(), at += step)
        {
            Span<byte> block = destination.Slice(at, step);
            switch (type)
            {
                case ElementType.F32: BinaryPrimitives.WriteSingleLittleEndian(block, source[i]); break;
                case ElementType.F16: BinaryPrimitives.WriteHalfLittleEndian(block, (Half)source[i]); break;
                case ElementType.BF16: BinaryPrimitives.WriteUInt16LittleEndian(block, ToBFloat16(source[i])); break;
                case ElementType.Q8_0: EncodeQ8(source.Slice(i, Block), block); break;
                default: EncodeQ4(source.Slice(i, Block), block); break;
            }
        }
    }

    /// <summary>x = d·q, q a signed byte.</summary>
    private static void WidenQ8(ReadOnlySpan<byte> block, Span<float> x)
    {
        float d = (float)BinaryPrimitives.ReadHalfLittleEndian(block);
        for (int i = 0; i < Block; i++)
            x[i] = d * (sbyte)block[2 + i];
    }

    /// <summary>x = d·(q − 8): byte i holds element i in its low nibble and element i + 16 in its high one.</summary>
    private static void WidenQ4(ReadOnlySpan<byte> block, Span<float> x)
    {
        float d = (float)BinaryPrimitives.ReadHalfLittleEndian(block);
        for (int i = 0; i < Block / 2; i++)
        {
            x[i] = d * ((block[2 + i] & 15) - 8);
            x[i + Block / 2] = d * ((block[2 + i] >> 4) - 8);
        }
    }

    /// <summary>d = largest magnitude / 127; q = x/d to the nearest, ties away from zero.</summary>
    private static void EncodeQ8(ReadOnlySpan<float> x, Span<byte> block)
    {
        float d = MathF.Abs(Largest(x)) / 127;
        float inverse = WriteScale(block, d);
        for (int i = 0; i < Block; i++)
        {
            float q = MathF.Round(x[i] * inverse, MidpointRounding.AwayFromZero);
            block[2 + i] = (byte)(sbyte)Math.Clamp(float.IsNaN(q) ? 0 : q, -127, 127);
        }
    }

    /// <summary>d = the number of largest magnitude / −8, so that it becomes q = 0 exactly; q = ⌊x/d + 8.5⌋, at most 15.</summary>
    private static void EncodeQ4(ReadOnlySpan<float> x, Span<byte> block)
    {
        float d = Largest(x) / -8;
        float inverse = WriteScale(block, d);
        for (int i = 0; i < Block / 2; i++)
            block[2 + i] = (byte)(Nibble(x[i] * inverse) | Nibble(x[i + Block / 2] * inverse) << 4);

        static int Nibble(float scaled) => float.IsNaN(scaled) ? 8 : (int)Math.Clamp(scaled + 8.5f, 0, 15);
    }

    /// <summary>The number of largest magnitude with its sign, the first of equals; NaN if any is not finite.</summary>
    private static float Largest(ReadOnlySpan<float> x)
    {
        float largest = 0;
        foreach (float value in x)
        {
            if (!float.IsFinite(value))
                return float.NaN;
            if (MathF.Abs(value) > MathF.Abs(largest))
                largest = value;
        }

        return largest;
    }

    /// <summary>Stores a block's scale, held within half precision, and returns what to multiply by: 1/d, or 0 where that is not finite.</summary>
    private static float WriteScale(Span<byte> block, float d)
    {
        float most = (float)Half.MaxValue;
        if (MathF.Abs(d) > most)
            d = MathF.CopySign(most, d);
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)d);
        float inverse = 1 / d;
        return float.IsFinite(inverse) ? inverse : 0;
    }

    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        // The rounding carry could turn a NaN into an infinity: its quiet bit is set instead.
        return float.IsNaN(value) ? (ushort)(bits >> 16 | 0x40) : (ushort)(bits + 0x7FFF + (bits >> 16 & 1) >> 16);
    }

    private static void CheckLengths(ElementType type, int bytes, int elements)
    {
        if (elements % type.BlockLength() != 0 || bytes != type.RowBytes(elements))
            throw new ArgumentException($"{bytes} bytes are not a row of {elements} elements of {type}");
    }
}
