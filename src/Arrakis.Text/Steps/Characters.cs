using System.Globalization;
using System.Text;

namespace Arrakis.Text.Steps;

/// <summary>Classes of characters as Rust and its regular expressions draw them, which is what tokenizers are written in.</summary>
internal static class Characters
{
    /// <summary><c>char::is_whitespace</c>.</summary>
    public static bool IsSpace(Rune rune) => Rune.IsWhiteSpace(rune);

    /// <summary><c>char::is_numeric</c>: digits, letters that are numbers, and other numbers.</summary>
    public static bool IsNumeric(Rune rune) => Rune.IsNumber(rune);

    /// <summary>What Hugging Face takes for punctuation: ASCII's, and Unicode's. Its tables are of an older Unicode: marks of scripts that came later differ.</summary>
    public static bool IsPunctuation(Rune rune) =>
        rune.IsAscii ? !Rune.IsControl(rune) && !Rune.IsLetterOrDigit(rune) && rune.Value != ' ' : Rune.IsPunctuation(rune);

    /// <summary><c>\w</c>: what is alphabetic, marks, digits, connectors and joiners (Unicode's annex C of report 18).</summary>
    public static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter
            or UnicodeCategory.OtherLetter or UnicodeCategory.LetterNumber or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark
            or UnicodeCategory.EnclosingMark or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.ConnectorPunctuation => true,
        // Symbols that are alphabetic: circled, squared and negative letters.
        UnicodeCategory.OtherSymbol => rune.Value is (>= 0x24B6 and <= 0x24E9) or (>= 0x1F130 and <= 0x1F149) or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189),
        UnicodeCategory.Format => rune.Value is 0x200C or 0x200D,
        _ => false,
    };

    /// <summary>Text in whole characters: half a surrogate pair becomes U+FFFD, as everywhere where text becomes UTF-8.</summary>
    public static string Whole(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
                i++;
            else
                return Repaired(text);
        }

        return text;
    }

    private static string Repaired(string text)
    {
        var built = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            built.Append(rune);
        return built.ToString();
    }
}
