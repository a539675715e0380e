using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native;

/// <summary>Which instructions the kernels use.</summary>
public enum KernelTier
{
    /// <summary>The best that the machine has; the environment variable <c>ARRAKIS_KERNELS</c> overrides it.</summary>
    Auto,

    /// <summary>Plain loops: the readable reference that every other tier is tested against.</summary>
    Scalar,

    /// <summary><see cref="Vector{T}"/>: any machine, whatever its vectors.</summary>
    Vector,

    /// <summary>AVX2 with FMA: 16 registers of 8 floats.</summary>
    Avx2,

    /// <summary>AVX-512: 32 registers of 16 floats.</summary>
    Avx512,
}

/// <summary>Which tiers this machine has, and which of them is used.</summary>
public static class KernelTiers
{
    /// <summary>The environment variable that forces a tier where the program leaves it to <see cref="KernelTier.Auto"/>.</summary>
    public const string EnvironmentVariable = "ARRAKIS_KERNELS";

    /// <summary>The tiers of this machine, best first.</summary>
    public static IReadOnlyList<KernelTier> Supported { get; } = FindSupported();

    /// <summary>The tier that a request leads to on this machine.</summary>
    /// <param name="requested">A tier, or <see cref="KernelTier.Auto"/> for the environment variable's, or else the best.</param>
    /// <exception cref="ArrakisException">The machine does not have it, or the environment variable names none.</exception>
    public static KernelTier Resolve(KernelTier requested)
    {
        string origin = "kernels";
        if (requested == KernelTier.Auto && Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } forced)
        {
            origin = EnvironmentVariable;
            if (!TryParse(forced, out requested))
                throw new ArrakisException($"{EnvironmentVariable} is '{forced}': use auto, scalar, vector, avx2 or avx512");
        }

        if (requested == KernelTier.Auto)
            return Supported[0];
        if (!Supported.Contains(requested))
        {
            string have = string.Join(", ", Supported.Select(Name));
            throw new ArrakisException($"{origin} asks for {Name(requested)}, which this machine does not have: use one of {have}");
        }

        return requested;
    }

    /// <summary>A tier by the name that the command line uses, in any case: auto, scalar, vector, avx2, avx512.</summary>
    /// <returns>Whether it is one; <paramref name="tier"/> is <see cref="KernelTier.Auto"/> if not.</returns>
    public static bool TryParse(string name, out KernelTier tier)
    {
        (bool known, tier) = name.ToUpperInvariant() switch
        {
            "AUTO" => (true, KernelTier.Auto),
            "SCALAR" => (true, KernelTier.Scalar),
            "VECTOR" => (true, KernelTier.Vector),
            "AVX2" => (true, KernelTier.Avx2),
            "AVX512" => (true, KernelTier.Avx512),
            _ => (false, KernelTier.Auto),
        };
        return known;
    }

    /// <summary>The name that the command line uses.</summary>
    public static string Name(KernelTier tier) => tier switch
    {
        KernelTier.Auto => "auto",
        KernelTier.Scalar => "scalar",
        KernelTier.Vector => "vector",
        KernelTier.Avx2 => "avx2",
        KernelTier.Avx512 => "avx512",
        _ => throw new ArgumentOutOfRangeException(nameof(tier), tier, null),
    };

    /// <summary>Whether AMD made the processor: what its vector units do beside multiply-adds is not what other makers' do.</summary>
    internal static bool IsAmd { get; } = X86Base.IsSupported && X86Base.CpuId(0, 0).Ecx == 0x444D4163; // the end of AuthenticAMD

    private static KernelTier[] FindSupported()
    {
        var tiers = new List<KernelTier>();
        if (Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Vector512.IsHardwareAccelerated)
            tiers.Add(KernelTier.Avx512);
        if (Avx2.IsSupported && Fma.IsSupported)
            tiers.Add(KernelTier.Avx2);
        if (Vector.IsHardwareAccelerated)
            tiers.Add(KernelTier.Vector);
        tiers.Add(KernelTier.Scalar);
        return [.. tiers];
    }
}
