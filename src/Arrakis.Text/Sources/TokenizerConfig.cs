using Arrakis.Native.Weights;

namespace Arrakis.Text.Sources;

/// <summary>What <c>tokenizer_config.json</c> says about the ends of a text; nothing where it is not there or silent.</summary>
internal sealed record TokenizerConfig(bool? AddsBegin, bool? AddsEnd, string? Begin, string? End)
{
    /// <summary>Reads the one in the same folder.</summary>
    public static TokenizerConfig Beside(string path)
    {
        string file = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path)) ?? ".", "tokenizer_config.json");
        return File.Exists(file)
            ? JsonFields.Read(file, json => new TokenizerConfig(Flag(json, "add_bos_token"), Flag(json, "add_eos_token"), Token(json, "bos_token"), Token(json, "eos_token")))
            : new TokenizerConfig(null, null, null, null);
    }

    private static bool? Flag(JsonFields json, string key) => json.Has(key) ? json.Flag(key, false) : null;

    /// <summary>A token's text, or an object that says more about it.</summary>
    private static string? Token(JsonFields json, string key) => json.IsObject(key) ? json.OptionalObject(key)!.OptionalText("content") : json.OptionalText(key);
}
