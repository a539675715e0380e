using System.Text;

namespace Arrakis.Text.Steps;

/// <summary>
/// GPT-2's way to write any bytes as letters: printable ASCII and Latin-1 stand for themselves, the other bytes, in order, for the characters from U+0100 on.
/// </summary>
internal static class ByteLevel
{
    private static readonly char[] s_letters = MakeLetters();
    private static readonly Dictionary<char, byte> s_bytes = Enumerable.Range(0, 256).ToDictionary(b => s_letters[b], b => (byte)b);

    /// <summary>The letters of a text's UTF-8 bytes.</summary>
    public static string Write(string text) => string.Create(Encoding.UTF8.GetByteCount(text), text, (letters, source) =>
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(source);
        for (int i = 0; i < letters.Length; i++)
            letters[i] = s_letters[utf8[i]];
    });

    /// <summary>The bytes that letters stand for; of a text that holds anything else, its own in UTF-8.</summary>
    public static byte[] Read(string letters)
    {
        var bytes = new byte[letters.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!s_bytes.TryGetValue(letters[i], out bytes[i]))
                return Encoding.UTF8.GetBytes(letters);
        }

        return bytes;
    }

    private static char[] MakeLetters()
    {
        var letters = new char[256];
        char next = '\u0100';
        for (int b = 0; b < letters.Length; b++)
            letters[b] = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : next++;
        return letters;
    }
}
