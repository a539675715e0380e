using Arrakis.Native.Weights;

namespace Arrakis.Text.Steps;

/// <summary>What a step looks for: <c>{"String": …}</c> or <c>{"Regex": …}</c>.</summary>
internal sealed class TextPattern
{
    public const string Supported = "a string, or a regular expression of ASCII, Unicode categories, plain classes, groups and repetitions";

    private readonly string _text = "";
    private readonly TokenPattern? _pattern;

    private TextPattern(string text) => _text = text;

    private TextPattern(TokenPattern pattern) => _pattern = pattern;

    /// <summary>Plain text.</summary>
    public static TextPattern Of(string text) => new(text);

    /// <summary>Reads <c>pattern</c>; null where it is missing or not supported.</summary>
    public static TextPattern? Read(JsonFields json)
    {
        if (!json.IsObject("pattern"))
            return json.OptionalText("pattern") is string plain ? new TextPattern(plain) : null;
        JsonFields pattern = json.OptionalObject("pattern")!;
        if (pattern.OptionalText("String") is string text)
            return new TextPattern(text);
        return pattern.OptionalText("Regex") is string regex && TokenPattern.Read(regex) is TokenPattern read ? new TextPattern(read) : null;
    }

    /// <summary>The text that is looked for, or null where it is a regular expression.</summary>
    public string? Text => _pattern is null ? _text : null;

    /// <summary>Where it stands, leftmost first, none within another.</summary>
    public List<(int Start, int End)> Matches(string text)
    {
        if (_pattern is not null)
            return _pattern.Matches(text);
        var matches = new List<(int, int)>();
        int at = 0;
        while (_text.Length > 0 && (at = text.IndexOf(_text, at, StringComparison.Ordinal)) >= 0)
        {
            matches.Add((at, at + _text.Length));
            at += _text.Length;
        }

        return matches;
    }
}
