using System.Text;
using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary>Text in, and tokens by what they stand for, on a golden model with words of our making.</summary>
public sealed class TextTests : IDisposable
{
    private readonly WordModel _words = new();

    public void Dispose() => _words.Dispose();

    [Fact]
    public void Tokenize()
    {
        JsonElement document = Called.Json("tokenize", "--model", _words.Path, "--text", "w5 nobody \u00E9t\u00E9");
        document.HasKeys("ids", "tokens");
        Assert.Equal([1, 5, 0, 2], document.Ints("ids"));
        Assert.Equal(["<s>", "w5", "<unk>", "\u00E9t\u00E9"], Texts(document, "tokens"));
        Assert.Equal([5], Called.Json("tokenize", "--model", _words.Path, "--text", "w5", "--no-bos").Ints("ids"));
        Assert.Empty(Called.Json("tokenize", "--model", _words.Path, "--text", "").Ints("ids"));
        Assert.Equal(["a\nb"], Texts(Called.Json("tokenize", "--model", _words.Path, "--ids", "3"), "tokens"));
        // A text, not a file of arguments.
        Assert.Equal([1, 0], Called.Json("tokenize", "--model", _words.Path, "--text", "@w5").Ints("ids"));
        string table = Called.Text("tokenize", "--model", _words.Path, "--text", "w5 \u00E9t\u00E9");
        Assert.Contains("\u00E9t\u00E9", table);
        Assert.Contains("3 tokens of a vocabulary of 97.", table);
        Assert.Contains("a\\nb", Called.Text("tokenize", "--model", _words.Path, "--ids", "3"));
    }

    [Fact]
    public void Tokenize_takes_the_options_of_everywhere()
    {
        JsonElement random = Called.Json("tokenize", "--model", _words.Path, "--random", "5", "--seed", "3", "--threads", "1", "--kernels", "scalar");
        Assert.Equal(Called.Json("run", "--model", _words.Path, "--random", "5", "--seed", "3").Ints("ids"), random.Ints("ids"));
        Called beyond = Called.With("tokenize", "--model", _words.Path, "--ids", "5,97", "--json");
        Assert.Equal((1, "", "arrakis: token id 97 at position 1 is outside the tokenizer's vocabulary: use 0 to 96\n"), (beyond.Code, beyond.Output, beyond.Error));
        Called both = Called.With("tokenize", "--model", _words.Path, "--text", "", "--ids", "1,2");
        Assert.Equal((2, ""), (both.Code, both.Output));
        Assert.StartsWith("arrakis: several inputs: ", both.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_is_the_ids_that_it_stands_for()
    {
        string[] text = ["--model", _words.Path, "--text", "w17 w4 w50"], ids = ["--model", _words.Path, "--ids", "1,17,4,50"];
        foreach (string call in new[] { "heads write --layer 1", "heads read --layer 1 --dim 3", "flow --src 1 --dst -1", "routes --dst -1", "" })
        {
            string[] words = call.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            Called of = Called.With([.. words, .. text, "--json"]);
            Assert.Equal((0, ""), (of.Code, of.Error));
            Assert.Equal(Called.With([.. words, .. ids, "--json"]), of);
            Assert.Equal(["<s>", "w17", "w4", "w50"], Texts(JsonDocument.Parse(of.Output).RootElement, "tokens"));
            // In tables too, where a model knows its words.
            Assert.Contains("w17", Called.Text([.. words, .. ids]));
        }
    }

    [Fact]
    public void Run_and_generate()
    {
        JsonElement run = Called.Json("run", "--model", _words.Path, "--text", "w17 w4", "--top", "3");
        Assert.Equal(["<s>", "w17", "w4"], Texts(run, "tokens"));
        Assert.All(run.Items("top"), candidate => Assert.Equal(WordModel.Piece(candidate.Int("id")), candidate.GetProperty("token").GetString()));

        JsonElement generated = Called.Json("generate", "--model", _words.Path, "--text", "w17 w4", "-n", "5");
        string said = string.Concat(generated.Ints("ids").Where(id => id != 1).Select(id => " " + WordModel.Piece(id)));
        Assert.Equal(said, generated.GetProperty("text").GetString());
        Assert.Equal($"w17 w4{said}\n", Called.Text("generate", "--model", _words.Path, "--text", "w17 w4", "-n", "5"));
        // Nothing is a beginning too, where the tokenizer puts one.
        Assert.Equal([1], Called.Json("generate", "--model", _words.Path, "--text", "", "-n", "1").Ints("prompt_ids"));
    }

    [Theory]
    [InlineData("generate -n 1", "--text", "w5 nobody w6 nothing")]
    [InlineData("patch --ids 1,5,6,7,8 --minus 4", "--source-text", "w5 nobody w6 nothing")]
    public void What_the_model_does_not_know_is_said(string call, string option, string text)
    {
        foreach (string[] json in new string[][] { [], ["--json"] })
        {
            Called called = Called.With([.. call.Split(' '), "--model", _words.Path, option, text, .. json]);
            Assert.Equal(0, called.Code);
            Assert.Equal(
                $"arrakis: 2 of 5 tokens of {option} are <unk>, for what is not in the vocabulary: the model knows nothing of it (arrakis tokenize shows which)\n", called.Error);
        }

        Assert.StartsWith("arrakis: 1 of 2 tokens of --text is <unk>", Called.With("run", "--model", _words.Path, "--text", "nobody").Error);
        // Ids are taken as they are.
        Assert.Equal("", Called.With("run", "--model", _words.Path, "--ids", "1,0").Error);
    }

    /// <summary>A temperature whose inverse is no number any more leaves the likeliest token.</summary>
    [Fact]
    public void As_good_as_no_temperature_is_greedy()
    {
        string[] call = ["generate", "--model", _words.Path, "--ids", "1,17", "-n", "8"];
        Assert.Equal(Called.Json(call).Ints("ids"), Called.Json([.. call, "--temperature", "2e-39"]).Ints("ids"));
    }

    [Fact]
    public void Nothing_is_generated_from_what_is_not_finite()
    {
        _words.BreakWeights();
        foreach (string temperature in new[] { "0", "1" })
        {
            Called called = Called.With("generate", "--model", _words.Path, "--ids", "1,17", "-n", "3", "--temperature", temperature, "--json");
            Assert.Equal((1, ""), (called.Code, called.Output));
            Assert.Contains("hold values that are not finite", called.Error);
        }
    }

    /// <summary>More than the context has room for is refused before anything runs; what it has room for is not.</summary>
    [Fact]
    public void Generation_ends_with_the_context()
    {
        int context = GoldenModel.First.Config.GetProperty("max_position_embeddings").GetInt32();
        string[] call = ["generate", "--model", _words.Path, "--random", $"{context - 1}", "--json"];
        Assert.Equal(0, Called.With([.. call, "-n", "2"]).Code);
        Called called = Called.With([.. call, "-n", "3"]);
        Assert.Equal(
            (1, "", $"arrakis: -n is 3: behind the {context - 1} tokens of the input this model's context of {context} has room for 2: use that or fewer\n"),
            (called.Code, called.Output, called.Error));
    }

    [Fact]
    public void Without_a_tokenizer_ids_are_all_there_is()
    {
        File.Delete(_words.Folder.File("tokenizer.json"));
        JsonElement run = Called.Json("run", "--model", _words.Path, "--ids", "1,17");
        Assert.Equal(JsonValueKind.Null, run.GetProperty("tokens").ValueKind);
        Assert.Equal(JsonValueKind.Null, run.Items("top")[0].GetProperty("token").ValueKind);
        Assert.Equal(JsonValueKind.Null, Called.Json("generate", "--model", _words.Path, "--ids", "1,17", "-n", "2").GetProperty("text").ValueKind);
        foreach (string command in new[] { "run", "tokenize", "generate" })
        {
            Called refused = Called.With(command, "--model", _words.Path, "--text", "w17");
            Assert.Equal((1, ""), (refused.Code, refused.Output));
            Assert.Equal($"arrakis: {_words.Path}: has no tokenizer: a model folder holds tokenizer.json or tokenizer.model: name another with --tokenizer PATH\n", refused.Error);
        }

        string elsewhere = _words.Folder.Write("words.json", _words.Tokenizer);
        Assert.Equal([1, 17], Called.Json("run", "--model", _words.Path, "--text", "w17", "--tokenizer", elsewhere).Ints("ids"));
    }

    [Fact]
    public void A_tokenizer_that_is_not_supported_stops_text_only()
    {
        _words.Folder.Write("tokenizer.json", _words.Tokenizer.Replace("WhitespaceSplit", "UnicodeScripts", StringComparison.Ordinal));
        Called ids = Called.With("run", "--model", _words.Path, "--ids", "1,17", "--json");
        Assert.Equal(0, ids.Code);
        Assert.StartsWith("arrakis: tokens are shown as ids: ", ids.Error);
        Assert.Contains("pre_tokenizer.type is \"UnicodeScripts\": supported is", ids.Error);
        Called text = Called.With("run", "--model", _words.Path, "--text", "w17", "--json");
        Assert.Equal((1, "", 1), (text.Code, text.Output, text.Error.Count(c => c == '\n')));
        Assert.Contains("pre_tokenizer.type is \"UnicodeScripts\"", text.Error);
    }

    [Fact]
    public void A_vocabulary_without_weights_serves_tokenize_and_info()
    {
        byte[] file = new GgufBuilder().Text("general.architecture", "llama").Text("tokenizer.ggml.model", "llama")
            .Texts("tokenizer.ggml.tokens", ["<unk>", "<s>", "\u2581a", "\u2581", "a"]).Floats("tokenizer.ggml.scores", 0, 0, -1, -2, -3)
            .Integers("tokenizer.ggml.token_type", 2, 3, 1, 1, 1).UInt32("tokenizer.ggml.bos_token_id", 1).Build();
        string path = _words.Folder.Write("vocabulary.gguf", file);
        JsonElement document = Called.Json("tokenize", "--model", path, "--text", "a aq");
        Assert.Equal([1, 2, 2, 0], document.Ints("ids"));
        Assert.Equal(["<s>", " a", " a", "<unk>"], Texts(document, "tokens"));
        Called run = Called.With("run", "--model", path, "--text", "a");
        Assert.Equal(1, run.Code);
        Assert.Contains("holds no tensors: it is a vocabulary without a model", run.Error);
    }

    /// <summary>Text comes as it is made, to a pipe as well: what was written before a token was asked for is there.</summary>
    [Fact]
    public void Generated_text_comes_token_by_token()
    {
        using var output = new Flushes();
        using var error = new StringWriter();
        Assert.Equal(0, Program.Run(["generate", "--model", _words.Path, "--text", "w17 w4", "-n", "4"], output, error, CancellationToken.None));
        Assert.True(output.Count >= 5, $"{output.Count} flushes");
        Assert.Equal("", error.ToString());
    }

    /// <summary>Cancelled while it writes, it stops before the next token: what was written stays, and nothing is said beside the exit code.</summary>
    [Fact]
    public void Generation_is_cancelled_between_tokens()
    {
        using var cancellation = new CancellationTokenSource();
        using var output = new Flushes { Flushed = count => Cancel(cancellation, count == 3) };
        using var error = new StringWriter();
        Assert.Equal(130, Program.Run(["generate", "--model", _words.Path, "--text", "w17 w4", "-n", "40"], output, error, cancellation.Token));
        // The third piece, and the end of its line.
        Assert.Equal(4, output.Count);
        Assert.Equal("", error.ToString());
    }

    private static void Cancel(CancellationTokenSource source, bool isTime)
    {
        if (isTime)
            source.Cancel();
    }

    private static string[] Texts(JsonElement document, string key) => [.. document.GetProperty(key).EnumerateArray().Select(text => text.GetString()!)];

    private sealed class Flushes : StringWriter
    {
        public int Count { get; private set; }

        public override Encoding Encoding => Encoding.UTF8;

        public Action<int> Flushed { get; init; } = _ => { };

        public override void Flush() => Flushed(++Count);
    }
}
