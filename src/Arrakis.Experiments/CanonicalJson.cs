using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Arrakis.Experiments;

/// <summary>
/// One text for every way of writing the same JSON, after RFC 8785: no white space, names in the order of their UTF-16 units, strings with the fewest escapes, numbers as
/// ECMAScript writes the double. One thing more: whole numbers written without point or exponent keep all their digits, so that a 64-bit seed is not rounded.
/// </summary>
internal static class CanonicalJson
{
    /// <summary>SHA-256 of the canonical text in UTF-8, as 64 lower-case hexadecimal digits.</summary>
    /// <exception cref="InvalidOperationException">A string holds half a surrogate pair.</exception>
    public static string Hash(JsonElement value) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Write(value))));

    /// <summary>The canonical text.</summary>
    /// <inheritdoc cref="Hash"/>
    public static string Write(JsonElement value)
    {
        var text = new StringBuilder();
        Write(value, text);
        return text.ToString();
    }

    private static void Write(JsonElement value, StringBuilder to)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                WriteAll('{', value.EnumerateObject().OrderBy(property => property.Name, StringComparer.Ordinal), '}', to, property =>
                {
                    WriteString(property.Name, to);
                    to.Append(':');
                    Write(property.Value, to);
                });
                break;
            case JsonValueKind.Array:
                WriteAll('[', value.EnumerateArray(), ']', to, item => Write(item, to));
                break;
            case JsonValueKind.String:
                WriteString(value.GetString()!, to);
                break;
            case JsonValueKind.Number:
                to.Append(Number(value));
                break;
            default:
                to.Append(value.GetRawText());
                break;
        }
    }

    private static void WriteAll<T>(char open, IEnumerable<T> items, char close, StringBuilder to, Action<T> write)
    {
        to.Append(open);
        bool first = true;
        foreach (T item in items)
        {
            if (!first)
                to.Append(',');
            first = false;
            write(item);
        }

        to.Append(close);
    }

    private static void WriteString(string text, StringBuilder to)
    {
        to.Append('"');
        foreach (char c in text)
        {
            int i = "\"\\\b\t\n\f\r".IndexOf(c, StringComparison.Ordinal);
            if (i >= 0)
                to.Append('\\').Append("\"\\btnfr"[i]);
            else if (c < ' ')
                to.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else
                to.Append(c);
        }

        to.Append('"');
    }

    private static string Number(JsonElement value)
    {
        string raw = value.GetRawText();
        return raw != "-0" && raw.AsSpan().IndexOfAny('.', 'e', 'E') < 0 ? raw : Number(value.GetDouble());
    }

    /// <summary>ECMAScript's Number::toString: the shortest digits that give the double back, with an exponent from 1e21 up and below 1e-6.</summary>
    internal static string Number(double value)
    {
        if (value == 0)
            return "0";
        string shortest = Math.Abs(value).ToString("R", CultureInfo.InvariantCulture);
        string sign = value < 0 ? "-" : "";
        int e = shortest.IndexOf('E', StringComparison.Ordinal);
        string mantissa = e < 0 ? shortest : shortest[..e];
        int exponent = e < 0 ? 0 : int.Parse(shortest.AsSpan(e + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        int point = mantissa.IndexOf('.', StringComparison.Ordinal);
        string all = mantissa.Replace(".", "", StringComparison.Ordinal);
        string digits = all.TrimStart('0');
        // value = 0.digits × 10^n
        int n = (point < 0 ? mantissa.Length : point) + exponent - (all.Length - digits.Length);
        digits = digits.TrimEnd('0');
        return sign + Place(digits, n);
    }

    private static string Place(string digits, int n)
    {
        int k = digits.Length;
        if (n is > 21 or <= -6)
        {
            string rest = k > 1 ? "." + digits[1..] : "";
            return string.Create(CultureInfo.InvariantCulture, $"{digits[0]}{rest}e{(n > 0 ? "+" : "-")}{Math.Abs(n - 1)}");
        }

        if (n <= 0)
            return "0." + new string('0', -n) + digits;
        return k <= n ? digits + new string('0', n - k) : digits[..n] + "." + digits[n..];
    }
}
