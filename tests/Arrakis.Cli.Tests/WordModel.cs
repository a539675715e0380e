using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary>A golden model in a folder of its own, with words of our making for its vocabulary of 97: a begin token, and words with numbers.</summary>
internal sealed class WordModel : IDisposable
{
    public WordModel()
    {
        foreach (string file in System.IO.Directory.GetFiles(GoldenModel.First.Folder))
            File.Copy(file, Folder.File(System.IO.Path.GetFileName(file)));
        Tokenizer = "{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false}],\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},"
            + "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[1]}}},"
            + $"\"model\":{{\"type\":\"WordLevel\",\"unk_token\":\"<unk>\",\"vocab\":{{{string.Join(',', Enumerable.Range(0, 97).Select(id => $"{JsonSerializer.Serialize(Piece(id))}:{id}"))}}}}}}}";
        Folder.Write("tokenizer.json", Tokenizer);
    }

    public TemporaryFolder Folder { get; } = new();

    /// <summary>What <c>--model</c> names.</summary>
    public string Path => Folder.Path;

    /// <summary>The text of its <c>tokenizer.json</c>.</summary>
    public string Tokenizer { get; }

    /// <summary>Makes every weight not a number.</summary>
    public void BreakWeights()
    {
        string path = Folder.File("model.safetensors");
        byte[] file = File.ReadAllBytes(path);
        file.AsSpan(8 + (int)BitConverter.ToInt64(file)).Fill(0xFF);
        File.WriteAllBytes(path, file);
    }

    public static string Piece(int id) => id switch
    {
        0 => "<unk>",
        1 => "<s>",
        2 => "\u00E9t\u00E9",
        3 => "a\nb",
        _ => $"w{id}",
    };

    public void Dispose() => Folder.Dispose();
}
