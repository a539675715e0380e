namespace Arrakis.Text.Sources;

/// <summary>Where the tokenizer of a model lies, and in which form.</summary>
internal static class TokenizerPlace
{
    private const string Json = "tokenizer.json", Model = "tokenizer.model", Llama2c = "tokenizer.bin", AnyLlama2c = "tok*.bin";

    /// <summary>The file of a model's tokenizer.</summary>
    /// <param name="path">The model, or the tokenizer's own file.</param>
    /// <param name="missing">Where there is none: why.</param>
    public static string? Find(string path, out string missing)
    {
        missing = $"has no tokenizer: a model folder holds {Json} or {Model}";
        if (Directory.Exists(path))
            return FindIn(path);
        missing = "does not exist";
        if (!File.Exists(path) || IsTokenizer(path))
            return File.Exists(path) ? path : null;
        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? ".";
        switch (Path.GetExtension(path).ToUpperInvariant())
        {
            case ".GGUF":
                return path;
            case ".SAFETENSORS":
                missing = $"has no tokenizer: beside it lies no {Json} and no {Model}";
                return FindIn(folder);
            default:
                return FindLlama2c(folder, out missing);
        }
    }

    /// <summary>Reads a file that <see cref="Find"/> found.</summary>
    public static Tokenizer Read(string path) => Path.GetExtension(path).ToUpperInvariant() switch
    {
        ".JSON" => TokenizerJson.Read(path),
        ".MODEL" => SentencePieceFile.Read(path),
        ".GGUF" => GgufVocabulary.Read(path),
        _ => Llama2cVocabulary.Read(path),
    };

    private static string? FindIn(string folder) => new[] { Json, Model }.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    private static bool IsTokenizer(string path)
    {
        string name = Path.GetFileName(path);
        return Path.GetExtension(name).ToUpperInvariant() is ".JSON" or ".MODEL"
            || System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(AnyLlama2c, name);
    }

    /// <summary><c>tokenizer.bin</c> beside the model, or the only other file <c>tok*.bin</c> there.</summary>
    private static string? FindLlama2c(string folder, out string missing)
    {
        missing = $"has no tokenizer: beside it lies no {Llama2c} and no other {AnyLlama2c}";
        string named = Path.Combine(folder, Llama2c);
        if (File.Exists(named))
            return named;
        string[] others = Directory.GetFiles(folder, AnyLlama2c);
        if (others.Length > 1)
            missing = $"has several tokenizers beside it ({string.Join(", ", others.Select(Path.GetFileName).Order(StringComparer.Ordinal))}) and none is {Llama2c}";
        return others.Length == 1 ? others[0] : null;
    }
}
