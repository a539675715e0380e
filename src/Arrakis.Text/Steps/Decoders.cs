using System.Text;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Steps;

/// <summary>How tokens become text again: each for itself, so that text can come as tokens do.</summary>
internal sealed class TokenDecoder
{
    private const string Supported = "\"ByteLevel\", \"ByteFallback\", \"Fuse\", \"Metaspace\", \"Replace\", \"Strip\", \"WordPiece\" and \"Sequence\"";

    private readonly List<Step> _steps = [];
    private bool _isFused;

    private delegate void Step(ref Decoded token);

    /// <summary>How many of <see cref="StripByte"/> are left out where the whole text begins.</summary>
    public int StripCount { get; private set; }

    /// <summary>What is left out where the whole text begins.</summary>
    public byte StripByte { get; private set; }

    /// <summary>Whether a token stands apart from the one before it by a space that is none of its own.</summary>
    public bool Separates { get; private set; }

    /// <summary>A token's bytes, in UTF-8 where they are whole characters.</summary>
    public byte[] Bytes(string token, bool isFirst)
    {
        var decoded = new Decoded { Text = token, IsFirst = isFirst };
        foreach (Step step in _steps)
        {
            step(ref decoded);
            Growth.Check("decoder", token.Length, decoded.Text.Length);
        }

        return decoded.Bytes ?? Encoding.UTF8.GetBytes(decoded.Text);
    }

    /// <summary>SentencePiece's: its mark for a space is one, bytes are bytes, and the space before the text is left out where one was put there.</summary>
    public static TokenDecoder OfSentencePiece(char space, bool stripsPrefix)
    {
        var decoder = new TokenDecoder();
        if (space != ' ')
            decoder.Replace(space.ToString(), " ");
        decoder._steps.Add(FallBack);
        if (stripsPrefix)
            (decoder.StripByte, decoder.StripCount) = ((byte)' ', 1);
        return decoder;
    }

    /// <summary>GPT-2's: letters are bytes.</summary>
    public static TokenDecoder OfByteLevel()
    {
        var decoder = new TokenDecoder();
        decoder._steps.Add(FromLetters);
        return decoder;
    }

    /// <summary>Reads a decoder; null puts a space between tokens.</summary>
    public static TokenDecoder Read(JsonFields? json)
    {
        var decoder = new TokenDecoder();
        if (json is not null)
            decoder.Add(json);
        else
            decoder.Separate();
        return decoder;
    }

    private void Add(JsonFields json)
    {
        string? type = json.OptionalText("type");
        if (_isFused && type != "Strip")
            throw json.Fault("type", $"is \"{Said.Name(type ?? "")}\" after \"Fuse\": supported is \"Strip\" there");
        switch (type)
        {
            case "Sequence":
                foreach (JsonFields part in json.Objects("decoders"))
                    Add(part);
                break;
            case "ByteLevel": _steps.Add(FromLetters); break;
            case "ByteFallback": _steps.Add(FallBack); break;
            case "Fuse": _isFused = true; break;
            case "Metaspace": AddMetaspace(json); break;
            case "Replace":
                if (TextPattern.Read(json)?.Text is not { Length: > 0 } pattern)
                    throw json.Unsupported("pattern", "a string");
                Replace(pattern, json.OptionalText("content") ?? throw json.Fault("content", "is missing"));
                break;
            case "Strip": AddStrip(json); break;
            case "WordPiece": AddWordPiece(json); break;
            default: throw json.Unsupported("type", Supported);
        }
    }

    private static void FromLetters(ref Decoded token) => token.Bytes ??= ByteLevel.Read(token.Text);

    private static void FallBack(ref Decoded token)
    {
        if (token.Bytes is null && Vocabulary.ByteOf(token.Text) is byte value)
            token.Bytes = [value];
    }

    private void Replace(string pattern, string content) => _steps.Add((ref Decoded token) => token.Text = token.Text.Replace(pattern, content, StringComparison.Ordinal));

    private void Separate()
    {
        Separates = true;
        _steps.Add((ref Decoded token) => token.Text = token.IsFirst ? token.Text : " " + token.Text);
    }

    private void AddMetaspace(JsonFields json)
    {
        string replacement = json.OptionalText("replacement") ?? throw json.Fault("replacement", "is missing");
        bool drops = PreTokenizers.MetaspaceScheme(json) != "never";
        _steps.Add((ref Decoded token) => token.Text = token.Text.Replace(replacement, token.IsFirst && drops ? "" : " ", StringComparison.Ordinal));
    }

    private void AddStrip(JsonFields json)
    {
        string content = json.OptionalText("content") ?? throw json.Fault("content", "is missing");
        int start = json.OptionalInteger("start") ?? 0, stop = json.OptionalInteger("stop") ?? 0;
        if (content.Length != 1 || !char.IsAscii(content[0]))
            throw json.Unsupported("content", "one ASCII character");
        if (start < 0 || StripCount > 0)
            throw json.Unsupported("start", "0 or more, once");
        // What is to be left out at the end is known only there.
        if (stop != 0 || !_isFused)
            throw json.Fault("type", $"is \"Strip\" {(stop != 0 ? $"of {stop} at the end" : "before \"Fuse\"")}: supported is the beginning of the whole text");
        (StripByte, StripCount) = ((byte)content[0], start);
    }

    private void AddWordPiece(JsonFields json)
    {
        string prefix = json.OptionalText("prefix") ?? throw json.Fault("prefix", "is missing");
        bool cleans = json.Flag("cleanup", true);
        Separates = true;
        _steps.Add((ref Decoded token) =>
        {
            if (!token.IsFirst)
                token.Text = prefix.Length > 0 && token.Text.StartsWith(prefix, StringComparison.Ordinal) ? token.Text[prefix.Length..] : " " + token.Text;
            if (cleans)
                token.Text = Clean(token.Text);
        });
    }

    /// <summary>Hugging Face's clean-up of spaces before punctuation and within contractions, in its order.</summary>
    private static string Clean(string text)
    {
        foreach ((string from, string to) in new[]
        {
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        })
        {
            text = text.Replace(from, to, StringComparison.Ordinal);
        }

        return text;
    }

    /// <summary>A token on its way to text; from its bytes on, no step looks at it as text.</summary>
    private ref struct Decoded
    {
        public string Text;
        public byte[]? Bytes;
        public bool IsFirst;
    }
}
