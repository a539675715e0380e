using System.Runtime.Intrinsics.X86;

namespace Arrakis.Delivery.Tests;

/// <summary>Through the C interface, a program in C and a script in Python get the numbers that the managed call gets, to the bit.</summary>
[Collection(nameof(Delivery))]
public sealed class InteropTests(Delivery delivery)
{
    private static readonly string s_model = Path.Combine(AppContext.BaseDirectory, "Golden", "gqa-f32");

    [Theory]
    [InlineData("scalar")]
    [InlineData("vector")]
    [InlineData("avx2")]
    public async Task C_and_Python_get_the_numbers_of_the_managed_call(string tier)
    {
        // A build for the lowest x64 has no AVX2; one for x86-64-v3 runs where the machine has it.
        bool has = Avx2.IsSupported && Fma.IsSupported && Bmi2.IsSupported;
        string[] properties = has ? ["IlcInstructionSet=x86-64-v3"] : [];
        (string, string)[] environment = [(has ? "DOTNET_EnableAVX512" : "DOTNET_EnableAVX2", "0")];
        Ran managed = await Ran.Dotnet([Path.Combine(AppContext.BaseDirectory, "arrakis-aot.dll"), "model", s_model, tier], null, environment);
        string library = await delivery.Published("src/Arrakis.Interop", "linux-x64", properties);
        string caller = await Compiled(library);
        string number = tier switch { "scalar" => "1", "vector" => "2", _ => "3" };
        // Between what was decoded and what was analysed.
        string[] hooks = [.. managed.Lines.Select(line => line.Split(' ')[0]).SkipWhile(name => name != "decoded").Skip(1).TakeWhile(name => name != "norms")];

        Ran c = await Ran.Process(caller, [s_model, number, .. hooks]);
        Ran python = await Ran.Process("python3", [Path.Combine(AppContext.BaseDirectory, "Interop", "caller.py"), Path.Combine(library, "libarrakis.so"), s_model, number, .. hooks]);
        if (tier == "avx2" && !has)
        {
            Assert.Contains("which this machine does not have", c.Errors, StringComparison.Ordinal);
            Assert.Contains("which this machine does not have", python.Errors, StringComparison.Ordinal);
            return;
        }

        Assert.True(hooks.Length > 60, managed.Succeeded().Output);
        Assert.Equal(managed.Lines, python.Succeeded().Lines);
        Assert.Equal(managed.Lines, c.Succeeded().Lines[..^2]);
        // What is wrong is a status of its own, and the process goes on: no such file, null, no UTF-8, a closed handle, no handle, an unknown token, no ids, a small
        // buffer, no such hook, no such layer; and a message that is cut stays text.
        Assert.Equal("misuse 3 1 1 6 6 2 1 4 2 2 1", c.Lines[^2]);
        Assert.Equal("closed 6 6", c.Lines[^1]);
    }

    private async Task<string> Compiled(string library)
    {
        string caller = Path.Combine(delivery.NewFolder(), "caller"), source = Path.Combine(AppContext.BaseDirectory, "Interop", "caller.c");
        string[] flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-I", library, "-o", caller];
        (await Ran.Process("cc", [.. flags, source, Path.Combine(library, "libarrakis.so"), $"-Wl,-rpath,{library}"])).Succeeded();
        return caller;
    }
}
