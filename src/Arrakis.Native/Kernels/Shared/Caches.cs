using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

/// <summary>What the processor says of its caches.</summary>
internal static class Caches
{
    private const int Instructions = 2;

    /// <summary>Bytes of a core's second level, by which products are cut; 1 MiB where the processor does not say.</summary>
    public static int Level2 { get; } = FindLevel2() is > 0 and int bytes ? bytes : 1 << 20;

    // CPUID's deterministic cache parameters: Intel's leaf 4 and AMD's 8000001Dh have the same fields.
    private static int FindLevel2()
    {
        if (!X86Base.IsSupported)
            return 0;
        int leaf = KernelTiers.IsAmd ? unchecked((int)0x8000001D) : 4;
        if ((uint)X86Base.CpuId(leaf & ~0xFF, 0).Eax < (uint)leaf)
            return 0;
        for (int i = 0; ; i++)
        {
            (int eax, int ebx, int ecx, _) = X86Base.CpuId(leaf, i);
            int type = eax & 31, level = eax >> 5 & 7;
            if (type == 0 || level > 2)
                return 0;
            if (level == 2 && type != Instructions)
                return ((ebx >>> 22) + 1) * ((ebx >>> 12 & 0x3FF) + 1) * ((ebx & 0xFFF) + 1) * (ecx + 1);
        }
    }
}
