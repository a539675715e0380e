namespace Arrakis.Native.Weights;

/// <summary>A tensor type of ggml.</summary>
/// <param name="Name">ggml's name.</param>
/// <param name="Type">How it is read here, or null if it is not.</param>
/// <param name="BlockLength">Elements stored together.</param>
/// <param name="BlockBytes">Bytes of such a block; 0 where the type is not known.</param>
internal readonly record struct GgmlType(string Name, ElementType? Type, int BlockLength, int BlockBytes);

/// <summary>ggml's tensor types by their numbers in a GGUF: those that can be read, and those that can only be named.</summary>
internal static class GgmlTypes
{
    public static GgmlType Find(uint number) => number switch
    {
        0 => Supported(ElementType.F32),
        1 => Supported(ElementType.F16),
        2 => Supported(ElementType.Q4_0),
        3 => new("Q4_1", null, 32, 20),
        6 => new("Q5_0", null, 32, 22),
        7 => new("Q5_1", null, 32, 24),
        8 => Supported(ElementType.Q8_0),
        9 => new("Q8_1", null, 32, 36),
        10 => new("Q2_K", null, 256, 84),
        11 => new("Q3_K", null, 256, 110),
        12 => new("Q4_K", null, 256, 144),
        13 => new("Q5_K", null, 256, 176),
        14 => new("Q6_K", null, 256, 210),
        15 => new("Q8_K", null, 256, 292),
        16 => new("IQ2_XXS", null, 256, 66),
        17 => new("IQ2_XS", null, 256, 74),
        18 => new("IQ3_XXS", null, 256, 98),
        19 => new("IQ1_S", null, 256, 50),
        20 => new("IQ4_NL", null, 32, 18),
        21 => new("IQ3_S", null, 256, 110),
        22 => new("IQ2_S", null, 256, 82),
        23 => new("IQ4_XS", null, 256, 136),
        24 => new("I8", null, 1, 1),
        25 => new("I16", null, 1, 2),
        26 => new("I32", null, 1, 4),
        27 => new("I64", null, 1, 8),
        28 => new("F64", null, 1, 8),
        29 => new("IQ1_M", null, 256, 56),
        30 => Supported(ElementType.BF16),
        34 => new("TQ1_0", null, 256, 54),
        35 => new("TQ2_0", null, 256, 66),
        39 => new("MXFP4", null, 32, 17),
        _ => new($"number {number}", null, 1, 0),
    };

    private static GgmlType Supported(ElementType type) => new(type.ToString(), type, type.BlockLength(), type.BlockBytes());
}
