namespace Arrakis.Text.Steps;

/// <summary>What becomes of the matches of a split.</summary>
internal enum Delimiter
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>Cuts text at matches.</summary>
internal static class Delimiters
{
    /// <summary>The pieces between matches, and the matches as the delimiter's rule has them; none is empty.</summary>
    /// <param name="piece">The text.</param>
    /// <param name="matches">The matches, leftmost first, none within another.</param>
    /// <param name="rule">What becomes of a match.</param>
    /// <param name="inverted">Whether the matches are what is wanted, and the delimiters what lies between.</param>
    public static List<TextPiece> Cut(TextPiece piece, List<(int Start, int End)> matches, Delimiter rule, bool inverted)
    {
        List<(int Start, int End, bool IsMatch)> all = Whole(matches, piece.Text.Length, inverted);
        var cuts = new List<(int Start, int End)>();
        bool wasMatch = false;
        for (int i = 0; i < all.Count; i++)
        {
            (int start, int end, bool isMatch) = all[i];
            bool joins = rule switch
            {
                Delimiter.Contiguous => i > 0 && isMatch == wasMatch,
                // Of matches that follow one another only the first joins the text before them, and only the last the text after.
                Delimiter.MergedWithPrevious => isMatch && i > 0 && !wasMatch,
                Delimiter.MergedWithNext => !isMatch && i > 0 && wasMatch,
                _ => false,
            };
            if (joins)
                cuts[^1] = (cuts[^1].Start, end);
            else if (!isMatch || rule != Delimiter.Removed)
                cuts.Add((start, end));
            wasMatch = isMatch;
        }

        return [.. cuts.Select(cut => new TextPiece(piece.Text[cut.Start..cut.End], piece.IsFirst && cut.Start == 0))];
    }

    private static List<(int Start, int End, bool IsMatch)> Whole(List<(int Start, int End)> matches, int length, bool inverted)
    {
        var all = new List<(int, int, bool)>(2 * matches.Count + 1);
        int done = 0;
        foreach ((int start, int end) in matches)
        {
            if (start > done)
                all.Add((done, start, inverted));
            all.Add((start, end, !inverted));
            done = end;
        }

        if (done < length)
            all.Add((done, length, inverted));
        return all;
    }
}
