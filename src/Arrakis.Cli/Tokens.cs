using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;
using Arrakis.Text;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli;

/// <summary>What token ids stand for, where the model comes with a tokenizer; without one ids are all that is shown.</summary>
internal sealed class Tokens(Tokenizer? tokenizer)
{
    // What a column of a table has room for.
    private const int LongestShown = 16;

    // More of a prompt than this is no longer read to find a position.
    private const int MostListed = 48;

    public static Tokens None { get; } = new(null);

    /// <summary>The tokenizer, or null.</summary>
    public Tokenizer? Tokenizer { get; } = tokenizer;

    /// <summary>What a token stands for, or null where that is not known.</summary>
    public string? this[int id] => Tokenizer?.Piece(id);

    /// <summary>For a document: what tokens stand for, or null without a tokenizer.</summary>
    public JsonArray? Of(IEnumerable<int> ids) => Tokenizer is null ? null : Json.Array(ids.Select(id => JsonValue.Create(this[id])));

    /// <summary>A token for people: <c>·was</c>, or <c>id 5</c> where no more is known.</summary>
    public string Name(int id) => this[id] is string piece ? Shown(piece) : Invariant($"id {id}");

    /// <summary>A token for people, with its id: <c>id 5, ·was</c>.</summary>
    public string Full(int id) => this[id] is string piece ? Invariant($"id {id}, {Shown(piece)}") : Invariant($"id {id}");

    /// <summary>An id with what it stands for: <c>5 (·was)</c>, or <c>5</c>.</summary>
    public string Told(int id) => this[id] is string piece ? Invariant($"{id} ({Shown(piece)})") : Invariant($"{id}");

    /// <summary>The same for a document: <c>{"id","token"}</c>.</summary>
    public JsonObject Node(int id) => new() { ["id"] = id, ["token"] = this[id] };

    /// <summary>The column of a table that tells tokens apart.</summary>
    public string Column => Tokenizer is null ? "id" : "<token";

    /// <summary>A token in that column.</summary>
    public string Cell(int id) => this[id] is string piece ? Shown(piece) : Invariant($"{id}");

    /// <summary>Which token stands at which position, for tables that name positions; null without a tokenizer.</summary>
    public string? Legend(int[] ids)
    {
        if (Tokenizer is null || ids.Length == 0)
            return null;
        int left = ids.Length <= MostListed ? ids.Length : MostListed / 2;
        IEnumerable<string> all = Enumerable.Range(0, left).Select(At);
        if (left < ids.Length)
            all = [.. all, "...", .. Enumerable.Range(ids.Length - left, left).Select(At)];
        return $"Tokens: {string.Join("  ", all)}";

        string At(int t) => Invariant($"{t} {Name(ids[t])}");
    }

    /// <summary>A piece on one line, its spaces visible, and not too long.</summary>
    public static string Shown(string piece)
    {
        string line = Said.OneLine(piece.Replace("\n", "\\n", StringComparison.Ordinal).Replace("\t", "\\t", StringComparison.Ordinal).Replace("\r", "\\r", StringComparison.Ordinal))
            .Replace(' ', '·');
        var shown = new StringBuilder();
        foreach (Rune rune in line.EnumerateRunes())
        {
            if (shown.Length >= LongestShown)
                return shown.Append('…').ToString();
            shown.Append(rune);
        }

        return shown.ToString();
    }
}
