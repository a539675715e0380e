using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>
/// Reruns the engine's tests in child processes with instruction sets switched off, so that the tiers of lesser machines are what runs. The child asserts that the switch
/// took effect: the marker variable says what must be gone.
/// </summary>
public sealed class InstructionSetTests
{
    private const string Marker = "ARRAKIS_TESTS_EXPECT_WITHOUT";

    [Theory]
    [InlineData("DOTNET_EnableAVX512", "avx512")]
    [InlineData("DOTNET_EnableAVX2", "avx2")]
    [InlineData("DOTNET_EnableHWIntrinsic", "all")]
    public async Task The_engine_passes_without(string variable, string without)
    {
        Assert.Null(Environment.GetEnvironmentVariable(Marker)); // The children's filter leaves this test out.
        string output = await Rerun.Tests(typeof(InstructionSetTests).Assembly, string.Join('|', Filters), (variable, "0"), (Marker, without));
        Assert.Matches("Passed: +[1-9][0-9]", output);
    }

    [Fact]
    public void The_switch_took_effect()
    {
        switch (Environment.GetEnvironmentVariable(Marker))
        {
            case null:
                // The unswitched run: what the machine has is what is listed. Every theory over tiers is over this list, so a tier that fell off it would be tested nowhere.
                bool avx512 = Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Vector512.IsHardwareAccelerated;
                Assert.Equal(avx512, KernelTiers.Supported.Contains(KernelTier.Avx512));
                Assert.Equal(Avx2.IsSupported && Fma.IsSupported, KernelTiers.Supported.Contains(KernelTier.Avx2));
                Assert.Equal(Vector.IsHardwareAccelerated, KernelTiers.Supported.Contains(KernelTier.Vector));
                Assert.Contains(KernelTier.Scalar, KernelTiers.Supported);
                return;
            case "avx512":
                Assert.False(Avx512F.IsSupported);
                Assert.DoesNotContain(KernelTier.Avx512, KernelTiers.Supported);
                return;
            case "avx2":
                Assert.False(Avx2.IsSupported);
                Assert.DoesNotContain(KernelTier.Avx2, KernelTiers.Supported);
                Assert.DoesNotContain(KernelTier.Avx512, KernelTiers.Supported);
                return;
            case "all":
                Assert.False(Sse42.IsSupported);
                Assert.False(Avx2.IsSupported);
                Assert.Contains(KernelTier.Scalar, KernelTiers.Supported);
                Assert.DoesNotContain(KernelTier.Avx2, KernelTiers.Supported);
                return;
            case { } other:
                Assert.Fail($"unknown switch {other}");
                return;
        }
    }

    private static string[] Filters =>
    [
        $"FullyQualifiedName~{nameof(The_switch_took_effect)}",
        $"FullyQualifiedName~{nameof(GoldenEngineTests)}",
        $"FullyQualifiedName~{nameof(EnginePropertyTests)}",
        $"FullyQualifiedName~{nameof(SessionTests)}",
        "FullyQualifiedName~KernelTests",
    ];
}
