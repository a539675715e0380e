using System.Text;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Steps;

/// <summary>A piece of text on its way to the model, and whether it is how the whole text begins.</summary>
internal readonly record struct TextPiece(string Text, bool IsFirst);

/// <summary>Cuts one piece into smaller ones.</summary>
internal delegate IEnumerable<TextPiece> PreTokenizer(TextPiece piece);

/// <summary>The pre-tokenizers of a <c>tokenizer.json</c>; one that is not here is refused by name.</summary>
internal static class PreTokenizers
{
    private const string Supported =
        "\"ByteLevel\", \"Split\", \"Digits\", \"Metaspace\", \"Whitespace\", \"WhitespaceSplit\", \"Punctuation\", \"BertPreTokenizer\", \"CharDelimiterSplit\" and \"Sequence\"";

    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const string Llama3 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Qwen2 =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The names of <c>tokenizer.ggml.pre</c> that <see cref="OfGguf"/> knows.</summary>
    public const string SupportedInGguf = "\"gpt-2\", \"llama-bpe\", \"llama3\", \"llama-v3\", \"smollm\", \"starcoder\", \"refact\", \"command-r\" and \"qwen2\"";

    /// <summary>Reads a pre-tokenizer; null leaves text whole.</summary>
    public static PreTokenizer Read(JsonFields? json) => Chain(json is null ? [] : [.. Steps(json)]);

    private static IEnumerable<PreTokenizer> Steps(JsonFields json) =>
        json.OptionalText("type") == "Sequence" ? json.Objects("pretokenizers").SelectMany(Steps) : [ReadStep(json)];

    private static PreTokenizer ReadStep(JsonFields json)
    {
        switch (json.OptionalText("type"))
        {
            case "ByteLevel": return InBytes(json.Flag("add_prefix_space", true), json.Flag("use_regex", true));
            case "Split": return Split(json);
            case "Digits": return Split(rune => Characters.IsNumeric(rune), json.Flag("individual_digits", false) ? Delimiter.Isolated : Delimiter.Contiguous);
            case "Metaspace": return Metaspace(json);
            case "Whitespace": return Words;
            case "WhitespaceSplit": return Split(Characters.IsSpace, Delimiter.Removed);
            case "Punctuation": return Split(Characters.IsPunctuation, Behavior(json, "Isolated"));
            case "BertPreTokenizer": return Chain([Split(Characters.IsSpace, Delimiter.Removed), Split(Characters.IsPunctuation, Delimiter.Isolated)]);
            case "CharDelimiterSplit":
                string delimiter = json.OptionalText("delimiter") ?? throw json.Fault("delimiter", "is missing");
                return Split(rune => rune.ToString() == delimiter, Delimiter.Removed);
            default: throw json.Unsupported("type", Supported);
        }
    }

    /// <summary>The pre-tokenizer that a GGUF names (llama.cpp's <c>llama-vocab.cpp</c>), or null.</summary>
    public static PreTokenizer? OfGguf(string name)
    {
        PreTokenizer? split = name switch
        {
            "gpt-2" => Matches(Gpt2),
            "llama-bpe" or "llama3" or "llama-v3" => Matches(Llama3),
            "smollm" or "starcoder" or "refact" or "command-r" => Chain([Split(Characters.IsNumeric, Delimiter.Isolated), Matches(Gpt2)]),
            "qwen2" => Matches(Qwen2),
            _ => null,
        };
        return split is null ? null : Chain([split, InBytes(addsSpace: false, usesPattern: false)]);
    }

    private static PreTokenizer Chain(PreTokenizer[] steps) => piece =>
    {
        List<TextPiece> pieces = [piece];
        foreach (PreTokenizer step in steps)
        {
            pieces = [.. pieces.SelectMany(part => step(part))];
            Growth.Check("pre-tokenizer", piece.Text.Length, pieces.Sum(part => part.Text.Length));
        }

        return pieces;
    };

    private static PreTokenizer InBytes(bool addsSpace, bool usesPattern)
    {
        PreTokenizer split = usesPattern ? Matches(Gpt2) : piece => [piece];
        return piece => split(addsSpace && !piece.Text.StartsWith(' ') ? piece with { Text = " " + piece.Text } : piece)
            .Select(part => part with { Text = ByteLevel.Write(part.Text) });
    }

    private static PreTokenizer Split(JsonFields json)
    {
        if (TextPattern.Read(json) is not TextPattern pattern)
            throw json.Unsupported("pattern", TextPattern.Supported);
        Delimiter behavior = Behavior(json, null);
        bool inverted = json.Flag("invert", false);
        return piece => Delimiters.Cut(piece, pattern.Matches(piece.Text), behavior, inverted);
    }

    private static PreTokenizer Split(Func<Rune, bool> isDelimiter, Delimiter behavior) => piece =>
    {
        var matches = new List<(int, int)>();
        int at = 0;
        foreach (Rune rune in piece.Text.EnumerateRunes())
        {
            if (isDelimiter(rune))
                matches.Add((at, at + rune.Utf16SequenceLength));
            at += rune.Utf16SequenceLength;
        }

        return Delimiters.Cut(piece, matches, behavior, inverted: false);
    };

    private static PreTokenizer Matches(string pattern)
    {
        TokenPattern read = TokenPattern.Read(pattern)!;
        return piece => Delimiters.Cut(piece, read.Matches(piece.Text), Delimiter.Isolated, inverted: false);
    }

    /// <summary><c>\w+|[^\w\s]+</c>: words, and what is neither word nor space.</summary>
    private static IEnumerable<TextPiece> Words(TextPiece piece)
    {
        int start = 0, at = 0, kind = 0;
        foreach (Rune rune in piece.Text.EnumerateRunes())
        {
            int next = Characters.IsWord(rune) ? 1 : Characters.IsSpace(rune) ? 0 : 2;
            if (next != kind)
            {
                if (kind != 0)
                    yield return new TextPiece(piece.Text[start..at], piece.IsFirst && start == 0);
                (start, kind) = (at, next);
            }

            at += rune.Utf16SequenceLength;
        }

        if (kind != 0)
            yield return new TextPiece(piece.Text[start..], piece.IsFirst && start == 0);
    }

    private static PreTokenizer Metaspace(JsonFields json)
    {
        string replacement = json.OptionalText("replacement") ?? throw json.Fault("replacement", "is missing");
        if (replacement.EnumerateRunes().Count() != 1)
            throw json.Unsupported("replacement", "one character");
        string scheme = MetaspaceScheme(json);
        bool splits = json.Flag("split", true);
        return piece =>
        {
            string text = piece.Text.Replace(" ", replacement, StringComparison.Ordinal);
            if ((scheme == "always" || (scheme == "first" && piece.IsFirst)) && !text.StartsWith(replacement, StringComparison.Ordinal))
                text = replacement + text;
            TextPiece changed = piece with { Text = text };
            return splits ? Delimiters.Cut(changed, TextPattern.Of(replacement).Matches(text), Delimiter.MergedWithNext, inverted: false) : [changed];
        };
    }

    /// <summary>When a prefix is put before text; the files of older versions say only whether.</summary>
    public static string MetaspaceScheme(JsonFields json)
    {
        string scheme = json.OptionalText("prepend_scheme") ?? (json.Flag("add_prefix_space", true) ? "always" : "never");
        return scheme is "always" or "first" or "never" ? scheme : throw json.Unsupported("prepend_scheme", "\"always\", \"first\" and \"never\"");
    }

    private static Delimiter Behavior(JsonFields json, string? standard) => (json.OptionalText("behavior") ?? standard) switch
    {
        "Removed" => Delimiter.Removed,
        "Isolated" => Delimiter.Isolated,
        "MergedWithPrevious" => Delimiter.MergedWithPrevious,
        "MergedWithNext" => Delimiter.MergedWithNext,
        "Contiguous" => Delimiter.Contiguous,
        _ => throw json.Unsupported("behavior", "\"Removed\", \"Isolated\", \"MergedWithPrevious\", \"MergedWithNext\" and \"Contiguous\""),
    };
}
