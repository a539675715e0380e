using System.CommandLine;
using System.Text.Json.Nodes;
using Arrakis.Cli.Views;
using Arrakis.Native;
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
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        _input.RequireOne(call);
        Tokens tokens = _input.NeededTokens(call);
        int size = tokens.Tokenizer!.VocabSize;
        // The ends of nothing are nothing.
        int[] ids = call.GetValue(_input.Text) is "" ? [] : _input.ReadIds(call, size, room: int.MaxValue);
        int beyond = Array.FindIndex(ids, id => (uint)id >= (uint)size);
        if (beyond >= 0)
            throw new ArrakisException($"token id {ids[beyond]} at position {beyond} is outside the tokenizer's vocabulary: use 0 to {size - 1}");
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
        _terminal.Line(Figures.Invariant($"{View.Count(ids.Length, "token")} of a vocabulary of {Figures.Whole(size)}."));
    }
}
