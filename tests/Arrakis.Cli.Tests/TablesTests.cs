using System.Diagnostics;

namespace Arrakis.Cli.Tests;

/// <summary>What people see, and the command as a process of its own.</summary>
public sealed class TablesTests
{
    [Theory]
    [InlineData("", "Where to go next")]
    [InlineData("heads write --layer 1", "shares of the heads sum to 1 (off by ")]
    [InlineData("heads write --layer 1 --weights-only", "OV norm")]
    [InlineData("heads read --layer 1 --dim 3", "Of the whole stream they are 1 (off by ")]
    [InlineData("heads read --layer 1 --head 0.2 --weights-only", "what head 0.2 writes")]
    [InlineData("flow --src 1 --dst -1", "stays + heads = total (off by ")]
    [InlineData("flow --src 1 --dst -1 --mlp source --all-sources", "All sources add up to ")]
    [InlineData("flow --src 1 --dst -1 --target token:66 --all-sources", "the logit (off by ")]
    [InlineData("flow --src 1 --dst 3 --target key:2:5 --all-sources", "the score (off by ")]
    [InlineData("flow --src 1 --dst 3 --target query:0:2", "The part of head 2.0's score of position 2, as the query")]
    [InlineData("flow --src 1 --dst -1 --paths 3", "Coverage: the 3 paths make up ")]
    [InlineData("routes --dst -1", "attention + residual = 1 (off by ")]
    [InlineData("compose --layers 1-1", "no heads above others")]
    [InlineData("compose", "times random")]
    [InlineData("info", "vocab_size")]
    [InlineData("run", "prob")]
    [InlineData("generate -n 3", "prompt_ids")]
    public void Tables_say_what_holds_and_hold_no_escape_codes(string call, string says)
    {
        string[] words = call.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string[] options = words is ["info", ..] or ["compose", ..] || words.Contains("--weights-only") ? ["--model", GoldenModel.First.Folder] : GoldenModel.First.Options;
        string text = Called.Text([.. words, .. options]);
        Assert.Contains(says, text);
        Assert.DoesNotContain('\u001b', text);
        Assert.DoesNotContain("[bold]", text);
    }

    [Fact]
    public void Selected_heads_are_marked()
    {
        string[] lines = Called.Text(["heads", "write", "--layer", "0", "--rule", "top", "--threshold", "0.5", .. GoldenModel.First.Options]).Split('\n');
        Assert.Equal(3, lines.Count(line => line.StartsWith("  * ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(0, "flow", "--src", "1", "--dst", "-1")]
    [InlineData(2, "flow", "--src", "1", "--dst", "nowhere")]
    public async Task A_process_of_its_own_is_as_quiet(int code, params string[] call)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in new[] { typeof(Program).Assembly.Location }.Concat(call).Concat(GoldenModel.First.Options))
            start.ArgumentList.Add(argument);
        // What makes a library believe in colours.
        start.Environment["TERM"] = "xterm-256color";
        start.Environment["COLORTERM"] = "truecolor";
        start.Environment["GITHUB_ACTIONS"] = "true";
        using Process child = Process.Start(start)!;
        Task<string> error = child.StandardError.ReadToEndAsync();
        string output = await child.StandardOutput.ReadToEndAsync();
        await child.WaitForExitAsync();
        Assert.Equal(code, child.ExitCode);
        Assert.DoesNotContain('\u001b', output + await error);
        Assert.Equal((code == 0, code == 0 ? 0 : 1), (output.Length > 0, (await error).Count(c => c == '\n')));
    }
}
