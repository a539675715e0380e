using System.Text;

namespace Arrakis.Text;

/// <summary>
/// Turns tokens that come one by one into text. A character whose bytes are spread over several tokens comes with the last of them. For one thread.
/// </summary>
public sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private int _leftToStrip;
    private bool _isFirst = true;

    internal StreamingDecoder(Tokenizer tokenizer)
    {
        _tokenizer = tokenizer;
        _leftToStrip = tokenizer.Decoder.StripCount;
    }

    /// <summary>Takes tokens whose text is not wanted, such as the prompt's before what continues it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    /// <exception cref="Native.ArrakisException">The file's decoder makes a token many times as long.</exception>
    public void Skip(ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            Next(id);
    }

    /// <summary>The text that a token completes; often its own, empty for a special token, for one that the tokenizer does not know and for one that ends within a character.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is negative.</exception>
    /// <exception cref="Native.ArrakisException">The file's decoder makes the token many times as long.</exception>
    public string Next(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        if (_tokenizer.IsSpecial(id) || _tokenizer.Text(id) is not string text)
            return "";
        ReadOnlySpan<byte> bytes = _tokenizer.Decoder.Bytes(text, _isFirst);
        _isFirst = false;
        while (_leftToStrip > 0 && !bytes.IsEmpty)
        {
            bool isStripped = bytes[0] == _tokenizer.Decoder.StripByte;
            _leftToStrip = isStripped ? _leftToStrip - 1 : 0;
            bytes = isStripped ? bytes[1..] : bytes;
        }

        return Read(bytes, isEnd: false);
    }

    /// <summary>What is left at the end: U+FFFD for a character that was not completed.</summary>
    public string End() => Read([], isEnd: true);

    private string Read(ReadOnlySpan<byte> bytes, bool isEnd)
    {
        char[] characters = new char[_utf8.GetCharCount(bytes, isEnd)];
        _utf8.GetChars(bytes, characters, isEnd);
        return new string(characters);
    }
}
