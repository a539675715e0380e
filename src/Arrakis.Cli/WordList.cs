using System.Text.Json;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The words of a bundled model whose <c>tokenizer.json</c> is a list of whole words (WordLevel): enough to tell a story in words.</summary>
internal sealed class WordList
{
    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<int, string> _words;

    private WordList(Dictionary<string, int> ids) => (_ids, _words) = (ids, ids.ToDictionary(pair => pair.Value, pair => pair.Key));

    /// <summary>The word of an id; null where it has none.</summary>
    public string? this[int id] => _words.GetValueOrDefault(id);

    /// <summary>The list in a folder; null where there is none.</summary>
    public static WordList? In(string folder)
    {
        string path = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(path))
            return null;
        try
        {
            using var json = JsonDocument.Parse(File.ReadAllBytes(path));
            JsonElement model = json.RootElement.GetProperty("model");
            return model.GetProperty("type").ValueEquals("WordLevel") ? new WordList(model.GetProperty("vocab").EnumerateObject().ToDictionary(word => word.Name, word => word.Value.GetInt32())) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new ArrakisException($"cannot read {path}: {e.Message}", e);
        }
    }

    /// <summary>The ids of a text whose words are separated by spaces; null where it has a word that the list has not.</summary>
    public int[]? Encode(string text)
    {
        string[] words = text.Split(' ');
        return words.All(_ids.ContainsKey) ? [.. words.Select(word => _ids[word])] : null;
    }
}
