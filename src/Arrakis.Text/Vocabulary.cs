using System.Globalization;
using System.Text;

namespace Arrakis.Text;

/// <summary>The tokens of a tokenizer by id and by text.</summary>
internal sealed class Vocabulary
{
    private readonly Dictionary<int, string> _texts = [];
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _spans;
    private readonly Dictionary<string, int> _names = [];
    private readonly int?[] _bytes = new int?[256];

    /// <param name="encodable">The tokens that text can come to, by text.</param>
    public Vocabulary(Dictionary<string, int> encodable)
    {
        Encodable = encodable;
        _spans = encodable.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach ((string text, int id) in encodable)
            Add(text, id);
    }

    /// <summary>The tokens that text can come to, by text.</summary>
    public IReadOnlyDictionary<string, int> Encodable { get; }

    /// <summary>One more than the largest id.</summary>
    public int Size { get; private set; }

    /// <summary>Names a token that text comes to by other ways, or not at all.</summary>
    public void Add(string text, int id)
    {
        _texts[id] = text;
        _names.TryAdd(text, id);
        Size = Math.Max(Size, id + 1);
        if (ByteOf(text) is byte value)
            _bytes[value] ??= id;
    }

    /// <summary>The token of a text, or null.</summary>
    public int? Find(ReadOnlySpan<char> text) => _spans.TryGetValue(text, out int id) ? id : null;

    /// <summary>The text of a token, or null where there is no such id.</summary>
    public string? Text(int id) => _texts.GetValueOrDefault(id);

    /// <summary>The token of a text, even where no text comes to it; or null.</summary>
    public int? Named(string text) => _names.TryGetValue(text, out int id) ? id : null;

    /// <summary>Whether a byte has a token.</summary>
    public bool HasByte(byte value) => _bytes[value] is not null;

    /// <summary>The tokens of a character's UTF-8 bytes, or null where one of them is no token.</summary>
    public int[]? BytesOf(Rune rune)
    {
        Span<byte> utf8 = stackalloc byte[4];
        int[] ids = new int[rune.EncodeToUtf8(utf8)];
        for (int i = 0; i < ids.Length; i++)
        {
            if (_bytes[utf8[i]] is not int id)
                return null;
            ids[i] = id;
        }

        return ids;
    }

    /// <summary>The byte that a token such as <c>&lt;0x0A&gt;</c> stands for, or null.</summary>
    public static byte? ByteOf(ReadOnlySpan<char> token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token[3..5], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value)
            ? value
            : null;
}
