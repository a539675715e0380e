using System.Buffers;
using System.Globalization;
using System.Text;
using Arrakis.Native;
using Arrakis.Native.Weights;
using Arrakis.Text.Sources;
using Arrakis.Text.Steps;

namespace Arrakis.Text;

/// <summary>
/// A model's own tokenizer: text to token ids, and back. It comes from <c>tokenizer.json</c> or <c>tokenizer.model</c> in a model's folder, from the vocabulary in a
/// GGUF, or from llama2.c's <c>tokenizer.bin</c> beside a model. What such a file asks for is done exactly, or refused by name. May be used by many threads at once.
/// </summary>
public sealed class Tokenizer
{
    private readonly TokenizerParts _parts;
    private readonly AddedTokens _written, _normalized;

    internal Tokenizer(string path, TokenizerParts parts)
    {
        (Path, _parts) = (path, parts);
        _written = new AddedTokens(parts.Added.Where(token => !token.IsNormalized).Select(token => (token.Text, token)));
        _normalized = new AddedTokens(parts.Added.Where(token => token.IsNormalized).Select(token => (token.Sought ?? parts.Normalize(token.Text), token)));
    }

    /// <summary>The file that it came from.</summary>
    public string Path { get; }

    /// <summary>One more than the largest token id. A model's vocabulary may be larger, for round numbers.</summary>
    public int VocabSize => _parts.Vocabulary.Size;

    /// <summary>The token that begins a text, or null where there is none.</summary>
    public int? BosTokenId => _parts.Begin;

    /// <summary>The token that stands for what is not in the vocabulary, or null where there is none.</summary>
    public int? UnknownTokenId => _parts.Model.Unknown;

    /// <summary>Whether <see cref="Encode"/> puts a token before every text, as the file says.</summary>
    public bool AddsBos => _parts.Front.Length > 0;

    internal TokenDecoder Decoder => _parts.Decoder;

    /// <summary>Opens the tokenizer of a model, or a tokenizer's own file.</summary>
    /// <param name="path">
    /// A model's folder, a <c>.gguf</c>, <c>.bin</c> or <c>.safetensors</c> file; or a file <c>*.json</c>, <c>*.model</c> or <c>tok*.bin</c> that is a tokenizer.
    /// </param>
    /// <exception cref="ModelFormatException">There is none, it is damaged, or it asks for what is not supported.</exception>
    public static Tokenizer Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return TokenizerPlace.Find(path, out string missing) is string file ? TokenizerPlace.Read(file) : throw Said.Fault(path, missing);
    }

    /// <summary>Opens the tokenizer of a model, if it has one.</summary>
    /// <param name="path">As in <see cref="Open"/>.</param>
    /// <returns>Null where the model comes without.</returns>
    /// <exception cref="ModelFormatException">The tokenizer is damaged, or asks for what is not supported.</exception>
    public static Tokenizer? OpenIfAny(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return TokenizerPlace.Find(path, out _) is string file ? TokenizerPlace.Read(file) : null;
    }

    /// <summary>The token ids of a text. Special tokens that are written out in it, such as <c>&lt;|im_start|&gt;</c>, become themselves.</summary>
    /// <param name="text">Any text; half a surrogate pair counts as U+FFFD.</param>
    /// <param name="bos">
    /// Whether the tokens that the file puts before every text, and after it, are put there. False leaves out both, as <c>add_special_tokens=False</c> does in Hugging Face.
    /// </param>
    /// <exception cref="ArrakisException">
    /// A word is not in the vocabulary, which has no token for unknown words; or the file's steps make a text many times as long, or take over 2 s to match a pattern.
    /// </exception>
    public int[] Encode(string text, bool bos = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = Characters.Whole(text);
        var ids = new List<int>();
        if (bos)
            ids.AddRange(_parts.Front);
        foreach (Stretch written in _written.Split(text))
        {
            if (written.Token is int token)
                ids.Add(token);
            else
                EncodeStretch(_parts.Normalize(text[written.Start..written.End]), written.Start == 0, ids);
        }

        if (bos)
            ids.AddRange(_parts.Back);
        return [.. ids];
    }

    /// <summary>The text of token ids, without special tokens. Bytes that are no UTF-8 become U+FFFD.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    /// <exception cref="ArrakisException">The file's decoder makes a token many times as long.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        StreamingDecoder stream = CreateDecoder();
        var text = new StringBuilder();
        foreach (int id in ids)
            text.Append(stream.Next(id));
        return text.Append(stream.End()).ToString();
    }

    /// <summary>A decoder for tokens that come one by one.</summary>
    public StreamingDecoder CreateDecoder() => new(this);

    /// <summary>
    /// What one token stands for, for people: its text as in the middle of a sentence; bytes that are no whole character as <c>&lt;0xE2&gt;</c>; a special token's name.
    /// </summary>
    /// <returns>Null where the tokenizer has no such token.</returns>
    /// <exception cref="ArrakisException">The file's decoder makes the token many times as long.</exception>
    public string? Piece(int id)
    {
        if (_parts.Vocabulary.Text(id) is not string text)
            return null;
        // A name may be wrapped in line ends, as llama2.c's are.
        if (_parts.Special.Contains(id))
            return text.Trim();
        return Readable(_parts.Decoder.Bytes(text, isFirst: _parts.Decoder.Separates));
    }

    /// <summary>Whether a token steers the model and is no part of what it says.</summary>
    public bool IsSpecial(int id) => _parts.Special.Contains(id);

    /// <summary>A token's own text, or null.</summary>
    internal string? Text(int id) => _parts.Vocabulary.Text(id);

    private void EncodeStretch(string text, bool isFirst, List<int> ids)
    {
        foreach (Stretch stretch in _normalized.Split(text))
        {
            if (stretch.Token is int token)
            {
                ids.Add(token);
                continue;
            }

            foreach (TextPiece piece in _parts.PreTokenize(new TextPiece(text[stretch.Start..stretch.End], isFirst && stretch.Start == 0)))
            {
                if (piece.Text.Length > 0)
                    _parts.Model.Encode(piece.Text, ids);
            }
        }
    }

    private static string Readable(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length);
        while (!bytes.IsEmpty)
        {
            bool isWhole = Rune.DecodeFromUtf8(bytes, out Rune rune, out int read) == OperationStatus.Done;
            if (isWhole)
                text.Append(rune);
            else
                text.Append(CultureInfo.InvariantCulture, $"<0x{bytes[0]:X2}>");
            bytes = bytes[(isWhole ? read : 1)..];
        }

        return text.ToString();
    }
}
