using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Experiments.Tests;

/// <summary>The example that the project grew out of, line for line: in Python it derives a bench, asks for <c>write_read</c>, and returns write and read heads.</summary>
public sealed class SeedExampleTests
{
    [Fact]
    public void The_example_runs_and_is_logged()
    {
        using var folder = new TemporaryFolder();
        string saveDir = folder.File("experiments");

        var config = new HookedAutoConfig(name: "llama");                       // keep default values for other args
        using var model = new HookedAutoModel(config);

        int[] inputIds = RandomIds(0, 50256, 50);                               // generate some random tokens (replace with your ids)
        model.Forward(inputIds);

        var exp = new MIExperiment(model, saveDir);                             // create an `exp` object
        JsonObject result = exp.TestReadWrite(srcIdx: 0);                       // one such example; change as needed

        var heads = new ReadWriteHeads(model.Model, model.Cache);
        Assert.Equal(heads.IdentifyWriteHeads(0).Select(head => head.Head), HeadsOf(result, "write_heads"));
        Assert.Equal(heads.IdentifyReadHeads(1, dimIdx: 0).Select(head => head.Head), HeadsOf(result, "read_heads"));

        string version = Assert.Single(exp.ListVersions("TestReadWrite"));
        ExperimentRecord record = exp.GetVersion(version);
        ExperimentContent content = record.Content;
        Assert.True(JsonNode.DeepEquals(result, content.Result));
        Assert.Equal(0, (int)content.Arguments["src_idx"]!);
        Assert.Equal(["write_read"], content.Tools);
        Assert.Equal(inputIds, content.Input);
        Assert.Equal(("llama", 0ul, model.Hash), (record.Model, record.ModelSeed, content.ModelHash));
        Assert.Equal(("SeedExampleTests.cs", "MIExperiment.TestReadWrite"), (content.Source.File, content.Source.Member));
        Assert.Contains("IdentifyReadHeads(1, dimIdx: srcIdx)", content.Source.Text, StringComparison.Ordinal);
        Assert.Null(content.Failure);
        Assert.InRange(record.Time, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow);
        string file = Assert.Single(Directory.GetFiles(Path.Combine(saveDir, "TestReadWrite")));
        Assert.DoesNotContain(AppContext.BaseDirectory, File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Fact]
    public void The_defaults_have_room_for_the_example_s_ids()
    {
        LlamaConfig config = new HookedAutoConfig("llama").ToLlamaConfig();
        Assert.Equal((50256, 64, 172, 4, 8, 8, 8), (
            config.VocabSize, config.HiddenSize, config.IntermediateSize, config.NumHiddenLayers, config.NumAttentionHeads, config.NumKeyValueHeads, config.HeadDim));
        // The walkthrough's own sizes.
        LlamaConfig small = (new HookedAutoConfig("llama") with { HiddenSize = 8, IntermediateSize = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2 }).ToLlamaConfig();
        Assert.Equal((8, 2, 4, 2, 2), (small.HiddenSize, small.IntermediateSize, small.NumAttentionHeads, small.NumKeyValueHeads, small.HeadDim));
    }

    [Fact]
    public void Other_names_and_impossible_sizes_are_refused()
    {
        Refused("'gpt2' is not an architecture that is supported: use llama", () => new HookedAutoConfig("gpt2"));
        Refused(
            "hidden_size 64 is not a multiple of num_attention_heads 7: set HeadDim, or other sizes",
            () => new HookedAutoModel(new HookedAutoConfig("llama") { NumAttentionHeads = 7 }));
        Refused("head_dim 1 is odd, and rotation takes elements in pairs", () => new HookedAutoModel(new HookedAutoConfig("llama") { NumAttentionHeads = 64 }));
    }

    [Fact]
    public void The_bench_is_the_one_in_the_README()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "README.md")))
            root = Path.GetDirectoryName(root) ?? throw new InvalidOperationException("README.md is not above the tests");
        string readme = File.ReadAllText(Path.Combine(root, "README.md")).ReplaceLineEndings("\n");
        string here = File.ReadAllText(Path.Combine(root, "tests/Arrakis.Experiments.Tests/SeedExampleTests.cs")).ReplaceLineEndings("\n");
        string[] bench = here.Split(["// README begins\n", "// README ends\n"], StringSplitOptions.None);
        Assert.Contains("```csharp\n" + bench[^2] + "```", readme, StringComparison.Ordinal);
    }

    private static void Refused(string message, Func<object> make) => Assert.Equal(message, Assert.Throws<ArrakisException>(make).Message);

    private static IEnumerable<int> HeadsOf(JsonObject result, string key) => result[key]!.AsArray().Select(head => (int)head!["head"]!);

    private static int[] RandomIds(int low, int high, int count)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(low, high))];
    }
}

// Derive from InterpretabilityBench.
// README begins
public sealed class MIExperiment(HookedAutoModel model, string saveDir = "experiments") : InterpretabilityBench(model, saveDir)
{
    public JsonObject TestReadWrite(int srcIdx) => LogExperiment(new() { ["src_idx"] = srcIdx }, run =>
    {
        var writeRead = run.UseTool<ReadWriteHeads>("write_read");              // the tool name to be used
        var writeHeads = writeRead.IdentifyWriteHeads(0);                       // example layer
        var readHeads = writeRead.IdentifyReadHeads(1, dimIdx: srcIdx);         // example layer
        return new JsonObject
        {
            ["write_heads"] = writeHeads.ToJson(),
            ["read_heads"] = readHeads.ToJson(),
        };
    });
}
// README ends
