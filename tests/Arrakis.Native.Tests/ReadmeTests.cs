namespace Arrakis.Native.Tests;

/// <summary>The README's example, line for line: this file fails when the README's text and what compiles and runs here part.</summary>
public sealed class ReadmeTests
{
    [Fact]
    public void The_example_runs()
    {
        string folder = Directory.CreateTempSubdirectory("arrakis-").FullName;
        using var output = new StringWriter();
        try
        {
            Example(Path.Combine(folder, "cache.safetensors"), output);
            string[] lines = output.ToString().Split(output.NewLine, StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(3, lines.Length);
            Assert.EndsWith(" bytes", lines[0], StringComparison.Ordinal);
            Assert.StartsWith("head 3 looks from 5 to 2 with 0.", lines[1], StringComparison.Ordinal);
            Assert.Equal(1, ActivationCache.Load(Path.Combine(folder, "cache.safetensors")).Tokens);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_example_is_the_one_in_the_README()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "README.md")))
            root = Path.GetDirectoryName(root) ?? throw new InvalidOperationException("README.md is not above the tests");
        string[] readme = Lines(File.ReadAllText(Path.Combine(root, "README.md")), "```csharp", "```");
        string[] here = Lines(File.ReadAllText(Path.Combine(root, "tests/Arrakis.Native.Tests/ReadmeTests.cs")), "// README begins", "// README ends");
        Assert.NotEmpty(readme);
        Assert.Equal(readme.Where(line => line != "using Arrakis.Native;"), here);
    }

    // What differs in place, and only that: where the text goes, and the folder.
    private static void Example(string path, StringWriter Console)
    {
        // README begins
        var config = new LlamaConfig
        {
            HiddenSize = 64, IntermediateSize = 172, NumHiddenLayers = 2, NumAttentionHeads = 8, NumKeyValueHeads = 4, HeadDim = 8, VocabSize = 512,
        };
        using var model = LlamaModel.CreateRandom(config, seed: 1);             // or LlamaModel.Load("path/to/model")
        using var session = model.CreateSession(RecordingPlan.All);             // what to keep
        Console.WriteLine($"{RecordingPlan.All.GetBytes(config, tokens: 6)} bytes");   // known before anything runs

        int[] ids = [1, 17, 4, 99, 17, 4];
        ReadOnlySpan<float> logits = session.Forward(ids);                      // of the last position
        ActivationCache cache = session.Cache;

        var pattern = cache[HookPoint.Pattern, layer: 1];                       // [head, query, key]
        Console.WriteLine($"head 3 looks from 5 to 2 with {pattern[3, 5, 2]:F3}");
        var result = cache["blocks.0.attn.hook_result"];                        // TransformerLens' names work too
        Console.WriteLine($"head 7 writes {result[5, 7, 0]:F3} to dimension 0 at token 5");

        logits = session.Append([99]);                                          // go on, with the keys and values kept
        cache.Save(path);
        // README ends
        Assert.Equal(config.VocabSize, logits.Length);
    }

    private static string[] Lines(string text, string begin, string end)
    {
        string[] lines = text.Split('\n');
        int first = Array.FindIndex(lines, line => line.Trim() == begin) + 1;
        int last = Array.FindIndex(lines, first, line => line.Trim() == end);
        return [.. lines[first..last].Select(line => line.Trim().Replace("cache.Save(\"cache.safetensors\")", "cache.Save(path)", StringComparison.Ordinal)).Where(line => line.Length > 0)];
    }
}
