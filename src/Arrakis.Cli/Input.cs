using System.CommandLine;
using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The options that say which model and which tokens, and how to run; shared by every command that runs one.</summary>
internal sealed class Input
{
    public Option<string?> Model { get; } = new("--model") { Description = "A folder with config.json and safetensors, a .gguf file, a llama2.c .bin file, or a bundled model's name", HelpName = "PATH" };

    public Option<string?> Ids { get; } = new("--ids") { Description = "Token ids, as 1,2,3", HelpName = "LIST" };

    public Option<string?> IdsFile { get; } = new("--ids-file") { Description = "A file of token ids, separated by commas or white space", HelpName = "FILE" };

    public Option<int?> Random { get; } = OptionOf.OptionalInteger("--random", "This many random token ids", least: 1);

    public Option<int> Seed { get; } = OptionOf.Integer("--seed", "The seed of random choices", standard: 0, least: int.MinValue);

    public Option<int> Threads { get; } = OptionOf.Integer("--threads", "Threads; 0 for all cores", standard: 0);

    public Option<KernelTier?> Kernels { get; } = OptionOf.Choice(
        "--kernels", "Which instructions",
        ("auto", KernelTier.Auto), ("scalar", KernelTier.Scalar), ("vector", KernelTier.Vector), ("avx2", KernelTier.Avx2), ("avx512", KernelTier.Avx512));

    public Option<bool> Json { get; } = new("--json") { Description = "One JSON document on standard output" };

    /// <summary>Gives a command all of them.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { Model, Ids, IdsFile, Random, Seed, Threads, Kernels, Json })
            command.Add(option);
    }

    /// <summary>Whether any input is given.</summary>
    public bool IsGiven(ParseResult call) => call.GetValue(Ids) is not null || call.GetValue(IdsFile) is not null || call.GetValue(Random) is not null;

    /// <summary>Says that the input makes no difference, where one is given.</summary>
    public void WarnIfGiven(ParseResult call, Terminal terminal, string because)
    {
        if (IsGiven(call))
            terminal.Warn($"{because} looks at the weights alone: the input is not used");
    }

    public LlamaModel OpenModel(ParseResult call) => Bundled.Open(call.GetValue(Model));

    public SessionOptions Session(ParseResult call) => new() { Threads = call.GetValue(Threads), Kernels = call.GetValue(Kernels) ?? KernelTier.Auto };

    public AnalysisOptions Analysis(ParseResult call) => new() { Threads = call.GetValue(Threads), Kernels = call.GetValue(Kernels) ?? KernelTier.Auto };

    public int[] ReadIds(ParseResult call, LlamaConfig config)
    {
        string? list = call.GetValue(Ids), file = call.GetValue(IdsFile);
        int? count = call.GetValue(Random);
        if ((list is null ? 0 : 1) + (file is null ? 0 : 1) + (count is null ? 0 : 1) != 1)
        {
            throw new UsageException(
                IsGiven(call) ? "several inputs: give one of --ids, --ids-file and --random" : "no input: give --ids 1,2,3, --ids-file FILE or --random N");
        }

        if (list is not null)
            return ReadList(list, "--ids");
        if (file is not null)
            return Parse(ReadFile(file), fault => new ArrakisException($"{file} {fault}: a file of ids holds whole numbers, separated by commas or white space"));
        if (count > config.MaxPositionEmbeddings)
            throw new ArrakisException($"--random is {count}: this model has room for {config.MaxPositionEmbeddings} tokens");
        var random = new Random(call.GetValue(Seed));
        return [.. Enumerable.Range(0, count!.Value).Select(_ => random.Next(config.VocabSize))];
    }

    /// <summary>Token ids that an option gives as 1,2,3.</summary>
    public static int[] ReadList(string list, string option) => Parse(list, fault => new UsageException($"{option} {fault}: use token ids such as 1,2,3"));

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

    private static int[] Parse(string list, Func<string, Exception> refusal)
    {
        string[] parts = list.Split([',', ' ', '\t', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0)
            throw refusal("holds no token id");
        int[] ids = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out ids[i]))
                throw refusal($"holds '{parts[i]}'");
        }

        return ids;
    }
}
