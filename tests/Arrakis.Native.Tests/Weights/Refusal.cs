using System.Globalization;

namespace Arrakis.Native.Tests.Weights;

/// <summary>Asserts how something is refused: with the right exception, on one line, naming what it must.</summary>
internal static class Refusal
{
    /// <summary>A refusal by <see cref="ModelFormatException"/> whose message begins with the file and holds all of <paramref name="parts"/>.</summary>
    public static void Of(string file, Action act, params string[] parts)
    {
        ModelFormatException refusal = Assert.Throws<ModelFormatException>(act);
        Assert.StartsWith(file + ": ", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(file, refusal.Path);
        IsOneLine(refusal.Message);
        foreach (string part in parts)
            Assert.Contains(part, refusal.Message[file.Length..], StringComparison.Ordinal);
    }

    /// <summary>A message is one line that a terminal shows as it is.</summary>
    public static void IsOneLine(string message)
    {
        foreach (char c in message)
            Assert.False(char.IsControl(c) || char.GetUnicodeCategory(c) is UnicodeCategory.Format or UnicodeCategory.LineSeparator, $"U+{(int)c:X4} in {message}");
        Assert.InRange(message.Length, 1, 1000);
    }
}
