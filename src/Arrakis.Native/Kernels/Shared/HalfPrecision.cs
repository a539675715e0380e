using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Arrakis.Native.Kernels;

/// <summary>
/// Half-precision numbers as single ones. .NET has no class for F16C, and its conversion of one <see cref="Half"/> is a call, around which every vector register
/// goes to memory.
/// </summary>
/// <remarks>
/// A half lies in the low 16 bits of an element that extends its sign. Its exponent and mantissa, moved into a single's place beside the sign, are an exponent 112
/// too small. Adding 224 to it and multiplying by 2^-112 mends that, and takes an exponent of 31 (infinity, NaN) to 255, which the multiplication leaves alone. A half
/// below 2^-14 has no implicit one: with an exponent of 113 it is larger by 2^-14, which is taken away, so that no slow subnormal is multiplied.
/// </remarks>
internal static class HalfPrecision
{
    private const uint Kept = 0x8FFF_E000, Exponent = 0x0F80_0000, Sign = 0x8000_0000, Up = 224u << 23, Down = 15u << 23, Least = 113u << 23;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<int> halves)
    {
        Vector256<uint> moved = (halves << 13).AsUInt32() & Vector256.Create(Kept);
        Vector256<float> normal = (moved + Vector256.Create(Up)).AsSingle() * Vector256.Create(Down).AsSingle();
        Vector256<float> small = (moved + Vector256.Create(Least)).AsSingle() - ((moved & Vector256.Create(Sign)) | Vector256.Create(Least)).AsSingle();
        return Vector256.ConditionalSelect(Vector256.Equals(moved & Vector256.Create(Exponent), Vector256<uint>.Zero).AsSingle(), small | (moved & Vector256.Create(Sign)).AsSingle(), normal);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<int> halves) => ToSingle(halves, Constants.All);

    /// <summary>The same with constants that lie in memory: where a loop's sums fill the registers, these must not take any.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ToSingle(Vector512<int> halves, in Constants c)
    {
        Vector512<uint> moved = (halves << 13).AsUInt32() & Vector512.Create(c.Kept);
        Vector512<float> normal = (moved + Vector512.Create(c.Up)).AsSingle() * Vector512.Create(c.Down).AsSingle();
        Vector512<float> small = (moved + Vector512.Create(c.Least)).AsSingle() - ((moved & Vector512.Create(c.Sign)) | Vector512.Create(c.Least)).AsSingle();
        return Vector512.ConditionalSelect(
            Vector512.Equals(moved & Vector512.Create(c.Exponent), Vector512<uint>.Zero).AsSingle(), small | (moved & Vector512.Create(c.Sign)).AsSingle(), normal);
    }

    /// <summary>What the conversion is made of.</summary>
    public readonly struct Constants(uint kept, uint exponent, uint sign, uint up, uint down, uint least)
    {
        public readonly uint Kept = kept, Exponent = exponent, Sign = sign, Up = up, Down = down, Least = least;

        public static Constants All
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => new(HalfPrecision.Kept, HalfPrecision.Exponent, HalfPrecision.Sign, HalfPrecision.Up, HalfPrecision.Down, HalfPrecision.Least);
        }
    }
}
