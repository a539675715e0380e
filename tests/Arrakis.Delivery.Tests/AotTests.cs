using System.Runtime.Intrinsics.X86;

namespace Arrakis.Delivery.Tests;

/// <summary>
/// A program published with NativeAOT prints what it prints under the JIT, bit for bit. Both are given the same instruction sets: NativeAOT when it compiles, the JIT by switches.
/// </summary>
[Collection(nameof(Delivery))]
public sealed class AotTests(Delivery delivery)
{
    [Theory]
    [InlineData("", "DOTNET_EnableAVX2", "Vector Scalar")]
    [InlineData("x86-64-v3", "DOTNET_EnableAVX512", "Avx2 Vector Scalar")]
    [InlineData("x86-64-v4", "", "Avx512 Avx2 Vector Scalar")]
    public async Task The_same_tiers_and_the_same_bits_as_under_the_JIT(string instructions, string switchedOff, string tiers)
    {
        string[] properties = instructions.Length == 0 ? [] : [$"IlcInstructionSet={instructions}"];
        string program = Path.Combine(await delivery.Published("tests/Arrakis.Aot", "linux-x64", properties), "arrakis-aot");
        Ran native = await Ran.Process(program, ["tiers"]);
        if (!HasInstructions(instructions))
        {
            // A build for instructions that the machine lacks says so and does nothing.
            Assert.NotEqual(0, native.ExitCode);
            Assert.Contains("instruction set", native.Errors, StringComparison.OrdinalIgnoreCase);
            return;
        }

        (string, string)[] environment = switchedOff.Length == 0 ? [] : [(switchedOff, "0")];
        Ran managed = (await Ran.Dotnet([Path.Combine(AppContext.BaseDirectory, "arrakis-aot.dll"), "tiers"], null, environment)).Succeeded();
        Assert.Equal($"tiers {tiers}", native.Succeeded().Lines[0]);
        Assert.Equal(managed.Lines, native.Lines);
        Assert.True(native.Lines.Length > 100, native.Output);
    }

    [Fact]
    public async Task The_command_is_trim_and_AOT_clean_and_tells_its_story()
    {
        string folder = await delivery.Published("src/Arrakis.Cli", "linux-x64", "PublishAot=true");
        Ran native = (await Ran.Process(Path.Combine(folder, "arrakis"), ["heads", "write", "--layer", "0", "--ids", "1,2,3,1,2", "--json", "--kernels", "scalar"])).Succeeded();
        Assert.StartsWith("{", native.Output, StringComparison.Ordinal);
        Ran story = (await Ran.Process(Path.Combine(folder, "arrakis"), [], delivery.NewFolder())).Succeeded();
        Assert.Contains("Next:   Mara (", story.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux-arm64", "arrakis")]
    [InlineData("osx-arm64", "arrakis")]
    [InlineData("win-x64", "arrakis.exe")]
    public async Task The_command_publishes_for_other_machines(string runtime, string program)
    {
        string folder = await delivery.Published("src/Arrakis.Cli", runtime, "SelfContained=true", "PublishTrimmed=true");
        Assert.True(new FileInfo(Path.Combine(folder, program)).Length > 0);
        Assert.True(File.Exists(Path.Combine(folder, "models", "induction", "model.safetensors")));
    }

    private static bool HasInstructions(string instructions) => instructions switch
    {
        "x86-64-v3" => Avx2.IsSupported && Fma.IsSupported && Bmi2.IsSupported,
        "x86-64-v4" => Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Avx512CD.IsSupported && Avx512F.VL.IsSupported,
        _ => true,
    };
}
