using System.Text;

namespace Arrakis.Text.Models;

/// <summary>
/// SentencePiece's byte-pair encoding (Kudo and Richardson 2018), as in Llama 2: of all neighbours whose join is a piece, those with the best score are joined first, and of equal
/// scores the leftmost. Written here because Microsoft.ML.Tokenizers 2.0.1 takes the rightmost, so that "!!!!!!" comes out as other tokens than the model was trained on.
/// </summary>
internal sealed class SentencePieceModel(SentencePieces pieces, Vocabulary vocabulary) : ITokenModel
{
    /// <inheritdoc/>
    public int? Unknown { get; } = pieces.Unknown;

    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids)
    {
        Symbol[] symbols = Join(piece);
        bool isAfterUnknown = false;
        for (int i = 0; i >= 0; i = symbols[i].Next)
        {
            ReadOnlySpan<char> text = piece.AsSpan(symbols[i].Start, symbols[i].Length);
            int? id = vocabulary.Find(text);
            if (id is int known)
            {
                ids.Add(known);
            }
            else if (pieces.ByteFallback)
            {
                Rune.DecodeFromUtf16(text, out Rune rune, out _);
                ids.AddRange(vocabulary.BytesOf(rune)!);
            }
            else if (!isAfterUnknown && Unknown is int unknown)
            {
                // One token for a run of what is unknown.
                ids.Add(unknown);
            }

            isAfterUnknown = id is null;
        }
    }

    /// <summary>The characters of a piece, joined as far as they can be; the first symbol stays the first.</summary>
    private Symbol[] Join(string piece)
    {
        var symbols = new List<Symbol>(piece.Length);
        int at = 0;
        foreach (Rune rune in piece.EnumerateRunes())
        {
            symbols.Add(new Symbol(at, rune.Utf16SequenceLength, symbols.Count - 1, symbols.Count + 1));
            at += rune.Utf16SequenceLength;
        }

        Symbol[] all = [.. symbols];
        all[^1].Next = -1;
        var queue = new PriorityQueue<(int Left, int Right, int Length), (float Score, int Left)>(Comparer<(float Score, int Left)>.Create(
            (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Left.CompareTo(b.Left)));
        for (int i = 1; i < all.Length; i++)
            Offer(i - 1, i);
        while (queue.TryDequeue(out (int Left, int Right, int Length) pair, out _))
        {
            // Either of the two may have been joined with another meanwhile.
            if (all[pair.Left].Length == 0 || all[pair.Right].Length == 0 || all[pair.Left].Length + all[pair.Right].Length != pair.Length)
                continue;
            all[pair.Left].Length = pair.Length;
            all[pair.Right].Length = 0;
            int next = all[pair.Left].Next = all[pair.Right].Next;
            if (next >= 0)
                all[next].Previous = pair.Left;
            Offer(all[pair.Left].Previous, pair.Left);
            Offer(pair.Left, next);
        }

        return all;

        void Offer(int left, int right)
        {
            if (left < 0 || right < 0)
                return;
            int length = all[left].Length + all[right].Length;
            if (vocabulary.Find(piece.AsSpan(all[left].Start, length)) is int id)
                queue.Enqueue((left, right, length), (pieces.Scores[id], left));
        }
    }

    /// <summary>A stretch of the piece between its neighbours; of length 0 once it belongs to the one before it.</summary>
    private record struct Symbol(int Start, int Length, int Previous, int Next);
}
