using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Arrakis.Native.Kernels;

/// <summary>
/// Every half as a float, by its bits, for the scales of blocks: one load that a multiplication takes as its operand, where widening one number by itself takes as many
/// instructions as widening sixteen (<see cref="HalfPrecision"/>). The scales of a model are some thousand numbers that lie close together: they stay in L1.
/// </summary>
internal static unsafe class HalfTable
{
    // Pinned: the kernels hold its address.
    private static readonly float[] s_floats = Create();

    public static float* Floats => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(s_floats));

    private static float[] Create()
    {
        float[] floats = GC.AllocateUninitializedArray<float>(ushort.MaxValue + 1, pinned: true);
        for (int bits = 0; bits < floats.Length; bits++)
            floats[bits] = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
        return floats;
    }
}
