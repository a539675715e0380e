using Arrakis.Native;

namespace Arrakis.Analysis.Tests;

/// <summary>The README's example, line for line: this file fails when the README's text and what compiles and runs here part.</summary>
public sealed class ReadmeTests
{
    [Fact]
    public void The_example_runs()
    {
        using var output = new StringWriter();
        Example(output);
        string[] lines = output.ToString().Split(output.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("head 3 looks from 5 to 2 with 0.", lines[0], StringComparison.Ordinal);
        Assert.Contains(lines, line => line.Contains(" writes ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains(" reads dimension 7", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("of what stands there; identity off by ", StringComparison.Ordinal));
        Assert.Matches("^1( -> .*)?   [+-]0\\.[0-9]{3}$", lines[^1]);
    }

    [Fact]
    public void The_example_is_the_one_in_the_README()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "README.md")))
            root = Path.GetDirectoryName(root) ?? throw new InvalidOperationException("README.md is not above the tests");
        string[] readme = Lines(File.ReadAllText(Path.Combine(root, "README.md")), "```csharp", "```");
        string[] here = Lines(File.ReadAllText(Path.Combine(root, "tests/Arrakis.Analysis.Tests/ReadmeTests.cs")), "// README begins", "// README ends");
        Assert.NotEmpty(readme);
        Assert.Equal(readme.Where(line => !line.StartsWith("using Arrakis.", StringComparison.Ordinal)), here);
        // 20 lines and no more, of which the usings are two.
        Assert.InRange(readme.Length, 2, 20);
    }

    // What differs in place, and only that: where the text goes.
    private static void Example(StringWriter Console)
    {
        // README begins
        var config = new LlamaConfig { HiddenSize = 64, IntermediateSize = 172, NumHiddenLayers = 2, NumAttentionHeads = 8, NumKeyValueHeads = 4, HeadDim = 8, VocabSize = 512 };
        using var model = LlamaModel.CreateRandom(config, seed: 1);             // or LlamaModel.Load("path/to/model")
        using var session = model.CreateSession(RecordingPlan.Flow);            // what to keep; its size is known before anything runs

        int[] ids = [1, 17, 4, 99, 17, 4];
        ReadOnlySpan<float> logits = session.Forward(ids);                      // of the last position
        var pattern = session.Cache[HookPoint.Pattern, layer: 1];               // [head, query, key]; TransformerLens' names work too
        Console.WriteLine($"head 3 looks from 5 to 2 with {pattern[3, 5, 2]:F3}");

        var heads = new ReadWriteHeads(model, session.Cache);
        foreach (HeadStrength head in heads.IdentifyWriteHeads(layerIdx: 0))    // strongest first, 0.8 of the layer's writing
            Console.WriteLine($"head {head.Head} writes {head.Strength:F3}");
        foreach (HeadStrength head in heads.IdentifyReadHeads(layerIdx: 1, dimIdx: 7))
            Console.WriteLine($"head {head.Head} reads dimension 7 with {head.Strength:F3}");

        FlowTrace flow = heads.TraceInformationFlow(ids, srcToken: 17, dstToken: 99);
        Console.WriteLine($"{flow.Total:P1} of what stands there; identity off by {flow.ConservationError:E1}");
        foreach (FlowPath path in flow.Paths)
            Console.WriteLine(path);                                            // 1 -> L0H3 -> 2 -> L1H5 -> 3   +0.214
        // README ends
        Assert.Equal(config.VocabSize, logits.Length);
    }

    private static string[] Lines(string text, string begin, string end)
    {
        string[] lines = text.Split('\n');
        int first = Array.FindIndex(lines, line => line.Trim() == begin) + 1;
        int last = Array.FindIndex(lines, first, line => line.Trim() == end);
        return [.. lines[first..last].Select(line => line.Trim()).Where(line => line.Length > 0)];
    }
}
