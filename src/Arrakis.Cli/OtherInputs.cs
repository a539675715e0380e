using System.CommandLine;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The options that name inputs beside the one that a command runs on: as token ids, or as a text.</summary>
internal sealed class OtherInputs
{
    private readonly Input _input;
    private readonly Option<string[]> _lists, _texts;

    /// <param name="input">Whose tokenizer reads the texts.</param>
    /// <param name="name">What the ids are given by; a text by this and <c>-text</c>.</param>
    /// <param name="description">What such an input is for.</param>
    /// <param name="more">What else is to be said.</param>
    public OtherInputs(Input input, string name, string description, string more = "")
    {
        _input = input;
        _lists = new(name) { Description = $"{description}, as 1,2,3{more}", HelpName = "LIST" };
        _texts = new(name + "-text") { Description = "... or as a text, in the tokens of the model's own tokenizer", HelpName = "TEXT" };
        input.AlsoTexts(_texts);
    }

    private string Both => $"{_lists.Name} 1,2,3 or {_texts.Name} TEXT";

    public void AddTo(Command command)
    {
        command.Add(_lists);
        command.Add(_texts);
    }

    /// <summary>How many are given.</summary>
    public int Count(ParseResult call) => Lists(call).Length + Texts(call).Length;

    /// <summary>Refuses a call that does not give exactly one.</summary>
    public void RequireOne(ParseResult call)
    {
        int count = Count(call);
        if (count != 1)
            throw new UsageException(count == 0 ? $"no {_lists.Name}: give {Both}" : $"several of {_lists.Name} and {_texts.Name}: give one, {Both}");
    }

    /// <summary>The token ids of each: those given as ids first.</summary>
    /// <param name="call">The call.</param>
    /// <param name="asLongAs">The length that they must have; null for any.</param>
    public int[][] Read(ParseResult call, int? asLongAs)
    {
        return [
            .. Lists(call).Select(list => Fitting(_lists.Name, Input.ReadList(list, _lists.Name))),
            .. Texts(call).Select(text => Fitting(_texts.Name, _input.Encode(call, text, _texts.Name))),
        ];

        int[] Fitting(string option, int[] ids) => asLongAs is not { } length || ids.Length == length
            ? ids
            : throw new ArrakisException(
                $"{option} is {View.Count(ids.Length, "token")} long and the input {length}: they are compared position by position, give one of {length} (arrakis tokenize shows a text's)");
    }

    private string[] Lists(ParseResult call) => call.GetValue(_lists) ?? [];

    private string[] Texts(ParseResult call) => call.GetValue(_texts) ?? [];
}
