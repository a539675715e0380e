using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Text.Tests.Support;

/// <summary>Every reader of tokenizers, which opens one and takes texts through it and back.</summary>
internal static class TokenizerReaders
{
    // Words, spaces of every kind, a special token, what is in no vocabulary, contractions, marks that compose, and repetition, which slow patterns show at.
    private static readonly string[] s_texts =
    [
        "Once upon a time, the  little girl's dog ran 123 times! ", "", " ", "<s> Jon gave Mara<|end|>the\tbook.\r\n\r\n  ", "«e\u0301té» 日本語 🦙 Ǆ\u0130 ½ \u2028",
        new string('a', 64) + "!", new string(' ', 64) + ".", "'s'S we'LL they're n't do not",
    ];

    private static readonly string[] s_steps =
    [
        "\"type\"", "\"Sequence\"", "\"Prepend\"", "\"Replace\"", "\"Strip\"", "\"Lowercase\"", "\"Split\"", "\"Digits\"", "\"Metaspace\"", "\"Whitespace\"", "\"Punctuation\"",
        "\"ByteLevel\"", "\"ByteFallback\"", "\"Fuse\"", "\"WordPiece\"", "\"BPE\"", "\"WordLevel\"", "\"merges\"", "\"vocab\"", "\"content\"", "\"pattern\"", "\"Regex\"", "\"String\"",
        "\"Isolated\"", "\"MergedWithPrevious\"", "\"MergedWithNext\"", "\"Contiguous\"", "\"Removed\"", "\"unk_token\"", "\"ignore_merges\"", "\"normalized\"", "\"single_word\"",
        "\"lstrip\"", "(?:", "(?i:", "(?!", ")+", "{1,3}", "\\\\s", "\\\\p{L}", "[^", "|", "▁",
    ];

    public static IReadOnlyList<Reader> All { get; } =
    [
        new("tokenizer.json", [.. new[] { TokenizerFiles.ByteLevelJson(), Stepped(), TokenizerFiles.FallbackJson(), TokenizerFiles.WordsJson() }.Select(Bytes)], [.. Reader.Json, .. s_steps],
            (folder, bytes) => Read(folder.Write("tokenizer.json", bytes))),
        new("tokenizer_config", [Bytes(Config("<s>")), Bytes(Config(new JsonObject { ["content"] = "<s>" }))],
            [.. Reader.Json, "\"add_bos_token\"", "\"add_eos_token\"", "\"bos_token\"", "\"content\"", "<unk>"], ReadConfig),
        new("tokenizer.model", [TokenizerFiles.Model(TokenizerFiles.Pieces())], ["<0x41>", "▁", "<s>"],
            (folder, bytes) => Read(folder.Write("tokenizer.model", bytes))),
        new("tokenizer.gguf", [TokenizerFiles.GgufOf(TokenizerFiles.Pieces()).Build(), TokenizerFiles.GgufOfBytes("llama-bpe").Build(), TokenizerFiles.GgufOfBytes("smollm").Build()],
            ["GGUF", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.add_bos_token", "llama", "gpt2", "qwen2", "<0x41>", "▁", "Ġ"],
            (folder, bytes) => Read(folder.Write("tokenizer.gguf", bytes))),
        new("tokenizer.bin", [TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '))], ["<0x41>", "<s>"],
            (folder, bytes) => Read(folder.Write("tokenizer.bin", bytes))),
    ];

    /// <summary>A small <c>tokenizer.json</c> with a step of many kinds.</summary>
    private static JsonObject Stepped()
    {
        JsonObject json = TokenizerFiles.WordsJson(JsonNode.Parse("""
            {
              "type": "Sequence",
              "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": "(?i:'s|'ll)|[^\\s\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+" }, "behavior": "Isolated", "invert": false },
                { "type": "Split", "pattern": { "String": "," }, "behavior": "MergedWithPrevious", "invert": true },
                { "type": "Digits", "individual_digits": true },
                { "type": "Punctuation", "behavior": "Contiguous" },
                { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true }
              ]
            }
            """)!.AsObject());
        json["normalizer"] = JsonNode.Parse("""
            { "type": "Sequence", "normalizers": [
                { "type": "Lowercase" }, { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " }, { "type": "Strip", "strip_left": true, "strip_right": true }, { "type": "Prepend", "prepend": "▁" } ] }
            """);
        json["decoder"] = JsonNode.Parse("""{ "type": "Sequence", "decoders": [ { "type": "Metaspace", "replacement": "▁" }, { "type": "WordPiece", "prefix": "##", "cleanup": true } ] }""");
        json["added_tokens"]!.AsArray().Add(JsonNode.Parse("""{ "id": 9, "content": "Dog", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": false }"""));
        return json;
    }

    private static JsonObject Config(JsonNode begin) => new() { ["add_bos_token"] = true, ["add_eos_token"] = true, ["bos_token"] = begin, ["eos_token"] = "</s>" };

    private static byte[] Bytes(JsonObject json) => Encoding.UTF8.GetBytes(json.ToJsonString());

    private static void ReadConfig(TemporaryFolder folder, byte[] bytes)
    {
        if (!File.Exists(folder.File("tokenizer.json")))
            folder.Write("tokenizer.json", Bytes(TokenizerFiles.FallbackJson()));
        folder.Write("tokenizer_config.json", bytes);
        Read(folder.Path);
    }

    /// <summary>Opens a tokenizer and uses all of it; every id that it gives must be one of its own.</summary>
    private static void Read(string path)
    {
        const int Shown = 400;
        Tokenizer tokenizer = Tokenizer.Open(path);
        Check(tokenizer.BosTokenId is not int begin || tokenizer.Piece(begin) is not null, "a text begins with what is no token");
        foreach (string text in s_texts)
        {
            int[] ids = tokenizer.Encode(text);
            Check(ids.All(id => id >= 0 && id < tokenizer.VocabSize && tokenizer.Piece(id) is not null), $"\"{text}\" becomes what is no token");
            Check(ids.Length > 0 || tokenizer.Decode(ids).Length == 0, "text comes from nothing");
        }

        for (int id = 0; id < Math.Min(tokenizer.VocabSize, Shown); id++)
            Check(tokenizer.Piece(id) is not null || tokenizer.Decode([id]).Length == 0, $"{id} is no token, and says something");
    }

    private static void Check(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvalidOperationException(otherwise);
    }
}
