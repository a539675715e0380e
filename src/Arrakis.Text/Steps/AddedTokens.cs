using System.Text;

namespace Arrakis.Text.Steps;

/// <summary>A token that is found in the text as it stands, before anything else looks at it.</summary>
/// <param name="Text">What is looked for.</param>
/// <param name="Id">Its id.</param>
internal sealed record AddedToken(string Text, int Id)
{
    /// <summary>Whether it steers the model and is no part of what it says.</summary>
    public bool IsSpecial { get; init; }

    /// <summary>Whether it takes the white space before it.</summary>
    public bool StripsLeft { get; init; }

    /// <summary>Whether it takes the white space after it.</summary>
    public bool StripsRight { get; init; }

    /// <summary>Whether it is found only where no word goes on on either side.</summary>
    public bool IsSingleWord { get; init; }

    /// <summary>Whether it is looked for in normalized text, rather than in what was written.</summary>
    public bool IsNormalized { get; init; }

    /// <summary>What is looked for in normalized text, where that is not the normalized token.</summary>
    public string? Sought { get; init; }
}

/// <summary>A stretch of text, or the token that stands there.</summary>
internal readonly record struct Stretch(int Start, int End, int? Token);

/// <summary>Finds added tokens, leftmost first and of those the longest.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<char, (string Text, AddedToken Token)[]> _byFirst;

    /// <param name="tokens">The tokens, each with the text that it shows as.</param>
    public AddedTokens(IEnumerable<(string Text, AddedToken Token)> tokens) => _byFirst = tokens
        .Where(entry => entry.Text.Length > 0)
        .GroupBy(entry => entry.Text[0])
        .ToDictionary(group => group.Key, group => group.OrderByDescending(entry => entry.Text.Length).ToArray());

    /// <summary>The whole text, in stretches that follow one another.</summary>
    public List<Stretch> Split(string text)
    {
        var stretches = new List<Stretch>();
        int done = 0, at = 0;
        while (at < text.Length)
        {
            if (Match(text, at) is not (string found, AddedToken token))
            {
                at++;
                continue;
            }

            int end = at + found.Length;
            if (token.IsSingleWord && (EndsWithWord(text.AsSpan(0, at)) || StartsWithWord(text.AsSpan(end))))
            {
                at = end;
                continue;
            }

            int start = token.StripsLeft ? Math.Max(done, text.AsSpan(0, at).TrimEnd().Length) : at;
            if (token.StripsRight)
                end = text.Length - text.AsSpan(end).TrimStart().Length;
            if (start > done)
                stretches.Add(new Stretch(done, start, null));
            stretches.Add(new Stretch(start, end, token.Id));
            (done, at) = (end, end);
        }

        if (done < text.Length)
            stretches.Add(new Stretch(done, text.Length, null));
        return stretches;
    }

    private (string Text, AddedToken Token)? Match(string text, int at)
    {
        if (!_byFirst.TryGetValue(text[at], out (string Text, AddedToken Token)[]? candidates))
            return null;
        foreach ((string Text, AddedToken Token) candidate in candidates)
        {
            if (text.AsSpan(at).StartsWith(candidate.Text, StringComparison.Ordinal))
                return candidate;
        }

        return null;
    }

    private static bool EndsWithWord(ReadOnlySpan<char> text)
    {
        Rune.DecodeLastFromUtf16(text, out Rune rune, out _);
        return !text.IsEmpty && Characters.IsWord(rune);
    }

    private static bool StartsWithWord(ReadOnlySpan<char> text)
    {
        Rune.DecodeFromUtf16(text, out Rune rune, out _);
        return !text.IsEmpty && Characters.IsWord(rune);
    }
}
