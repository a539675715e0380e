using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Arrakis.Cli.Tests;

/// <summary>What a call of the command gave: run in this process, with writers in the place of the console.</summary>
internal sealed record Called(int Code, string Output, string Error)
{
    // Tables are as wide as they are where nobody says; a shell that exports its width would break lines elsewhere.
    static Called() => Environment.SetEnvironmentVariable("COLUMNS", null);

    public static Called With(params string[] args) => With(CancellationToken.None, args);

    public static Called With(CancellationToken cancellation, params string[] args)
    {
        using var output = new StringWriter(CultureInfo.InvariantCulture);
        using var error = new StringWriter(CultureInfo.InvariantCulture);
        int code = Program.Run(args, output, error, cancellation);
        return new Called(code, output.ToString(), error.ToString());
    }

    /// <summary>The same as a process of its own, in an environment with these besides.</summary>
    public static async Task<Called> InProcess((string Name, string Value)[] environment, params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        using Process child = Process.Start(start)!;
        Task<string> error = child.StandardError.ReadToEndAsync();
        string output = await child.StandardOutput.ReadToEndAsync();
        await child.WaitForExitAsync();
        return new Called(child.ExitCode, output, await error);
    }

    /// <summary>The document of a call that must succeed and say nothing else: one line, one value, every number finite (or it would be no JSON).</summary>
    public static JsonElement Json(params string[] args)
    {
        Called called = With([.. args, "--json"]);
        Assert.True(called.Code == 0, $"exit code {called.Code}: {called.Error}");
        Assert.Equal("", called.Error);
        Assert.EndsWith("\n", called.Output);
        Assert.Equal(1, called.Output.Count(c => c == '\n'));
        return JsonDocument.Parse(called.Output).RootElement;
    }

    /// <summary>The tables of a call that must succeed.</summary>
    public static string Text(params string[] args)
    {
        Called called = With(args);
        Assert.True(called.Code == 0, $"exit code {called.Code}: {called.Error}");
        Assert.Equal("", called.Error);
        return called.Output;
    }
}
