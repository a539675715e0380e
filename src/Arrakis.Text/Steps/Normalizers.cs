using System.Text;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Steps;

/// <summary>What a <c>tokenizer.json</c> does to a stretch of text before it is cut into pieces.</summary>
internal static class Normalizers
{
    private const string Supported = "\"Prepend\", \"Replace\", \"Strip\", \"Lowercase\", \"NFC\", \"NFD\", \"NFKC\", \"NFKD\" and \"Sequence\"";

    /// <summary>Reads a normalizer; null changes nothing.</summary>
    public static Func<string, string> Read(JsonFields? json)
    {
        Func<string, string>[] steps = json is null ? [] : [.. Steps(json)];
        return text =>
        {
            string changed = text;
            foreach (Func<string, string> step in steps)
            {
                changed = step(changed);
                Growth.Check("normalizer", text.Length, changed.Length);
            }

            return changed;
        };
    }

    private static IEnumerable<Func<string, string>> Steps(JsonFields json) =>
        json.OptionalText("type") == "Sequence" ? json.Objects("normalizers").SelectMany(Steps) : [ReadStep(json)];

    private static Func<string, string> ReadStep(JsonFields json)
    {
        string type = json.OptionalText("type") ?? throw json.Unsupported("type", Supported);
        switch (type)
        {
            case "Prepend":
                string before = json.OptionalText("prepend") ?? throw json.Fault("prepend", "is missing");
                return text => text.Length == 0 ? text : before + text;
            case "Replace":
                return Replace(json);
            case "Strip":
                bool left = json.Flag("strip_left", false), right = json.Flag("strip_right", false);
                return text => left ? (right ? text.Trim() : text.TrimStart()) : right ? text.TrimEnd() : text;
            case "Lowercase":
                return Lowercase;
            case "NFC" or "NFD" or "NFKC" or "NFKD":
                return Unicode(json, type);
            default:
                throw json.Unsupported("type", Supported);
        }
    }

    private static Func<string, string> Replace(JsonFields json)
    {
        string content = json.OptionalText("content") ?? throw json.Fault("content", "is missing");
        if (TextPattern.Read(json) is not TextPattern pattern)
            throw json.Unsupported("pattern", TextPattern.Supported);
        return text =>
        {
            var built = new StringBuilder(text.Length);
            int done = 0;
            foreach ((int start, int end) in pattern.Matches(text))
            {
                built.Append(text, done, start - done).Append(content);
                done = end;
            }

            return built.Append(text, done, text.Length - done).ToString();
        };
    }

    private static string Lowercase(string text)
    {
        var built = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            // The one character whose lower case is two.
            if (rune.Value == 0x130)
                built.Append("i\u0307");
            else
                built.Append(Rune.ToLowerInvariant(rune));
        }

        return built.ToString();
    }

    private static Func<string, string> Unicode(JsonFields json, string type)
    {
        // Without its tables .NET takes every text for normalized.
        if ("e\u0301".Normalize(NormalizationForm.FormC) != "\u00E9")
            throw json.Fault("type", $"is \"{type}\", for which this program needs Unicode's tables: it runs without them (InvariantGlobalization)");
        NormalizationForm form = type switch
        {
            "NFC" => NormalizationForm.FormC,
            "NFD" => NormalizationForm.FormD,
            "NFKC" => NormalizationForm.FormKC,
            _ => NormalizationForm.FormKD,
        };
        // .NET refuses half surrogate pairs, which no text here holds, and U+FFFE, which normalizing leaves as it is and which composes with nothing: the stretches around it are normalized.
        return text => string.Join('\uFFFE', text.Split('\uFFFE').Select(stretch => stretch.Normalize(form)));
    }
}
