using System.CommandLine;
using System.Globalization;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis</c> alone: the story of one prompt.</summary>
internal sealed class StoryAction(Terminal terminal, Input input)
{
    public void Run(ParseResult call)
    {
        bool json = call.GetValue(input.Json), isGiven = input.IsGiven(call);
        using LlamaModel model = input.OpenModel(call);
        Tokens tokens = input.Tokens(call);
        int[] ids = isGiven ? input.ReadIds(call, model.Config) : Story.DefaultPrompt(model.Config, tokens, call.GetValue(input.Seed));
        Story story = terminal.Work("analysis", _ => Story.Measure(model, ids, tokens, input.Session(call), input.Analysis(call), terminal.Cancellation));
        if (json)
            terminal.Write(StoryView.Document(story, isGiven));
        else
            StoryView.Tables(terminal, story, isGiven, Again(call, isGiven, ids));
    }

    /// <summary>The options that name this model and this input once more.</summary>
    private string Again(ParseResult call, bool isGiven, int[] ids)
    {
        string model = call.GetValue(input.Model) is { } path ? $"--model {Quoted(path)} " : "";
        if (call.GetValue(input.Tokenizer) is { } tokenizer)
            model += $"--tokenizer {Quoted(tokenizer)} ";
        if (call.GetValue(input.Text) is { } text)
            return $"{model}--text {Quoted(text)}{(call.GetValue(input.NoBos) ? " --no-bos" : "")}";
        if (isGiven && call.GetValue(input.IdsFile) is { } file)
            return $"{model}--ids-file {Quoted(file)}";
        if (isGiven && call.GetValue(input.Random) is { } count)
            return string.Create(CultureInfo.InvariantCulture, $"{model}--random {count} --seed {call.GetValue(input.Seed)}");
        return $"{model}--ids {string.Join(',', ids)}";
    }

    /// <summary>A word as a shell takes it.</summary>
    private static string Quoted(string word) =>
        word.Length > 0 && word.All(c => char.IsLetterOrDigit(c) || "/\\.:_-+@%".Contains(c)) ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
