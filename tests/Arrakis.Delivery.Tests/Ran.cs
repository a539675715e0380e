using System.Diagnostics;

namespace Arrakis.Delivery.Tests;

/// <summary>A process that has ended: its exit code and what it wrote.</summary>
internal sealed record Ran(string Call, int ExitCode, string Output, string Errors)
{
    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Runs a program to its end.</summary>
    public static async Task<Ran> Process(string program, IEnumerable<string> arguments, string? folder = null, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder ?? Path.GetTempPath() };
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        // The host of the tests hands down settings of its own, and MSBuild those of the build that started it; what is tried here is a user's call.
        foreach (string inherited in start.Environment.Keys.Where(IsOfThisRun).ToArray())
            start.Environment.Remove(inherited);
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = start.Environment["DOTNET_NOLOGO"] = start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        using Process process = System.Diagnostics.Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return new Ran($"{program} {string.Join(' ', start.ArgumentList)}", process.ExitCode, await output, await errors);
    }

    /// <summary>Runs the SDK's command.</summary>
    public static Task<Ran> Dotnet(IEnumerable<string> arguments, string? folder = null, params (string Name, string Value)[] environment) =>
        Process("dotnet", arguments, folder, environment);

    /// <summary>The same, or a failed test with all that it wrote.</summary>
    public Ran Succeeded()
    {
        Assert.True(ExitCode == 0, $"{Call}\nended with {ExitCode}\n{Output}\n{Errors}");
        return this;
    }

    private static bool IsOfThisRun(string variable) =>
        variable.StartsWith("VSTEST", StringComparison.OrdinalIgnoreCase) || variable.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)
        || variable.StartsWith("DOTNET_CLI_", StringComparison.OrdinalIgnoreCase) || variable is "ARRAKIS_KERNELS" or "Configuration" or "Platform";
}
