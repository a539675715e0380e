namespace Arrakis.Native;

/// <summary>How the numbers of a weight are stored.</summary>
public enum ElementType
{
    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>bfloat16: the upper half of a single.</summary>
    BF16,

    /// <summary>ggml's Q8_0: blocks of 32, a half-precision scale d and 32 signed bytes; x = d·q. 34 bytes.</summary>
    Q8_0,

    /// <summary>ggml's Q4_0: blocks of 32, a half-precision scale d and 32 nibbles, elements 0–15 in the low ones; x = d·(q − 8). 18 bytes.</summary>
    Q4_0,
}

/// <summary>Sizes of stored elements.</summary>
internal static class ElementTypes
{
    /// <summary>Elements stored together: 1, or 32 for the quantised types.</summary>
    public static int BlockLength(this ElementType type) => type is ElementType.Q8_0 or ElementType.Q4_0 ? 32 : 1;

    /// <summary>Bytes of one block.</summary>
    public static int BlockBytes(this ElementType type) => type switch
    {
        ElementType.F32 => 4,
        ElementType.F16 or ElementType.BF16 => 2,
        ElementType.Q8_0 => 34,
        ElementType.Q4_0 => 18,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>Bytes of a row of <paramref name="columns"/> elements, which must fill whole blocks.</summary>
    public static long RowBytes(this ElementType type, long columns) => columns / type.BlockLength() * type.BlockBytes();
}
