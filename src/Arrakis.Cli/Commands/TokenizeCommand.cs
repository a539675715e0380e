using System.CommandLine;
using System.Text.Json.Nodes;
using Arrakis.Cli.Views;
using Spectre.Console;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis tokenize</c>: the ids and pieces of a text, or the pieces of ids; needs no weights.</summary>
internal sealed class TokenizeCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;

    public TokenizeCommand(Terminal terminal, Input input)
        : base("tokenize", "The ids and pieces of --text, or the pieces of --ids; needs no weights")
    {
        (_terminal, _input) = (terminal, input);
        foreach (Option option in new Option[] { input.Model, input.Tokenizer, input.Text, input.NoBos, input.Ids, input.IdsFile, input.Json })
            Add(option);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        Tokens tokens = _input.NeededTokens(call);
        // The ends of nothing are nothing.
        int[] ids = call.GetValue(_input.Text) is "" ? [] : _input.ReadIds(call, config: null);
        if (call.GetValue(_input.Json))
        {
            _terminal.Write(new JsonObject { ["ids"] = Json.Numbers(ids), ["tokens"] = tokens.Of(ids) });
            return;
        }

        Table table = View.Table("position", "id", "<token");
        for (int t = 0; t < ids.Length; t++)
            table.Row(false, Figures.Invariant($"{t}"), Figures.Invariant($"{ids[t]}"), tokens[ids[t]] is string piece ? Tokens.Shown(piece) : "");
        if (ids.Length > 0)
            _terminal.Write(table);
        _terminal.Line(Figures.Invariant($"{View.Count(ids.Length, "token")} of a vocabulary of {Figures.Whole(tokens.Tokenizer!.VocabSize)}."));
    }
}
