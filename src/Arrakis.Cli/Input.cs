using System.CommandLine;
using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Cli;

/// <summary>The options that say which model and which tokens, and how to run; shared by every command that runs one.</summary>
internal sealed class Input(Terminal terminal)
{
    private readonly List<Option<string[]>> _otherTexts = [];
    private Tokens? _tokens;

    public Option<string?> Model { get; } = new("--model")
    {
        Description = $"A folder with config.json and safetensors, a .gguf file, a llama2.c .bin file, or a bundled model's name: {Bundled.Listed} [default: {Bundled.Default}]",
        HelpName = "PATH",
    };

    public Option<string?> Text { get; } = new("--text") { Description = "A text, in the tokens of the model's own tokenizer", HelpName = "TEXT" };

    public Option<bool> NoBos { get; } = new("--no-bos") { Description = "Without the tokens that the tokenizer puts before and after a text" };

    public Option<string?> Tokenizer { get; } = new("--tokenizer")
    {
        Description = "Another tokenizer: a model that has one, a tokenizer.json or .model, or llama2.c's tok*.bin",
        HelpName = "PATH",
    };

    public Option<string?> Ids { get; } = new("--ids") { Description = "Token ids, as 1,2,3", HelpName = "LIST" };

    public Option<string?> IdsFile { get; } = new("--ids-file") { Description = "A file of token ids, separated by commas or white space", HelpName = "FILE" };

    public Option<int?> Random { get; } = OptionOf.OptionalInteger("--random", "This many random token ids", least: 1);

    public Option<int> Seed { get; } = OptionOf.Integer("--seed", "The seed of random choices", standard: 0, least: int.MinValue);

    public Option<int> Threads { get; } = OptionOf.Integer("--threads", "Threads; 0 for all cores", standard: 0, most: WorkerTeam.Most);

    public Option<KernelTier?> Kernels { get; } = OptionOf.Choice(
        "--kernels", "Which instructions",
        ("auto", KernelTier.Auto), ("scalar", KernelTier.Scalar), ("vector", KernelTier.Vector), ("avx2", KernelTier.Avx2), ("avx512", KernelTier.Avx512));

    public Option<bool> Json { get; } = new("--json") { Description = "One JSON document on standard output" };

    /// <summary>Gives a command all of them.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { Model, Text, NoBos, Tokenizer, Ids, IdsFile, Random, Seed, Threads, Kernels, Json })
            command.Add(option);
    }

    /// <summary>Knows of an option by which a command takes texts beside the input.</summary>
    public void AlsoTexts(Option<string[]> option) => _otherTexts.Add(option);

    /// <summary>Whether any input is given.</summary>
    public bool IsGiven(ParseResult call) =>
        call.GetValue(Text) is not null || call.GetValue(Ids) is not null || call.GetValue(IdsFile) is not null || call.GetValue(Random) is not null;

    /// <summary>Says that the input makes no difference, where one is given.</summary>
    public void WarnIfGiven(ParseResult call, Terminal terminal, string because)
    {
        if (IsGiven(call))
            terminal.Warn($"{because} looks at the weights alone: the input is not used");
    }

    /// <summary>Refuses, before anything runs, to write where nothing can be written, or over what the call itself reads.</summary>
    public void CheckPlaces(ParseResult call, params (string Option, string? Place)[] places)
    {
        IEnumerable<string> read = Places.OfModel(Bundled.PathOf(call.GetValue(Model)));
        if (call.GetValue(Tokenizer) is { } tokenizer)
            read = read.Concat(Places.OfModel(tokenizer));
        if (call.GetValue(IdsFile) is { } ids)
            read = read.Append(ids);
        Places.Check(places, read.Where(path => path.Length > 0));
    }

    /// <summary>Opens the model.</summary>
    public LlamaModel OpenModel(ParseResult call) => terminal.Work("loading", _ => Bundled.Open(call.GetValue(Model)));

    /// <summary>What the model's tokens stand for. A tokenizer that cannot be used is no reason to fail where only ids are given: it is said, and ids are shown.</summary>
    public Tokens Tokens(ParseResult call)
    {
        if (_tokens is not null)
            return _tokens;
        if (call.GetValue(Text) is not null || call.GetValue(Tokenizer) is not null)
            return NeededTokens(call);
        try
        {
            return _tokens = new Tokens(terminal.Work("tokenizer", _ => Arrakis.Text.Tokenizer.OpenIfAny(Bundled.PathOf(call.GetValue(Model)))));
        }
        catch (ModelFormatException e)
        {
            terminal.Warn($"tokens are shown as ids: {e.Message}");
            return _tokens = Cli.Tokens.None;
        }
    }

    /// <summary>The same where there must be a tokenizer.</summary>
    public Tokens NeededTokens(ParseResult call)
    {
        if (_tokens?.Tokenizer is not null)
            return _tokens;
        if (call.GetValue(Tokenizer) is string path)
            return _tokens = new Tokens(terminal.Work("tokenizer", _ => Arrakis.Text.Tokenizer.Open(path)));
        try
        {
            return _tokens = new Tokens(terminal.Work("tokenizer", _ => Arrakis.Text.Tokenizer.Open(Bundled.PathOf(call.GetValue(Model)))));
        }
        catch (ModelFormatException e)
        {
            throw new ArrakisException($"{e.Message}: name another with --tokenizer PATH", e);
        }
    }

    public SessionOptions Session(ParseResult call) => new() { Threads = call.GetValue(Threads), Kernels = call.GetValue(Kernels) ?? KernelTier.Auto };

    public AnalysisOptions Analysis(ParseResult call) => new() { Threads = call.GetValue(Threads), Kernels = call.GetValue(Kernels) ?? KernelTier.Auto };

    /// <summary>Refuses a call that gives no input, or several.</summary>
    public void RequireOne(ParseResult call)
    {
        if (new object?[] { call.GetValue(Text), call.GetValue(Ids), call.GetValue(IdsFile), call.GetValue(Random) }.Count(given => given is not null) != 1)
        {
            throw new UsageException(
                IsGiven(call) ? "several inputs: give one of --text, --ids, --ids-file and --random" : "no input: give --text TEXT, --ids 1,2,3, --ids-file FILE or --random N");
        }
    }

    /// <summary>The input's token ids, for a model.</summary>
    public int[] ReadIds(ParseResult call, LlamaConfig config) => ReadIds(call, config.VocabSize, config.MaxPositionEmbeddings, warns: true);

    /// <summary>The input's token ids.</summary>
    /// <param name="call">The call.</param>
    /// <param name="vocabulary">Random ones are below this.</param>
    /// <param name="room">How many random ones there may be.</param>
    /// <param name="warns">Whether it is said that some tokens of a text stand for what the tokenizer does not know.</param>
    public int[] ReadIds(ParseResult call, int vocabulary, int room, bool warns = false)
    {
        RequireOne(call);
        string? text = call.GetValue(Text), list = call.GetValue(Ids), file = call.GetValue(IdsFile);
        if (text is null && call.GetValue(NoBos) && !_otherTexts.Exists(option => call.GetResult(option) is not null))
            throw new UsageException("--no-bos goes with --text: ids are taken as they are");
        if (text is not null)
            return Encode(call, text, "--text", warns);
        if (list is not null)
            return ReadList(list, "--ids");
        if (file is not null)
            return Parse(ReadFile(file), fault => new ArrakisException($"{file} {fault}: a file of ids holds whole numbers, separated by commas or white space"));
        int count = call.GetValue(Random)!.Value;
        if (count > room)
            throw new ArrakisException($"--random is {count}: this model has room for {room} tokens");
        var random = new Random(call.GetValue(Seed));
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
    }

    /// <summary>Token ids that an option gives as 1,2,3.</summary>
    public static int[] ReadList(string list, string option) => Parse(list, fault => new UsageException($"{option} {fault}: use token ids such as 1,2,3"));

    /// <summary>The tokens of a text that an option gives.</summary>
    /// <param name="call">The call.</param>
    /// <param name="text">The text.</param>
    /// <param name="option">The option's name.</param>
    /// <param name="warns">Whether it is said that some of them stand for what the tokenizer does not know.</param>
    public int[] Encode(ParseResult call, string text, string option, bool warns = true)
    {
        Tokens tokens = NeededTokens(call);
        int[] ids = tokens.Tokenizer!.Encode(text, bos: !call.GetValue(NoBos));
        if (ids.Length == 0)
            throw new ArrakisException($"{option} is empty, and nothing is put before it: give at least one character");
        if (warns && tokens.Tokenizer.UnknownTokenId is { } unknown && ids.Count(id => id == unknown) is > 0 and int count)
        {
            string are = Figures.Invariant($"{count} of {View.Count(ids.Length, "token")} of {option} {(count == 1 ? "is" : "are")} {tokens.Name(unknown)}");
            terminal.Warn($"{are}, for what is not in the vocabulary: the model knows nothing of it (arrakis tokenize shows which)");
        }

        return ids;
    }

    private string ReadFile(string path)
    {
        if (Directory.Exists(path))
            throw new ArrakisException($"cannot read {path}: it is a folder; name a file of ids");
        try
        {
            // A pipe may never be written to: waiting for it is broken off.
            return Task.Run(() => File.ReadAllText(path)).WaitAsync(terminal.Cancellation).GetAwaiter().GetResult();
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
                throw refusal($"holds '{Said.Name(parts[i])}'");
        }

        return ids;
    }
}
