using System.Text;

namespace Arrakis.Text.Models;

/// <summary>What a byte-pair encoding does beside merging.</summary>
/// <param name="Unknown">The token for characters that are not in the vocabulary; null leaves them out.</param>
/// <param name="FuseUnknown">Whether a run of them is one token.</param>
/// <param name="ByteFallback">Whether such a character becomes its bytes, as tokens <c>&lt;0x41&gt;</c>.</param>
/// <param name="IgnoreMerges">Whether a piece that is a token is that token, whatever the merges would make of it.</param>
internal sealed record BpeRules(int? Unknown, bool FuseUnknown, bool ByteFallback, bool IgnoreMerges);

/// <summary>The token that two neighbours become, and its rank, the lowest first; null where they are not joined.</summary>
/// <param name="text">The text of both.</param>
/// <param name="left">The token of the left one; null for a character that is none.</param>
/// <param name="right">The token of the right one, likewise.</param>
internal delegate (double Rank, int Token)? Join(ReadOnlySpan<char> text, int? left, int? right);

/// <summary>
/// Byte-pair encoding: of all neighbours that can be joined, those of the lowest rank are joined first, and of equal ranks the leftmost, in n log n of a piece's length n.
/// Written here because Microsoft.ML.Tokenizers 2.0.1 takes n² of a piece, which is the whole text where nothing cuts it, and of equal scores the rightmost.
/// </summary>
internal sealed class BpeModel(Vocabulary vocabulary, BpeRules rules, Join join) : ITokenModel
{
    /// <summary>By ranked merges (Sennrich et al. 2016), as in GPT-2 and in every <c>tokenizer.json</c> of type BPE.</summary>
    /// <param name="vocabulary">The tokens.</param>
    /// <param name="merges">What two tokens become, and when.</param>
    /// <param name="rules">What else is done.</param>
    public static BpeModel OfMerges(Vocabulary vocabulary, IReadOnlyDictionary<(int Left, int Right), (double Rank, int Token)> merges, BpeRules rules) =>
        new(vocabulary, rules, (_, left, right) => left is int first && right is int second && merges.TryGetValue((first, second), out (double, int) merge) ? merge : null);

    /// <summary>SentencePiece's (Kudo and Richardson 2018), as in Llama 2: whatever is a piece can be joined, and what scores best is joined first.</summary>
    public static BpeModel OfScores(Vocabulary vocabulary, SentencePieces pieces) => new(
        vocabulary, new BpeRules(pieces.Unknown, FuseUnknown: true, pieces.ByteFallback, IgnoreMerges: false),
        (text, _, _) => vocabulary.Find(text) is int id ? (-pieces.Scores[id], id) : null);

    /// <inheritdoc/>
    public int? Unknown => rules.Unknown;

    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids)
    {
        if (rules.IgnoreMerges && vocabulary.Find(piece) is int whole)
        {
            ids.Add(whole);
            return;
        }

        Symbol[] symbols = Joined(piece);
        int? pending = null;
        for (int i = 0; i >= 0; i = symbols[i].Next)
        {
            if (symbols[i].Token is not int token)
            {
                AddUnknown(Rune.GetRuneAt(piece, symbols[i].Start), ids, ref pending);
                continue;
            }

            if (pending is int unknown)
                ids.Add(unknown);
            pending = null;
            ids.Add(token);
        }

        if (pending is int last)
            ids.Add(last);
    }

    /// <summary>Hugging Face's order: an unknown token is held back until it is known whether the next one joins it.</summary>
    private void AddUnknown(Rune rune, List<int> ids, ref int? pending)
    {
        if (rules.ByteFallback && vocabulary.BytesOf(rune) is { } bytes)
        {
            ids.AddRange(bytes);
            return;
        }

        if (rules.Unknown is not int unknown)
            return;
        if (pending is int before && !rules.FuseUnknown)
            ids.Add(before);
        pending = unknown;
    }

    /// <summary>The characters of a piece, joined as far as they can be; the first symbol stays the first.</summary>
    private Symbol[] Joined(string piece)
    {
        var symbols = new Symbol[piece.Length];
        int count = 0, at = 0;
        foreach (Rune rune in piece.EnumerateRunes())
        {
            int length = rune.Utf16SequenceLength;
            symbols[count] = new Symbol(at, length, count - 1, count + 1, vocabulary.Find(piece.AsSpan(at, length)));
            count++;
            at += length;
        }

        symbols[count - 1].Next = -1;
        var queue = new PriorityQueue<(int Left, int Right, int Length, int Token), (double Rank, int Left)>();
        for (int i = 1; i < count; i++)
            Offer(i - 1, i);
        while (queue.TryDequeue(out (int Left, int Right, int Length, int Token) pair, out _))
        {
            // Either of the two may have been joined with another meanwhile.
            if (symbols[pair.Left].Length == 0 || symbols[pair.Right].Length == 0 || symbols[pair.Left].Length + symbols[pair.Right].Length != pair.Length)
                continue;
            int next = symbols[pair.Right].Next;
            symbols[pair.Left] = symbols[pair.Left] with { Length = pair.Length, Next = next, Token = pair.Token };
            symbols[pair.Right].Length = 0;
            if (next >= 0)
                symbols[next].Previous = pair.Left;
            Offer(symbols[pair.Left].Previous, pair.Left);
            Offer(pair.Left, next);
        }

        return symbols;

        void Offer(int left, int right)
        {
            if (left < 0 || right < 0)
                return;
            int length = symbols[left].Length + symbols[right].Length;
            if (join(piece.AsSpan(symbols[left].Start, length), symbols[left].Token, symbols[right].Token) is (double rank, int token))
                queue.Enqueue((left, right, length, token), (rank, left));
        }
    }

    /// <summary>A stretch of the piece between its neighbours, and its token, if it is one; of length 0 once it belongs to the one before it.</summary>
    private record struct Symbol(int Start, int Length, int Previous, int Next, int? Token);
}
