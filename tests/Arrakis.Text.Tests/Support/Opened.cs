using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Text.Tests.Support;

/// <summary>Tokenizers out of files that are gone again: nothing of them is read later.</summary>
internal static class Opened
{
    public static Tokenizer Json(JsonObject json, JsonObject? config = null)
    {
        using var folder = new TemporaryFolder();
        if (config is not null)
            folder.Write("tokenizer_config.json", config.ToJsonString());
        folder.Write("tokenizer.json", json.ToJsonString());
        return Tokenizer.Open(folder.Path);
    }

    public static Tokenizer File(string name, byte[] bytes)
    {
        using var folder = new TemporaryFolder();
        return Tokenizer.Open(folder.Write(name, bytes));
    }

    /// <summary>The message of a refusal without its path; it must be one line that begins with that path.</summary>
    public static string Refusal(string name, byte[] bytes)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write(name, bytes);
        string message = Assert.Throws<Native.ModelFormatException>(() => Tokenizer.Open(path)).Message;
        Assert.StartsWith(path + ": ", message);
        Assert.DoesNotContain(message, char.IsControl);
        return message[(path.Length + 2)..];
    }

    public static string Refusal(JsonObject json) => Refusal("tokenizer.json", System.Text.Encoding.UTF8.GetBytes(json.ToJsonString()));
}
