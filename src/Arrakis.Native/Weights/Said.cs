using System.Globalization;
using System.Text;

namespace Arrakis.Native.Weights;

/// <summary>
/// How what a file says is quoted in a message. A message is one line on a terminal: whatever a file or a user wrote is shown
/// without its control characters and, where it may be of any length, shortened.
/// </summary>
internal static class Said
{
    private const int LongestName = 96;

    /// <summary>A fault of a file: <c>path: what</c>, on one line whatever the path holds.</summary>
    public static ModelFormatException Fault(string path, string what, Exception? inner = null) => new(OneLine(path), what, inner);

    /// <summary>A name or a value from a file: on one line and not too long.</summary>
    public static string Name(string text)
    {
        if (text.Length <= LongestName)
            return OneLine(text);
        return OneLine(text[..LongestName]) + "…";
    }

    /// <summary>Text with everything that could break or reorder a line written as \uXXXX.</summary>
    public static string OneLine(string text)
    {
        var built = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
                built.Append(c).Append(text[++i]);
            else if (IsUnsafe(c))
                built.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else
                built.Append(c);
        }

        return built.ToString();
    }

    /// <summary>A shape as <c>[a, b]</c>.</summary>
    public static string Shape(ReadOnlySpan<long> shape)
    {
        const int Most = 8;
        var text = new StringBuilder("[");
        for (int i = 0; i < shape.Length; i++)
        {
            if (i > 0)
                text.Append(", ");
            if (i == Most)
            {
                text.Append(CultureInfo.InvariantCulture, $"… {shape.Length} in all");
                break;
            }

            text.Append(CultureInfo.InvariantCulture, $"{shape[i]}");
        }

        return text.Append(']').ToString();
    }

    /// <summary>What an exception of the operating system comes down to, on one line.</summary>
    public static string Why(Exception e) => e switch
    {
        UnauthorizedAccessException => "access is denied",
        DirectoryNotFoundException => "its folder does not exist",
        FileNotFoundException => "it does not exist",
        PathTooLongException => "the path is too long",
        _ => OneLine(e.Message),
    };

    /// <summary>Whether an exception is one that opening, reading or writing a file may end in.</summary>
    public static bool IsFileTrouble(Exception e) =>
        e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException or System.Security.SecurityException;

    private static bool IsUnsafe(char c) => char.GetUnicodeCategory(c) is
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or
        UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}
