using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Arrakis.Weights.Tales;

/// <summary>
/// <c>tales-data</c>: writes what the tales model is trained on and measured with. The bytes depend on the seed alone.
/// Training goes in stages of rows of one length. A row holds recitations, or tales, one after the other, the last cut where the row ends.
/// </summary>
internal static class TalesData
{
    /// <summary>
    /// What is learned first and what then. Where there are few places to look at, and nothing else to learn, looking back at the right one is found within minutes;
    /// and short rows are cheap.
    /// </summary>
    private static readonly Stage[] s_stages =
    [
        new(Length: 49, Rows: 19_200, IsFirst: true, Recitations: 40, Tales: 0),
        new(Length: Context + 1, Rows: 60_000, IsFirst: false, Recitations: 25, Tales: 60),
    ];

    /// <summary>The context of the model.</summary>
    private const int Context = 128;

    private const ulong HeldOutStream = 2, TrainingStream = 10;

    /// <summary>Marks a token that training does not ask for: nothing foretells a random word that is said for the first time.</summary>
    private const int Unasked = 0x8000;

    /// <summary>Marks a token that training asks for more: the name of who gets a gift, one word in thirty.</summary>
    private const int Stressed = 0x4000;

    /// <summary>Writes everything into a folder.</summary>
    public static void Write(string folder, ulong seed)
    {
        Directory.CreateDirectory(folder);
        var vocabulary = new Vocabulary();
        var pairs = new Pairs(seed);

        WriteTokens(Path.Combine(folder, "train.bin"), [.. s_stages.SelectMany((stage, i) => Rows(stage, vocabulary, new SeededRandom(seed, TrainingStream + (ulong)i), pairs))]);
        WriteText(Path.Combine(folder, "stages.json"), JsonSerializer.Serialize(s_stages.Select(stage => new { length = stage.Length, rows = stage.Rows })) + "\n");
        var unseen = new SeededRandom(seed, HeldOutStream);
        ushort[] tales = TaleRows(600, vocabulary, unseen, pairs);
        WriteTokens(Path.Combine(folder, "heldout.bin"), tales);
        WriteText(Path.Combine(folder, "prompts.json"), TestPrompts.Write(vocabulary, seed, pairs));
        WriteText(Path.Combine(folder, "tokenizer.json"), TokenizerJson(vocabulary));
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{vocabulary.Tokens.Count} tokens; {s_stages.Sum(stage => (long)stage.Rows * stage.Length)} of them to train on; {pairs.HeldOut.Count} held-out pairs; the choices of held-out tales cost {unseen.Nats / tales.Count(id => id > Vocabulary.Begin):F4} nats a token"));
    }

    /// <summary>
    /// Holds a folder against the seed: every file has the bytes that are written anew, no training document names a held-out pair, and every sentence of the held-out
    /// tales is of the grammar.
    /// </summary>
    /// <returns>What is wrong; null if nothing is.</returns>
    public static string? Verify(string folder, ulong seed)
    {
        DirectoryInfo anew = Directory.CreateTempSubdirectory("arrakis-tales-");
        try
        {
            Write(anew.FullName, seed);
            foreach (FileInfo file in anew.EnumerateFiles())
            {
                if (!File.ReadAllBytes(file.FullName).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(folder, file.Name))))
                    return $"{file.Name} has other bytes than seed {seed} gives";
            }
        }
        finally
        {
            anew.Delete(recursive: true);
        }

        var vocabulary = new Vocabulary();
        var pairs = new Pairs(seed);
        foreach (string[] document in Documents(Path.Combine(folder, "train.bin"), vocabulary))
        {
            if (!pairs.Allow([.. document.Intersect(Words.Names)]))
                return $"a held-out pair meets in: {string.Join(' ', document)}";
        }

        var grammar = new Grammar();
        return Documents(Path.Combine(folder, "heldout.bin"), vocabulary).SelectMany(Grammar.SentencesOf).FirstOrDefault(sentence => !grammar.Accepts(sentence)) is { } wrong
            ? $"not of the grammar: {string.Join(' ', wrong)}"
            : null;
    }

    /// <summary>Documents without the tokens that begin and end them.</summary>
    private static IEnumerable<string[]> Documents(string path, Vocabulary vocabulary)
    {
        var document = new List<string>();
        foreach (ushort token in MemoryMarshal.Cast<byte, ushort>(File.ReadAllBytes(path)).ToArray())
        {
            int id = token & ~(Unasked | Stressed);
            if (id > Vocabulary.End)
            {
                document.Add(vocabulary.Tokens[id]);
            }
            else if (id == Vocabulary.Begin && document.Count > 0)
            {
                yield return [.. document];
                document.Clear();
            }
        }

        yield return [.. document];
    }

    /// <summary>A tokenizer that Hugging Face's library reads: words and single punctuation marks, and <c>&lt;s&gt;</c> before them.</summary>
    public static string TokenizerJson(Vocabulary vocabulary)
    {
        static JsonObject Template(string kind, string id, int type) => new() { [kind] = new JsonObject { ["id"] = id, ["type_id"] = type } };
        var special = new JsonArray();
        var words = new JsonObject();
        for (int id = 0; id < vocabulary.Tokens.Count; id++)
        {
            words[vocabulary.Tokens[id]] = id;
            if (id > Vocabulary.End)
                continue;
            special.Add((JsonNode)new JsonObject
            {
                ["id"] = id, ["content"] = vocabulary.Tokens[id], ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true,
            });
        }

        var json = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = special,
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject { ["type"] = "WhitespaceSplit" },
                    new JsonObject { ["type"] = "Punctuation", ["behavior"] = "Isolated" }),
            },
            ["post_processor"] = new JsonObject
            {
                ["type"] = "TemplateProcessing",
                ["single"] = new JsonArray(Template("SpecialToken", "<s>", 0), Template("Sequence", "A", 0)),
                ["pair"] = new JsonArray(Template("SpecialToken", "<s>", 0), Template("Sequence", "A", 0), Template("Sequence", "B", 1)),
                ["special_tokens"] = new JsonObject
                {
                    ["<s>"] = new JsonObject { ["id"] = "<s>", ["ids"] = new JsonArray(Vocabulary.Begin), ["tokens"] = new JsonArray("<s>") },
                },
            },
            ["decoder"] = null,
            ["model"] = new JsonObject { ["type"] = "WordLevel", ["vocab"] = words, ["unk_token"] = "<unk>" },
        };
        return json.ToJsonString(new JsonSerializerOptions { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }) + "\n";
    }

    private static ushort[] Rows(Stage stage, Vocabulary vocabulary, SeededRandom random, Pairs pairs)
    {
        var writer = new TaleWriter(random, pairs, heldOut: false);
        var tokens = new List<ushort>(stage.Rows * stage.Length);
        for (int row = 1; row <= stage.Rows; row++)
        {
            int end = row * stage.Length;
            bool recites = random.Chance(stage.Recitations);
            while (tokens.Count < end)
            {
                int left = end - tokens.Count;
                (List<string> document, HashSet<int> unasked) =
                    stage.IsFirst ? (recites ? writer.Repeats(Math.Min(10 + random.Below(stage.Length - 11), Math.Max(8, left))) : writer.GiftAlone())
                    : recites ? writer.Phrases(Math.Min(10 + random.Below(stage.Length - 11), left))
                    : random.Chance(stage.Tales) ? (writer.Tale(), [])
                    : random.Chance(85) ? (writer.ShortTale(), [])
                    : writer.Recital(30);
                if (!recites && !stage.IsFirst)
                    document.Add("</s>");
                tokens.Add(Vocabulary.Begin);
                tokens.AddRange(document.Take(end - tokens.Count).Select((word, i) => (ushort)(vocabulary[word] | Mark(i))));
                int Mark(int i) => unasked.Contains(i) ? Unasked : writer.Receivers.Contains(i) ? Stressed : 0;
            }
        }

        return [.. tokens];
    }

    /// <summary>Whole tales of unseen pairs, one after the other.</summary>
    private static ushort[] TaleRows(int count, Vocabulary vocabulary, SeededRandom random, Pairs pairs)
    {
        var writer = new TaleWriter(random, pairs, heldOut: true);
        var tokens = new List<ushort>();
        for (int i = 0; i < count; i++)
        {
            List<string> tale;
            do
            {
                tale = writer.Tale();
            }
            while (tale.Count > Context - 1);
            tokens.AddRange([Vocabulary.Begin, .. tale.Select(word => (ushort)vocabulary[word]), Vocabulary.End]);
        }

        return [.. tokens];
    }

    private static void WriteTokens(string path, ushort[] tokens) => File.WriteAllBytes(path, MemoryMarshal.AsBytes<ushort>(tokens));

    private static void WriteText(string path, string text) => File.WriteAllText(path, text);

    /// <summary>A part of training.</summary>
    /// <param name="Length">The tokens of a row, one more than are predicted at once.</param>
    /// <param name="Rows">How many rows.</param>
    /// <param name="IsFirst">Whether it teaches to look back and nothing else, with gifts, each alone, and words that repeat in one order.</param>
    /// <param name="Recitations">The percentage of rows that hold nothing but random words said again and again.</param>
    /// <param name="Tales">The percentage of whole tales among the other documents; the rest are one gift each, or a recital.</param>
    private sealed record Stage(int Length, int Rows, bool IsFirst, int Recitations, int Tales);
}
