using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Experiments;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>arrakis experiments</c> over a folder that a bench wrote.</summary>
public sealed class ExperimentsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _versions;

    public ExperimentsTests()
    {
        var config = new HookedAutoConfig("llama") { VocabSize = 97, HiddenSize = 16, IntermediateSize = 24, NumHiddenLayers = 2, NumAttentionHeads = 4 };
        using var model = new HookedAutoModel(config, seed: 3, options: new SessionOptions { Threads = 1 });
        var bench = new Bench(model, _folder.Path);
        model.Forward([5, 6, 7]);
        foreach (int layer in new[] { 0, 1, 1 })
        {
            bench.LogExperiment(new JsonObject { ["layer"] = layer }, run =>
            {
                run.ProfileModel([5, 6, 7], runs: 1);
                return new JsonObject { ["strongest"] = run.UseTool<WritesTool>("writes").Measure(layer).ToJson() };
            }, experiment: "Writes");
        }

        Assert.Throws<ArrakisException>(() => bench.LogExperiment([], _ => throw new ArrakisException("out of luck"), experiment: "Unlucky"));
        _versions = [.. bench.ListVersions("Writes"), .. bench.ListVersions("Unlucky")];
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void List()
    {
        JsonElement list = Called.Json("experiments", "list", _folder.Path);
        list.HasKeys("folder", "runs", "faults");
        JsonElement[] runs = list.Items("runs");
        runs[0].HasKeys("experiment", "version", "time", "seconds", "outcome", "arguments", "seed", "model", "model_hash");
        Assert.Equal([_versions[0], _versions[1], _versions[1], _versions[2]], runs.Select(run => run.GetProperty("version").GetString()));
        Assert.Equal(["done", "done", "done", "failed"], runs.Select(run => run.GetProperty("outcome").GetString()));
        Assert.Equal(1, runs[1].GetProperty("arguments").Int("layer"));
        Assert.Equal((_folder.Path, 0), (list.GetProperty("folder").GetString(), list.Items("faults").Length));
        Assert.Equal("Unlucky", Assert.Single(Called.Json("experiments", "list", _folder.Path, "--experiment", "Unlucky").Items("runs")).GetProperty("experiment").GetString());

        string text = Called.Text("experiments", "list", _folder.Path);
        Assert.Contains(_versions[2][..12], text);
        Assert.Contains("4 runs of 3 versions", text);
        // A row is a line: what is wide is the last column's.
        Assert.Contains(text.Split('\n'), line => line.Contains(_versions[0][..12], StringComparison.Ordinal) && line.Contains("{\"layer\":0}", StringComparison.Ordinal));
    }

    [Fact]
    public void Show()
    {
        JsonElement shown = Called.Json("experiments", "show", _folder.Path, _versions[1][..8]);
        shown.HasKeys("version", "content", "time", "seconds", "model", "model_seed", "kernels", "line", "profile", "runs");
        shown.GetProperty("content").HasKeys("experiment", "arguments", "tools", "input", "model_hash", "seed", "source", "result", "failure");
        shown.GetProperty("content").GetProperty("source").HasKeys("file", "member", "text");
        Assert.Equal((_versions[1], "llama", 3, 2), (shown.GetProperty("version").GetString(), shown.GetProperty("model").GetString(), shown.Int("model_seed"), shown.Int("runs")));
        Assert.Equal([5, 6, 7], shown.GetProperty("content").Ints("input"));
        Assert.Equal(2 + 2 * 8, shown.GetProperty("profile").Items("components").Length);

        string text = Called.Text("experiments", "show", _folder.Path, _versions[1]);
        Assert.Contains("run 2 times", text);
        Assert.Contains("UseTool<WritesTool>(\"writes\")", text);
        Assert.Contains("attn.qkv", text);
        Assert.DoesNotContain('\u001b', text);
        Assert.Contains("failed with Arrakis.Native.ArrakisException: out of luck", Called.Text("experiments", "show", _folder.Path, _versions[2]));
    }

    [Fact]
    public void Inputs_after_the_first_are_shown_and_compared()
    {
        string folder = _folder.File("several");
        using var model = new HookedAutoModel(new HookedAutoConfig("llama") { VocabSize = 97, HiddenSize = 16 }, options: new SessionOptions { Threads = 1 });
        var bench = new Bench(model, folder);
        foreach (int last in new[] { 8, 9 })
        {
            bench.LogExperiment([], run =>
            {
                foreach (int[] ids in new int[][] { [5, 6, 7], [4, last] })
                {
                    model.Forward(ids);
                    run.UseTool<WritesTool>("writes");
                }

                return [];
            }, experiment: "Several");
        }

        IReadOnlyList<string> versions = bench.ListVersions("Several");
        JsonElement content = Called.Json("experiments", "show", folder, versions[0]).GetProperty("content");
        Assert.Equal("[5,6,7] [[4,8]]", $"{content.GetProperty("input")} {content.GetProperty("more_inputs")}");
        string[] shown = [.. Called.Text("experiments", "show", folder, versions[0]).Split('\n').Where(line => line.StartsWith("input", StringComparison.Ordinal))];
        Assert.Equal(["5 6 7", "4 8"], shown.Select(line => line["input".Length..].Trim()));
        JsonElement change = Assert.Single(Called.Json("experiments", "diff", folder, versions[0], versions[1]).Items("changes"));
        Assert.Equal(("more_inputs[0][1]", 8, 9), (change.GetProperty("path").GetString(), change.Int("before"), change.Int("after")));
    }

    [Fact]
    public void Diff()
    {
        JsonElement diff = Called.Json("experiments", "diff", _folder.Path, _versions[0], _versions[1]);
        diff.HasKeys("before", "after", "tolerance", "within_tolerance", "changes");
        JsonElement[] changes = diff.Items("changes");
        changes[0].HasKeys("path", "before", "after", "difference");
        Assert.Equal(("arguments.layer", 0, 1, 1.0), (changes[0].GetProperty("path").GetString(), changes[0].Int("before"), changes[0].Int("after"), changes[0].Number("difference")));
        Assert.Contains("result.strongest.strength[0]", changes.Select(change => change.GetProperty("path").GetString()));

        // What no two numbers exceed.
        JsonElement wide = Called.Json("experiments", "diff", _folder.Path, _versions[0], _versions[1], "--tolerance", "2");
        Assert.Equal((0, changes.Length), (wide.Items("changes").Length, wide.Int("within_tolerance")));
        Assert.Contains("Nothing differs.", Called.Text("experiments", "diff", _folder.Path, _versions[0], _versions[0]));
    }

    /// <summary>Numbers that count or name have no percentage, and none is broken where a terminal is narrow.</summary>
    [Fact]
    public async Task Diff_in_80_columns()
    {
        double[] numbers = [.. Called.Json("experiments", "diff", _folder.Path, _versions[0], _versions[1]).Items("changes")
            .Where(change => change.GetProperty("path").GetString()!.StartsWith("result.strongest.strength[", StringComparison.Ordinal))
            .SelectMany(change => new[] { change.Number("before"), change.Number("after") })];
        Assert.NotEmpty(numbers);
        Called diff = await Called.InProcess([("COLUMNS", "80")], "experiments", "diff", _folder.Path, _versions[0], _versions[1]);
        Assert.Equal((0, ""), (diff.Code, diff.Error));
        string[] rows = [.. diff.Output.Split('\n').Where(line => line.TrimEnd().Length > 0)];
        Assert.All(rows, row => Assert.True(row.TrimEnd('\r').Length <= 80, row));
        Assert.Equal(["arguments.layer", "0", "1"], Cells("arguments.layer"));
        Assert.All(numbers, number => Assert.Contains(rows, row => row.Split(' ').Contains(number.ToString("g6", CultureInfo.InvariantCulture))));
        Assert.Matches("^\\d+\\.\\d\\d$", Cells("result.strongest.strength[0]")[1]);

        string[] Cells(string path) => rows.Single(row => row.Contains(path, StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    [Fact]
    public void Damaged_files_are_warned_of_and_the_others_listed()
    {
        string damaged = Directory.GetFiles(Path.Combine(_folder.Path, "Unlucky"))[0];
        File.WriteAllText(damaged, "{");
        foreach (string[] json in new string[][] { [], ["--json"] })
        {
            Called called = Called.With(["experiments", "list", _folder.Path, .. json]);
            Assert.Equal(0, called.Code);
            Assert.StartsWith($"arrakis: {damaged}: it is no run of an experiment: ", called.Error);
            Assert.Equal(1, called.Error.Count(c => c == '\n'));
            Assert.Contains(_versions[0][..12], called.Output);
        }
    }

    [Fact]
    public void An_empty_folder_has_no_runs()
    {
        string empty = Directory.CreateDirectory(_folder.File("empty")).FullName;
        Assert.Equal("No runs.", Called.Text("experiments", "list", empty).Trim());
        Assert.Empty(Called.Json("experiments", "list", empty).Items("runs"));
    }

    [Theory]
    [InlineData(2, "see arrakis experiments --help", "experiments")]
    [InlineData(2, "list", "experiments", "list")]
    [InlineData(1, "there is no folder nowhere", "experiments", "list", "nowhere")]
    [InlineData(1, "experiments need a folder", "experiments", "list", "")]
    [InlineData(2, "VERSION is 'xyz': use the first digits of a version, as list shows them", "experiments", "show", "FOLDER", "xyz")]
    [InlineData(2, "show", "experiments", "show", "FOLDER")]
    [InlineData(1, "there is no version 'ffffffffffff': list shows those that there are", "experiments", "show", "FOLDER", "ffffffffffff")]
    [InlineData(2, "BEFORE is '-'", "experiments", "diff", "FOLDER", "-", "a")]
    [InlineData(2, "--tolerance is '-1': use 0 or more", "experiments", "diff", "FOLDER", "a", "b", "--tolerance", "-1")]
    [InlineData(2, "--nonsense", "experiments", "list", "FOLDER", "--nonsense")]
    public void Refuses(int code, string says, params string[] call)
    {
        Called called = Called.With([.. call.Select(word => word == "FOLDER" ? _folder.Path : word)]);
        Assert.Equal((code, ""), (called.Code, called.Output));
        Assert.StartsWith("arrakis: ", called.Error);
        Assert.Contains(says, called.Error);
        Assert.Equal(1, called.Error.Count(c => c == '\n'));
    }

    private sealed class Bench(HookedAutoModel model, string saveDir) : InterpretabilityBench(model, saveDir);
}
