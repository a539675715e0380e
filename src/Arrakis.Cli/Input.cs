using System.CommandLine;
using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The options that say which model and which tokens, and how to run; shared by every command that runs one.</summary>
internal static class Input
{
    public static readonly Option<string?> Model = new("--model") { Description = "A folder with config.json and safetensors, a .gguf file, or a llama2.c .bin file" };
    public static readonly Option<string?> Ids = new("--ids") { Description = "Token ids, as 1,2,3" };
    public static readonly Option<string?> IdsFile = new("--ids-file") { Description = "A file of token ids, separated by commas or white space" };
    public static readonly Option<int?> Random = new("--random") { Description = "This many random token ids" };
    public static readonly Option<int> Seed = new("--seed") { Description = "The seed of random choices" };
    public static readonly Option<int> Threads = new("--threads") { Description = "Threads; all cores if left out" };
    public static readonly Option<string> Kernels = new("--kernels") { Description = "auto, scalar, vector, avx2 or avx512", DefaultValueFactory = _ => "auto" };
    public static readonly Option<bool> Json = new("--json") { Description = "One JSON document on standard output" };

    // Until the project ships weights of its own, a model is made on the spot.
    private static readonly LlamaConfig s_small = new()
    {
        HiddenSize = 64,
        IntermediateSize = 172,
        NumHiddenLayers = 4,
        NumAttentionHeads = 8,
        NumKeyValueHeads = 4,
        HeadDim = 8,
        VocabSize = 512,
        TieWordEmbeddings = true,
    };

    public static LlamaModel OpenModel(ParseResult call)
    {
        if (call.GetValue(Model) is { } path)
            return LlamaModel.Load(path);
        Console.Error.WriteLine("arrakis: no --model: running a small random model made on the spot (4 layers, 8 heads, vocabulary 512)");
        return LlamaModel.CreateRandom(s_small, seed: 1);
    }

    public static SessionOptions Session(ParseResult call)
    {
        int threads = call.GetValue(Threads);
        if (threads < 0)
            throw new UsageException($"--threads is {threads}: use 1 or more");
        if (!KernelTiers.TryParse(call.GetValue(Kernels)!, out KernelTier tier))
            throw new UsageException($"--kernels is '{call.GetValue(Kernels)}': use auto, scalar, vector, avx2 or avx512");
        return new SessionOptions { Threads = threads, Kernels = tier };
    }

    public static int[] ReadIds(ParseResult call, LlamaConfig config)
    {
        int given = (call.GetValue(Ids) is null ? 0 : 1) + (call.GetValue(IdsFile) is null ? 0 : 1) + (call.GetValue(Random) is null ? 0 : 1);
        if (given > 1)
            throw new UsageException("several inputs: give one of --ids, --ids-file and --random");
        if (call.GetValue(Ids) is { } list)
            return Parse(list, "--ids");
        if (call.GetValue(IdsFile) is { } file)
            return Parse(ReadFile(file), file);
        int count = call.GetValue(Random) ?? 0;
        if (count < 1 || count > config.MaxPositionEmbeddings)
            throw new UsageException(given == 0 ? "no input: give --ids 1,2,3, --ids-file FILE or --random N" : $"--random is {count}: use 1 to {config.MaxPositionEmbeddings}");
        var random = new Random(call.GetValue(Seed));
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(config.VocabSize))];
    }

    private static string ReadFile(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ArrakisException($"cannot read {path}: {e.Message}", e);
        }
    }

    private static int[] Parse(string list, string origin)
    {
        string[] parts = list.Split([',', ' ', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries);
        var ids = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out ids[i]))
                throw new UsageException($"{origin}: '{parts[i]}' is not a token id");
        }

        return ids;
    }
}
