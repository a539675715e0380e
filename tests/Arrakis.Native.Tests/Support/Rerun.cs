using System.Diagnostics;
using System.Reflection;

namespace Arrakis.Native.Tests.Support;

/// <summary>Some of an assembly's tests once more, in a process whose runtime is set up otherwise.</summary>
internal static class Rerun
{
    /// <summary>Runs the tests that the filter lets through, and wants all of them to pass.</summary>
    /// <returns>What was printed, on one line.</returns>
    public static async Task<string> Tests(Assembly assembly, string filter, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", ["vstest", assembly.Location, $"--TestCaseFilter:{filter}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        // The host of this run hands its own settings down; a child must find its own.
        foreach (string inherited in start.Environment.Keys.Where(key => key.StartsWith("VSTEST", StringComparison.OrdinalIgnoreCase)).ToArray())
            start.Environment.Remove(inherited);

        using Process child = Process.Start(start)!;
        Task<string> errors = child.StandardError.ReadToEndAsync();
        string output = await child.StandardOutput.ReadToEndAsync();
        await child.WaitForExitAsync();
        Assert.True(child.ExitCode == 0, $"{string.Join(' ', environment)}:\n{Indented(output)}\n{Indented(await errors)}");
        return output.ReplaceLineEndings(" ");
    }

    // So that nobody counts a child's summary as one of this run.
    private static string Indented(string text) => "  | " + text.ReplaceLineEndings("\n  | ");
}
