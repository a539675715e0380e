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
    [InlineData("flow --src 1 --dst -1", "Flow is a share of what stands at the destination; + is along it, - against it.")]
    [InlineData("flow --src 1 --dst -1 --target token:66", "Flow is in logits; + is for the token, - against it.")]
    [InlineData("flow --src 1 --dst 3 --target key:2:5", "Flow is in units of the score, before the softmax; + is for attention, - against it.")]
    [InlineData("flow --src 1 --dst -1 --all-sources", "Bars: = is for, - against.")]
    [InlineData("flow --src 1 --dst -1 --mlp source", "reads: the signed part of its query there, of the keys it looks at")]
    [InlineData("", "Flow is in logits; + is for the token, - against it.")]
    [InlineData("compose --kind q", "Scored for a query and a key at the same position (--offset 0).")]
    [InlineData("compose --offset 3", "Scored for a query 3 tokens after its key (--offset 3).")]
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
    public void Fields_are_in_words_and_units()
    {
        string[] rows = Rows(Called.Text("info", "--model", "tales"));
        foreach (string row in new[] { "parameters 1,029,632", "bytes 2,059,264 bytes", "norm_eps 1.0e-5", "rope theta 10,000, layout halves", "dtypes BF16 38 (tensors of each)" })
            Assert.Contains(row, rows);
        Assert.Contains(
            "theta 500,000, layout halves, scaling (type llama3, factor 8, low_freq_factor 1,", string.Join(' ', Rows(Called.Text("info", "--model", GoldenModel.Load("mqa-llama3-bf16-sharded").Folder))));

        rows = Rows(Called.Text(["run", "--record", "heads", "--top", "2", .. GoldenModel.First.Options]));
        Assert.Contains(rows, row => row.StartsWith("recorded tensors ", StringComparison.Ordinal) && row.Contains(", bytes ", StringComparison.Ordinal));
        Assert.Contains(rows, row => row.StartsWith("tokens_per_second ", StringComparison.Ordinal) && row.EndsWith(" tokens/s (first pass, with compilation)", StringComparison.Ordinal));
        Assert.Contains($"ids {string.Join(' ', GoldenModel.First.Ids)}", rows);
        Assert.Matches("^[0-9]+ -?[0-9]+[.][0-9]{3} 0[.][0-9]{3}$", rows[^1]);

        rows = Rows(Called.Text("bench", "--shape", "stories-260k", "--tokens", "8", "--threads", "1"));
        foreach ((string name, string unit) in new[] { ("median_seconds", "ms"), ("tokens_per_second", "tokens/s"), ("gflops", "GFLOP/s"), ("recorded_bytes", "bytes") })
            Assert.Contains(rows, row => row.StartsWith($"{name} ", StringComparison.Ordinal) && row.EndsWith($" {unit}", StringComparison.Ordinal));

        static string[] Rows(string text) =>
            [.. text.Split('\n').Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))).Where(line => line.Length > 0)];
    }

    [Fact]
    public void Selected_heads_are_marked()
    {
        string[] lines = Called.Text(["heads", "write", "--layer", "0", "--rule", "top", "--threshold", "0.5", .. GoldenModel.First.Options]).Split('\n');
        Assert.Equal(3, lines.Count(line => line.StartsWith("  * ", StringComparison.Ordinal)));
    }

    /// <summary>A number that is broken over lines is another number: on a narrow terminal tables are as wide as they are.</summary>
    [Theory]
    [InlineData(" %  ", "heads", "write", "--layer", "0")]
    [InlineData("  0.", "run")]
    public async Task A_narrow_terminal_breaks_no_number(string mark, params string[] call)
    {
        string[] words = [.. call, .. GoldenModel.First.Options];
        string narrow = (await Called.InProcess([("COLUMNS", "20")], words)).Output;
        string[] rows = [.. Called.Text(words).Split('\n').Where(line => line.StartsWith(' ') && line.Contains(mark, StringComparison.Ordinal))];
        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Contains(row, narrow));
    }

    [Theory]
    [InlineData(0, "flow", "--src", "1", "--dst", "-1")]
    [InlineData(2, "flow", "--src", "1", "--dst", "nowhere")]
    public async Task A_process_of_its_own_is_as_quiet(int code, params string[] call)
    {
        // What makes a library believe in colours.
        Called child = await Called.InProcess([("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("GITHUB_ACTIONS", "true")], [.. call, .. GoldenModel.First.Options]);
        Assert.Equal(code, child.Code);
        Assert.DoesNotContain('\u001b', child.Output + child.Error);
        Assert.Equal((code == 0, code == 0 ? 0 : 1), (child.Output.Length > 0, child.Error.Count(c => c == '\n')));
    }
}
