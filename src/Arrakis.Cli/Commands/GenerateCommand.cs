using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Arrakis.Cli.Views;
using Arrakis.Native;
using Arrakis.Text;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis generate</c>: continues the input.</summary>
internal sealed class GenerateCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<int> _count = OptionOf.Integer("-n", "Tokens to generate", standard: 32);
    private readonly Option<double> _temperature = OptionOf.Number("--temperature", "0 is greedy", 0, value => value >= 0 && double.IsFinite(value), "0 (greedy) or more");
    private readonly Option<double> _topP = OptionOf.Number(
        "--top-p", "Draw from the likeliest tokens that make up this much", 1, value => value is > 0 and <= 1, "a share above 0, up to 1");

    public GenerateCommand(Terminal terminal, Input input)
        : base("generate", "Continue the input")
    {
        (_terminal, _input) = (terminal, input);
        input.AddTo(this);
        foreach (Option option in new Option[] { _count, _temperature, _topP })
            Add(option);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        int count = call.GetValue(_count);
        double temperature = call.GetValue(_temperature), topP = call.GetValue(_topP);
        using LlamaModel model = _input.OpenModel(call);
        int[] prompt = _input.ReadIds(call, model.Config);
        // The last token is not read again, so it needs no room.
        int room = model.Config.MaxPositionEmbeddings - prompt.Length + 1;
        if (room > 0 && count > room)
            throw new ArrakisException(
                $"-n is {count}: behind the {View.Count(prompt.Length, "token")} of the input this model's context of {model.Config.MaxPositionEmbeddings} has room for {room}: use that or fewer");
        bool json = call.GetValue(_input.Json);
        Tokenizer? tokenizer = _input.Tokens(call).Tokenizer;
        using LlamaSession session = model.CreateSession(RecordingPlan.None, _input.Session(call));
        var random = new Random(call.GetValue(_input.Seed));
        var ids = new List<int>();
        long start = Stopwatch.GetTimestamp();
        ReadOnlySpan<float> logits = _terminal.Forward(session, prompt);
        // Where there is text, it comes as it is made; the document comes whole.
        using var text = new GeneratedText(tokenizer, json ? null : _terminal, prompt);
        while (ids.Count < count && !(ids.Count > 0 && model.Config.EosTokenIds.Contains(ids[^1])))
        {
            int next = Sampling.Next(logits, temperature, topP, random);
            ids.Add(next);
            text.Add(next);
            if (ids.Count < count)
                logits = session.Append([next], _terminal.Cancellation);
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        string? said = text.End();
        if (!json && tokenizer is not null)
        {
            if (_terminal.IsTerminal)
                _terminal.Note(Figures.Invariant($"{View.Count(ids.Count, "token")}, {ids.Count / seconds:0.0} tokens/s"));
            return;
        }

        PlainView.Write(_terminal, json, new JsonObject
        {
            ["prompt_ids"] = Json.Numbers(prompt),
            ["ids"] = Json.Numbers(ids),
            ["text"] = said,
            ["seconds"] = seconds,
            ["tokens_per_second"] = ids.Count / seconds,
        });
    }
}
