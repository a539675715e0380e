using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Steps;

/// <summary>
/// A regular expression of a tokenizer, which Oniguruma runs elsewhere and .NET here. Only what means the same in both is taken: ASCII, Unicode categories, plain classes,
/// groups and repetitions; anything else is refused. .NET sees UTF-16, so a character beyond it is looked at as another one of its category, and
/// letters in a group that ignores case are spelt out.
/// </summary>
internal sealed class TokenPattern
{
    private const string WhiteSpace = @"\t-\r\u0085\p{Z}";

    // A pattern may take time that grows with every power of the text, or doubles with every character of it; those that models come with take microseconds.
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(2);

    private readonly string _pattern;
    private readonly Regex _regex;

    private TokenPattern(string pattern, Regex regex) => (_pattern, _regex) = (pattern, regex);

    /// <summary>Reads a pattern; null where it holds what the two engines may see differently.</summary>
    public static TokenPattern? Read(string pattern)
    {
        if (Translate(pattern) is not string translated)
            return null;
        try
        {
            return new TokenPattern(pattern, new Regex(translated, RegexOptions.CultureInvariant, s_longest));
        }
        catch (ArgumentException)
        {
            // Whatever .NET cannot read is refused with the rest.
            return null;
        }
    }

    /// <summary>Where it matches, as indices into the text.</summary>
    /// <exception cref="ArrakisException">It takes too long.</exception>
    public List<(int Start, int End)> Matches(string text)
    {
        try
        {
            return Find(text);
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new ArrakisException($"the tokenizer's regular expression {Said.Name(_pattern)} takes over {s_longest.TotalSeconds} s for {text.Length} characters: supported is one that does not", e);
        }
    }

    private List<(int Start, int End)> Find(string text)
    {
        (string seen, int[]? places) = Seen(text);
        var matches = new List<(int, int)>();
        foreach (ValueMatch match in _regex.EnumerateMatches(seen))
        {
            (int start, int end) = (match.Index, match.Index + match.Length);
            if (match.Length > 0)
                matches.Add(places is null ? (start, end) : (places[start], places[end]));
        }

        return matches;
    }

    /// <summary>A text with one char for each character, and where each of them stands, with the end; no places where nothing had to be changed.</summary>
    private static (string Seen, int[]? Places) Seen(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
            return (text, null);
        var seen = new StringBuilder(text.Length);
        var places = new List<int>(text.Length);
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            seen.Append(rune.IsBmp ? (char)rune.Value : OfCategory(Rune.GetUnicodeCategory(rune)));
            places.Add(at);
            at += rune.Utf16SequenceLength;
        }

        places.Add(at);
        return (seen.ToString(), [.. places]);
    }

    private static char OfCategory(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\u00C0',
        UnicodeCategory.LowercaseLetter => '\u00DF',
        UnicodeCategory.TitlecaseLetter => '\u01C5',
        UnicodeCategory.ModifierLetter => '\u02B0',
        UnicodeCategory.OtherLetter => '\u05D0',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.EnclosingMark => '\u0488',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u16EE',
        UnicodeCategory.OtherNumber => '\u00B2',
        UnicodeCategory.ConnectorPunctuation => '\u203F',
        UnicodeCategory.DashPunctuation => '\u2010',
        UnicodeCategory.OpenPunctuation => '\u2045',
        UnicodeCategory.ClosePunctuation => '\u2046',
        UnicodeCategory.InitialQuotePunctuation => '\u00AB',
        UnicodeCategory.FinalQuotePunctuation => '\u00BB',
        UnicodeCategory.OtherPunctuation => '\u00A1',
        UnicodeCategory.MathSymbol => '\u00AC',
        UnicodeCategory.CurrencySymbol => '\u00A2',
        UnicodeCategory.ModifierSymbol => '\u00A8',
        UnicodeCategory.OtherSymbol => '\u00A6',
        UnicodeCategory.Format => '\u00AD',
        UnicodeCategory.PrivateUse => '\uE000',
        _ => '\uFFFF',
    };

    private static string? Translate(string pattern)
    {
        var built = new StringBuilder();
        var ignoring = new Stack<bool>();
        char repetition = '\0';
        for (int at = 0; at < pattern.Length;)
        {
            bool ignores = ignoring.Count > 0 && ignoring.Peek();
            char c = pattern[at];
            // A repetition of a repetition may be possessive in Oniguruma; lazy ones of + and * are the same.
            if ((c == '+' && repetition != '\0') || (c == '?' && repetition == '}'))
                return null;
            repetition = c is '+' or '*' or '?' ? c : '\0';
            if (c == '\\' || c == '[')
            {
                if ((c == '[' ? Class(pattern, ref at, ignores) : Escape(pattern, ref at, ignores, isInClass: false)) is not string part)
                    return null;
                built.Append(part);
                continue;
            }

            if (c == '(')
            {
                if (Group(pattern, ref at, built) is not bool ignoresCase)
                    return null;
                ignoring.Push(ignores || ignoresCase);
                continue;
            }

            if (c == ')' && !ignoring.TryPop(out _))
                return null;
            if (c is '.' or '^' or '$' or '#' || !char.IsAscii(c) || char.IsControl(c))
                return null;
            if (c == '{')
            {
                Match counts = Regex.Match(pattern[at..], @"^\{[0-9]+(,[0-9]*)?\}", RegexOptions.CultureInvariant);
                if (!counts.Success)
                    return null;
                built.Append(counts.ValueSpan);
                (at, repetition) = (at + counts.Length, '}');
                continue;
            }

            built.Append(ignores && char.IsAsciiLetter(c) ? $"[{AnyCase(c)}]" : c.ToString());
            at++;
        }

        return ignoring.Count == 0 ? built.ToString() : null;
    }

    /// <summary>The opening of a group, and whether it ignores case.</summary>
    private static bool? Group(string pattern, ref int at, StringBuilder built)
    {
        foreach ((string opening, string written, bool ignores) in new[] { ("(?:", "(?:", false), ("(?i:", "(?:", true), ("(?!", "(?!", false), ("(?=", "(?=", false) })
        {
            if (!pattern.AsSpan(at).StartsWith(opening, StringComparison.Ordinal))
                continue;
            at += opening.Length;
            built.Append(written);
            return ignores;
        }

        if (pattern.AsSpan(at).StartsWith("(?", StringComparison.Ordinal))
            return null;
        at++;
        built.Append("(?:");
        return false;
    }

    private static string? Class(string pattern, ref int at, bool ignores)
    {
        var built = new StringBuilder("[");
        at++;
        if (at < pattern.Length && pattern[at] == '^')
        {
            built.Append('^');
            at++;
        }

        for (bool isFirst = true; at < pattern.Length; isFirst = false)
        {
            char c = pattern[at];
            if (c == ']' && !isFirst)
            {
                at++;
                return built.Append(']').ToString();
            }

            if (c == '\\')
            {
                if (Escape(pattern, ref at, ignores, isInClass: true) is not string part)
                    return null;
                built.Append(part);
                continue;
            }

            // Classes within classes, and intersections; ranges of letters would have to be spelt out where case is ignored.
            if (c is '[' or ']' or '&' || !char.IsAscii(c) || char.IsControl(c) || (c == '-' && ignores))
                return null;
            built.Append(ignores && char.IsAsciiLetter(c) ? AnyCase(c) : c.ToString());
            at++;
        }

        return null;
    }

    private static string? Escape(string pattern, ref int at, bool ignores, bool isInClass)
    {
        if (at + 1 >= pattern.Length)
            return null;
        char c = pattern[at + 1];
        if (c is 'p' or 'P')
        {
            int end = pattern.IndexOf('}', at);
            string name = end > at + 3 && pattern[at + 2] == '{' ? pattern[(at + 3)..end] : "";
            // Of a script .NET knows nothing, of a category both know the same.
            if (name.Length is not (1 or 2) || !"LMNPSZC".Contains(name[0]) || (ignores && name[0] == 'L' && name.Length == 2))
                return null;
            at = end + 1;
            return $@"\{c}{{{name}}}";
        }

        at += 2;
        return c switch
        {
            's' => isInClass ? WhiteSpace : $"[{WhiteSpace}]",
            'S' => isInClass ? null : $"[^{WhiteSpace}]",
            'r' or 'n' or 't' => $@"\{c}",
            _ => char.IsAscii(c) && !char.IsAsciiLetterOrDigit(c) && !char.IsControl(c) ? $@"\{c}" : null,
        };
    }

    /// <summary>A letter with those that Unicode folds to it.</summary>
    private static string AnyCase(char letter) => char.ToLowerInvariant(letter) switch
    {
        's' => "sS\u017F",
        'k' => "kK\u212A",
        char lower => $"{lower}{char.ToUpperInvariant(lower)}",
    };
}
