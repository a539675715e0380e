using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Text.Models;
using Arrakis.Text.Steps;
using Google.Protobuf;

namespace Arrakis.Text.Tests.Support;

/// <summary>Small tokenizers of every format, made here, for tests to read or to spoil.</summary>
internal static class TokenizerFiles
{
    /// <summary>What a byte-pair encoding is learnt from.</summary>
    private const string Corpus =
        "Once upon a time there was a little girl who loved the little dog. The dog ran and ran, 123 times! it's they're we'll «été» 日本語 the time of the girl 🦙 Привет the theme";

    /// <summary>The letters of all bytes, as GPT-2's <c>bytes_to_unicode</c> has them: printable bytes first, then the others from U+0100 on.</summary>
    public static string[] ByteLetters { get; } =
    [
        .. Enumerable.Range(0, 256).Where(IsPrintable).Select(b => ((char)b).ToString()),
        .. Enumerable.Range(0, 256).Where(b => !IsPrintable(b)).Select((_, n) => ((char)(256 + n)).ToString()),
    ];

    /// <summary>Merges learnt from the corpus, the commonest pair first, of its words as letters.</summary>
    public static List<(string Left, string Right)> Learn(int count, Func<string, string> write)
    {
        List<List<string>> words = [.. Corpus.Split(' ').Select((word, i) => write(i == 0 ? word : " " + word).EnumerateRunes().Select(rune => rune.ToString()).ToList())];
        var merges = new List<(string, string)>();
        for (int m = 0; m < count; m++)
        {
            (string Left, string Right)? best = words
                .SelectMany(word => word.Zip(word.Skip(1)))
                .GroupBy(pair => pair)
                .OrderByDescending(group => group.Count()).ThenBy(group => group.Key.First + group.Key.Second, StringComparer.Ordinal).ThenBy(group => group.Key.First.Length)
                .Where(group => !merges.Any(merge => merge.Item1 + merge.Item2 == group.Key.First + group.Key.Second))
                .Select(group => ((string, string)?)group.Key)
                .FirstOrDefault();
            if (best is not (string left, string right))
                break;
            merges.Add((left, right));
            words = [.. words.Select(word => Join(word, left, right))];
        }

        return merges;
    }

    /// <summary>Joins a pair wherever it stands, from the left.</summary>
    public static List<string> Join(List<string> word, string left, string right)
    {
        var joined = new List<string>();
        foreach (string symbol in word)
        {
            if (symbol == right && joined.Count > 0 && joined[^1] == left)
                joined[^1] += right;
            else
                joined.Add(symbol);
        }

        return joined;
    }

    /// <summary>A byte-level <c>tokenizer.json</c>, as SmolLM's and GPT-2's are.</summary>
    public static JsonObject ByteLevelJson(int merges = 60)
    {
        List<(string Left, string Right)> learnt = Learn(merges, ByteLevel.Write);
        string[] tokens = [.. ByteLetters, .. learnt.Select(merge => merge.Left + merge.Right)];
        var vocabulary = new JsonObject();
        foreach (string token in tokens)
            vocabulary[token] = vocabulary.Count;
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added("<|begin|>", tokens.Length), Added("<|end|>", tokens.Length + 1)),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["post_processor"] = null,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. learnt.Select(merge => JsonValue.Create($"{merge.Left} {merge.Right}"))]),
            },
        };
    }

    /// <summary>A <c>tokenizer.json</c> with byte fallback, as TinyLlama's is.</summary>
    public static JsonObject FallbackJson()
    {
        List<(string Left, string Right)> learnt = Learn(40, text => text.Replace(' ', '▁'));
        string[] letters = [.. Corpus.Replace(' ', '▁').EnumerateRunes().Select(rune => rune.ToString()).Distinct().Where(letter => letter is not ("🦙" or "日"))];
        var vocabulary = new JsonObject { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        foreach (string token in Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>").Concat(letters).Concat(learnt.Select(merge => merge.Left + merge.Right)))
            vocabulary.TryAdd(token, vocabulary.Count);
        List<(string Left, string Right)> usable = [.. learnt.Where(merge => vocabulary.ContainsKey(merge.Left) && vocabulary.ContainsKey(merge.Right))];
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added("<unk>", 0), Added("<s>", 1), Added("</s>", 2)),
            ["normalizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(
                    new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" },
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = "▁" }),
            },
            ["pre_tokenizer"] = null,
            ["post_processor"] = Template("<s>", 1),
            ["decoder"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["decoders"] = new JsonArray(
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = "▁" }, ["content"] = " " },
                    new JsonObject { ["type"] = "ByteFallback" },
                    new JsonObject { ["type"] = "Fuse" },
                    new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 }),
            },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["unk_token"] = "<unk>",
                ["fuse_unk"] = true,
                ["byte_fallback"] = true,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. usable.Select(merge => new JsonArray(merge.Left, merge.Right))]),
            },
        };
    }

    /// <summary>A <c>tokenizer.json</c> of whole words.</summary>
    public static JsonObject WordsJson(JsonObject? preTokenizer = null) => new()
    {
        ["added_tokens"] = new JsonArray(Added("<unk>", 0), Added("<s>", 1)),
        ["pre_tokenizer"] = preTokenizer ?? new JsonObject { ["type"] = "Whitespace" },
        ["post_processor"] = Template("<s>", 1),
        ["decoder"] = null,
        ["model"] = new JsonObject
        {
            ["type"] = "WordLevel",
            ["unk_token"] = "<unk>",
            ["vocab"] = new JsonObject { ["<unk>"] = 0, ["<s>"] = 1, ["Jon"] = 2, ["gave"] = 3, ["Mara"] = 4, ["the"] = 5, ["book"] = 6, ["."] = 7, [","] = 8 },
        },
    };

    public static JsonObject Added(string content, int id, bool special = true) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = special,
    };

    public static JsonObject Template(string token, int id) => new()
    {
        ["type"] = "TemplateProcessing",
        ["single"] = new JsonArray(
            new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = token, ["type_id"] = 0 } },
            new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "A", ["type_id"] = 0 } }),
        ["special_tokens"] = new JsonObject { [token] = new JsonObject { ["id"] = token, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(token) } },
    };

    /// <summary>SentencePiece's pieces: three special ones, the bytes, and words, letters last as trainers put them.</summary>
    public static SentencePieces Pieces(char space = '▁')
    {
        string[] words = [.. Learn(40, text => text.Replace(' ', '▁')).Select(merge => merge.Left + merge.Right).Append("▁!").Append("!!").Append("!!!").Distinct()];
        string[] letters = [.. (Corpus + "=").Replace(' ', '▁').EnumerateRunes().Select(rune => rune.ToString()).Distinct().Where(letter => letter is not ("🦙" or "日"))];
        string[] texts = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), .. words.Except(letters), .. letters];
        var kinds = new PieceKind[texts.Length];
        Array.Fill(kinds, PieceKind.Normal);
        (kinds[0], kinds[1], kinds[2]) = (PieceKind.Unknown, PieceKind.Control, PieceKind.Control);
        Array.Fill(kinds, PieceKind.Byte, 3, 256);
        return new SentencePieces([.. texts.Select(text => text.Replace('▁', space))], [.. Enumerable.Range(0, texts.Length).Select(id => id < 259 ? 0f : 259f - id)], kinds) { Space = space };
    }

    /// <summary>A GGUF that holds a vocabulary of SentencePiece's kind and no weights.</summary>
    public static GgufBuilder GgufOf(SentencePieces pieces) => new GgufBuilder()
        .Text("general.architecture", "llama")
        .Text("tokenizer.ggml.model", "llama")
        .Texts("tokenizer.ggml.tokens", pieces.Texts)
        .Floats("tokenizer.ggml.scores", pieces.Scores)
        .Integers("tokenizer.ggml.token_type", [.. pieces.Kinds.Select(kind => (int)kind)])
        .UInt32("tokenizer.ggml.bos_token_id", 1)
        .UInt32("tokenizer.ggml.eos_token_id", 2);

    /// <summary>A GGUF that holds a byte-level vocabulary and no weights.</summary>
    public static GgufBuilder GgufOfBytes(string pre)
    {
        List<(string Left, string Right)> learnt = Learn(60, ByteLevel.Write);
        string[] tokens = [.. ByteLetters, .. learnt.Select(merge => merge.Left + merge.Right), "<|begin|>", "<|user|>"];
        int[] kinds = [.. Enumerable.Repeat(1, tokens.Length - 2), 3, 4];
        return new GgufBuilder()
            .Text("general.architecture", "llama")
            .Text("tokenizer.ggml.model", "gpt2")
            .Text("tokenizer.ggml.pre", pre)
            .Texts("tokenizer.ggml.tokens", tokens)
            .Integers("tokenizer.ggml.token_type", kinds)
            .Texts("tokenizer.ggml.merges", [.. learnt.Select(merge => $"{merge.Left} {merge.Right}")])
            .UInt32("tokenizer.ggml.bos_token_id", (uint)tokens.Length - 2);
    }

    /// <summary>llama2.c's file.</summary>
    public static byte[] Llama2c(SentencePieces pieces)
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write(pieces.Texts.Max(text => Encoding.UTF8.GetByteCount(text)));
        for (int id = 0; id < pieces.Texts.Length; id++)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(pieces.Kinds[id] == PieceKind.Control ? $"\n{pieces.Texts[id]}\n" : pieces.Texts[id]);
            writer.Write(pieces.Scores[id]);
            writer.Write(bytes.Length);
            writer.Write(bytes);
        }

        writer.Flush();
        return stream.ToArray();
    }

    /// <summary>SentencePiece's file; <paramref name="trainer"/> and <paramref name="normalizer"/> write what it says beside the pieces.</summary>
    public static byte[] Model(SentencePieces pieces, Action<CodedOutputStream>? trainer = null, Action<CodedOutputStream>? normalizer = null) => Message(output =>
    {
        for (int id = 0; id < pieces.Texts.Length; id++)
        {
            Field(output, 1, Message(piece =>
            {
                piece.WriteTag(1, WireFormat.WireType.LengthDelimited);
                piece.WriteString(pieces.Texts[id]);
                piece.WriteTag(2, WireFormat.WireType.Fixed32);
                piece.WriteFloat(pieces.Scores[id]);
                Number(piece, 3, (int)pieces.Kinds[id]);
            }));
        }

        Field(output, 2, Message(trainer ?? Bpe));
        Field(output, 3, Message(normalizer ?? KeepsSpaces));
    });

    /// <summary>Of type BPE, with byte fallback.</summary>
    public static void Bpe(CodedOutputStream trainer)
    {
        Number(trainer, 3, 2);
        Number(trainer, 35, 1);
    }

    /// <summary>As Llama's: no rules, and spaces are kept.</summary>
    public static void KeepsSpaces(CodedOutputStream normalizer) => Number(normalizer, 4, 0);

    public static void Number(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }

    private static void Field(CodedOutputStream output, int field, byte[] message)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(message));
    }

    private static byte[] Message(Action<CodedOutputStream> fields)
    {
        using var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true))
            fields(output);
        return stream.ToArray();
    }

    private static bool IsPrintable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
}
