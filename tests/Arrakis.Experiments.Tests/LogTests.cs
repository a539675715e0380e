using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Experiments.Tests;

public sealed class LogTests : OnSmallModel
{
    [Fact]
    public async Task Two_processes_and_this_one_log_into_one_folder()
    {
        const int Count = 40;
        using Process a = Start("write", Folder.Path, $"{Count}", "a"), b = Start("write", Folder.Path, $"{Count}", "b");
        var bench = new Bench(Model, Folder.Path);
        Parallel.For(0, Count, i => bench.LogExperiment(new JsonObject { ["by"] = "c", ["i"] = i }, _ => new JsonObject { ["square"] = i * i }, experiment: "Shared"));
        await Ends(a, 0);
        await Ends(b, 0);
        ExperimentListing listing = bench.Log.Read();
        Assert.Empty(listing.Faults);
        Assert.Equal(
            from who in new[] { "a", "b", "c" } from i in Enumerable.Range(0, Count) select (who, i, i * i),
            from run in listing.Runs
            let content = run.Content
            let logged = ((string)content.Arguments["by"]!, (int)content.Arguments["i"]!, (int)content.Result!["square"]!)
            orderby logged.Item1, logged.Item2
            select logged);
        // The processes agree on what the model is, and nothing but runs is left.
        Assert.Single(listing.Runs.Select(run => run.Content.ModelHash).Distinct());
        Assert.Equal(3 * Count, Directory.GetFiles(Folder.Path, "*", SearchOption.AllDirectories).Length);
    }

    [Fact]
    public async Task A_process_that_dies_in_an_experiment_takes_no_other_s_log()
    {
        using Process dying = Start("die", Folder.Path);
        await Ends(dying, 3);
        ExperimentListing listing = new ExperimentLog(Folder.Path).Read();
        Assert.Empty(listing.Faults);
        Assert.True((bool)Assert.Single(listing.Runs).Content.Result!["survived"]!);
    }

    [Fact]
    public async Task A_process_that_is_killed_while_it_writes_leaves_whole_files()
    {
        using Process writer = Start("write", Folder.Path, "1000000", "killed");
        var log = new ExperimentLog(Folder.Path);
        string shared = Path.Combine(Folder.Path, "Shared");
        try
        {
            while (!Directory.Exists(shared) || Directory.GetFiles(shared, "*.json").Length < 20)
            {
                Assert.False(writer.HasExited, "the writer ended before it had written 20 runs");
                await Task.Delay(10);
            }

            // While it writes, what is there is whole too.
            Assert.Empty(log.Read().Faults);
            Assert.False(writer.HasExited, "the writer ended before it was killed");
        }
        finally
        {
            writer.Kill();
            await writer.WaitForExitAsync();
        }

        ExperimentListing listing = log.Read();
        Assert.Empty(listing.Faults);
        Assert.True(listing.Runs.Count >= 20);
    }

    [Fact]
    public void Damaged_files_are_named_in_a_line_each_and_cost_nothing_else()
    {
        Bench bench = Logged(3);
        string[] files = [.. Directory.GetFiles(Path.Combine(Folder.Path, "Logged")).Order(StringComparer.Ordinal)];
        File.WriteAllBytes(files[0], File.ReadAllBytes(files[0])[..200]);
        File.WriteAllText(files[1], File.ReadAllText(files[1]).Replace("\"square\": ", "\"square\": 1", StringComparison.Ordinal));
        string other = Path.Combine(Folder.Path, "Logged", "other.json");
        File.WriteAllText(other, """{"format":"something\nelse"}""");
        ExperimentListing listing = bench.Log.Read();
        Assert.Single(listing.Runs);
        Assert.Equal(3, listing.Faults.Count);
        Assert.StartsWith($"{files[0]}: it is no run of an experiment: ", listing.Faults[0]);
        Assert.Matches("its content is of version [0-9a-f]{12}, and it says [0-9a-f]{64}: it was changed after it was written$", listing.Faults[1]);
        Assert.Equal($"{other}: format 'something\\u000aelse' is not arrakis-experiment/1: it is no run of an experiment", listing.Faults[2]);
        Assert.All(listing.Faults, fault => Assert.DoesNotContain('\n', fault));
    }

    [Fact]
    public void An_input_that_is_none_is_refused_under_a_version_that_fits()
    {
        Bench bench = Logged(1);
        string file = Assert.Single(Directory.GetFiles(Path.Combine(Folder.Path, "Logged")));
        JsonNode whole = JsonNode.Parse(File.ReadAllText(file))!;
        whole["record"]!["content"]!["more_inputs"] = new JsonArray(new JsonArray(1), null);
        whole["record"]!["version"] = CanonicalJson.Hash(JsonSerializer.SerializeToElement(whole["record"]!["content"]));
        File.WriteAllText(file, whole.ToJsonString());
        Assert.Equal($"{file}: more_inputs holds null: it is no run of an experiment", Assert.Single(bench.Log.Read().Faults));
    }

    /// <summary>Whatever is done to a file, reading it ends in the run or in one line.</summary>
    [Fact]
    public void Mutated_files_are_read_or_refused()
    {
        const int Times = 2000;
        Bench bench = Logged(1);
        string file = Assert.Single(Directory.GetFiles(Path.Combine(Folder.Path, "Logged")));
        byte[] whole = File.ReadAllBytes(file);
        var random = new Random(5);
        int refused = 0;
        for (int i = 0; i < Times; i++)
        {
            byte[] bytes = [.. whole];
            for (int changes = random.Next(1, 4); changes > 0; changes--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(file, random.Next(4) == 0 ? bytes[..random.Next(bytes.Length)] : bytes);
            ExperimentListing listing = bench.Log.Read();
            Assert.Equal(1, listing.Runs.Count + listing.Faults.Count);
            Assert.All(listing.Faults, fault => Assert.DoesNotContain('\n', fault));
            refused += listing.Faults.Count;
        }

        // Nearly every change is of the content, and so of its hash; what is not (white space, the time) may pass, and some does.
        Assert.InRange(refused, Times / 2, Times - 1);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"format":"arrakis-experiment/1"}""")]
    [InlineData("""{"format":"arrakis-experiment/1","record":null}""")]
    [InlineData("""{"format":"arrakis-experiment/1","record":{"content":{}}}""")]
    [InlineData("""{"format":"arrakis-experiment/1","format":"arrakis-experiment/1"}""")]
    [InlineData("""{"format":"\ud800"}""")]
    [InlineData("")]
    public void Files_that_are_none_are_refused_in_one_line(string text)
    {
        Directory.CreateDirectory(Folder.File("Logged"));
        string file = Folder.Write("Logged/file.json", text);
        ExperimentListing listing = new ExperimentLog(Folder.Path).Read();
        Assert.Empty(listing.Runs);
        string fault = Assert.Single(listing.Faults);
        Assert.StartsWith(file + ": ", fault);
        Assert.DoesNotContain('\n', fault);
    }

    [Fact]
    public void Versions_that_there_are_not_and_prefixes_of_several_are_refused()
    {
        Bench bench = Logged(20);
        string[] versions = [.. bench.ListVersions("Logged")];
        char shared = versions.GroupBy(version => version[0]).First(group => group.Count() > 1).Key;
        Assert.Equal("there is no version 'xyz': list shows those that there are", Refused(() => bench.GetVersion("xyz")));
        Assert.Equal("there is no version ' ': list shows those that there are", Refused(() => bench.GetVersion(" ")));
        Assert.Matches($"^[0-9]+ versions begin with '{shared}': use more digits, such as {shared}[0-9a-f]{{11}} or {shared}[0-9a-f]{{11}}$", Refused(() => bench.GetVersion($"{shared}")));
        string nowhere = Folder.File("nowhere");
        Assert.Equal($"there is no folder {nowhere}: name one that experiments were saved in", Refused(() => new ExperimentLog(nowhere).Read()));
    }

    private Bench Logged(int runs)
    {
        var bench = new Bench(Model, Folder.Path);
        for (int i = 0; i < runs; i++)
            bench.LogExperiment(new JsonObject { ["i"] = i }, _ => new JsonObject { ["square"] = i * i }, experiment: "Logged");
        return bench;
    }

    private static string Refused(Func<object> call) => Assert.Throws<ArrakisException>(call).Message;

    private static Process Start(params string[] args) =>
        Process.Start(new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, .. args]) { RedirectStandardError = true })!;

    private static async Task Ends(Process process, int code)
    {
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == code, $"exit code {process.ExitCode}: {error}");
    }
}
