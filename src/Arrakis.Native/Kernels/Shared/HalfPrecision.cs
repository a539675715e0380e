using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

/// <summary>
/// Half-precision numbers as single ones. .NET has no class for F16C, and its conversion of one <see cref="Half"/> is a call, around which every vector register
/// goes to memory.
/// </summary>
/// <remarks>
/// A half lies in the low 16 bits of an element that extends its sign. Its exponent and mantissa, moved into a single's place beside the sign, are an exponent 112
/// too small; the three bits between, which sign extension filled, are set: 224 more. Multiplied by 2^-112, that is the number, and an exponent of 31 (infinity, NaN)
/// became 255, which the multiplication leaves alone. A half below 2^-14 has no implicit one: what comes out is a = 2^-15 (1 + m), not 2^-14 m = 2 a - 2^-14. Of
/// the two the one that is nearer to zero is right: 2 a - 2^-14 is less than a just where a is below 2^-14. No slow subnormal is ever multiplied.
/// </remarks>
internal static class HalfPrecision
{
    private const uint Between = 224u << 23, Sign = 0x8000_0000, Down = 15u << 23, TwiceDown = 16u << 23, Least = 113u << 23;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<int> halves)
    {
        Vector256<uint> moved = (halves << 13).AsUInt32(), sign = moved & Vector256.Create(Sign);
        Vector256<float> up = (moved | Vector256.Create(Between)).AsSingle();
        Vector256<float> normal = up * Vector256.Create(Down).AsSingle();
        Vector256<float> small = Fma.MultiplySubtract(up, Vector256.Create(TwiceDown).AsSingle(), (sign | Vector256.Create(Least)).AsSingle());
        // Of the same sign, what is nearer to zero is less as a number without one; a zero from the subtraction has lost its sign.
        return (Vector256.Min(normal.AsUInt32(), small.AsUInt32()) | sign).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<int> halves) => ToSingle(halves, Constants.All);

    /// <summary>The same with constants that lie in memory: where a loop's sums fill the registers, these must not take any.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<int> halves, in Constants c)
    {
        // The lesser of the absolute values, with the sign of the first.
        const byte NearerToZero = 0b0010;
        Vector512<uint> moved = (halves << 13).AsUInt32();
        Vector512<float> up = (moved | Vector512.Create(c.Between)).AsSingle();
        Vector512<float> normal = up * Vector512.Create(c.Down).AsSingle();
        Vector512<float> least = ((moved & Vector512.Create(c.Sign)) | Vector512.Create(c.Least)).AsSingle();
        return Avx512DQ.Range(normal, Avx512F.FusedMultiplySubtract(up, Vector512.Create(c.TwiceDown).AsSingle(), least), NearerToZero);
    }

    /// <summary>What the conversion is made of.</summary>
    public readonly struct Constants(uint between, uint sign, uint down, uint twiceDown, uint least)
    {
        public readonly uint Between = between, Sign = sign, Down = down, TwiceDown = twiceDown, Least = least;

        public static Constants All
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => new(HalfPrecision.Between, HalfPrecision.Sign, HalfPrecision.Down, HalfPrecision.TwiceDown, HalfPrecision.Least);
        }
    }
}
