using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;
using Arrakis.Text.Steps;
using Arrakis.Text.Tests.Support;

namespace Arrakis.Text.Tests;

/// <summary>Every step of a <c>tokenizer.json</c>, on texts that tell its rules apart. What is expected is what Hugging Face's documentation and code say.</summary>
public sealed class StepTests
{
    [Theory]
    // GPT-2's and Llama 3's patterns, the second as it stands in that model's file.
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""", "Hi  there, it's 1234\n\n x", "Hi|Ġ|Ġthere|,|Ġit|'s|Ġ1234|ĊĊ|Ġx")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}""", "a b é", "ĠaĠbĠÃ©")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}""",
        "It'S  12345 !!\n\n  $x\u017F'\u017F", "It|'S|Ġ|Ġ|123|45|Ġ!!ĊĊ|Ġ|Ġ$|xÅ¿|'Å¿")]
    // A letter beyond UTF-16's first plane is a letter.
    [InlineData("""{"type":"Split","pattern":{"Regex":"\\p{L}+|\\p{N}"},"behavior":"Isolated","invert":false}""", "a𝒜b𝟗𝟗🦙", "a𝒜b|𝟗|𝟗|🦙")]
    [InlineData("""{"type":"Digits","individual_digits":true}""", "a12½b", "a|1|2|½|b")]
    [InlineData("""{"type":"Digits","individual_digits":false}""", "a12½b3", "a|12½|b|3")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}""", "Hi  you", "▁Hi|▁|▁you")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}""", "Hi you", "Hi▁you")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","add_prefix_space":true}""", " Hi", "▁Hi")]
    [InlineData("""{"type":"Whitespace"}""", "When Mara, 12 ...went\u200Don é\u0301!", "When|Mara|,|12|...|went\u200Don|é\u0301|!")]
    [InlineData("""{"type":"WhitespaceSplit"}""", " a,\u00A0b\n", "a,|b")]
    [InlineData("""{"type":"Punctuation","behavior":"Isolated"}""", "a..b«c$", "a|.|.|b|«|c|$")]
    [InlineData("""{"type":"BertPreTokenizer"}""", "a, b.", "a|,|b|.")]
    [InlineData("""{"type":"CharDelimiterSplit","delimiter":"-"}""", "a--b-", "a|b")]
    [InlineData("""{"type":"Split","pattern":{"String":"-"},"behavior":"Removed","invert":false}""", "-a--b-", "a|b")]
    [InlineData("""{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated","invert":false}""", "-a--b-", "-|a|-|-|b|-")]
    [InlineData("""{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious","invert":false}""", "-a--b-", "-|a-|-|b-")]
    [InlineData("""{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext","invert":false}""", "-a--b-", "-a|-|-b|-")]
    [InlineData("""{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous","invert":false}""", "-a--b-", "-|a|--|b|-")]
    [InlineData("""{"type":"Split","pattern":{"Regex":"[a-z]+"},"behavior":"Removed","invert":true}""", "-a--bc-", "a|bc")]
    public void Pre_tokenizers(string json, string text, string expected) =>
        Assert.Equal(expected, string.Join('|', Read(json, PreTokenizers.Read)(new TextPiece(text, IsFirst: true)).Select(piece => piece.Text)));

    [Fact]
    public void A_prefix_for_the_first_piece_only()
    {
        PreTokenizer first = Read("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}""", PreTokenizers.Read);
        Assert.Equal(["▁a"], first(new TextPiece("a", IsFirst: true)).Select(piece => piece.Text));
        Assert.Equal(["a"], first(new TextPiece("a", IsFirst: false)).Select(piece => piece.Text));
    }

    [Theory]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "a", "▁a")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "", "")]
    [InlineData("""{"type":"Replace","pattern":{"String":" "},"content":"▁"}""", " a b", "▁a▁b")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"}""", "a  b c   ", "a_b c_")]
    [InlineData("""{"type":"Lowercase"}""", "ÀÉΣ İ𐐀", "àéσ i\u0307𐐨")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", " a ", "a ")]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Replace","pattern":{"String":"a"},"content":"bb"}]}""", "AxA", "bbxbb")]
    public void Normalizing(string json, string text, string expected) => Assert.Equal(expected, Read(json, Normalizers.Read)(text));

    [Theory]
    [InlineData("""{"type":"ByteLevel"}""", "ĠH|i|Ã|©", " Hié")]
    [InlineData("null", "Jon|gave|.", "Jon gave .")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":true}""", "Jon|gave|##n|.|do|n't", "Jon gaven. don't")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":false}""", "Jon|.", "Jon .")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}""", "▁Hi|▁you|r", "Hi your")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}""", "▁Hi|▁you", " Hi you")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}""",
        "▁|▁Hi|<0xC3>|<0xA9>|▁", " Hié ")]
    public void Decoding(string json, string tokens, string expected)
    {
        string[] texts = tokens.Split('|');
        JsonObject file = TokenizerFiles.WordsJson();
        var vocabulary = new JsonObject { ["<unk>"] = 0 };
        foreach (string text in texts)
            vocabulary.TryAdd(text, vocabulary.Count);
        file["model"]!["vocab"] = vocabulary;
        file["added_tokens"] = new JsonArray();
        file["post_processor"] = null;
        file["decoder"] = JsonNode.Parse(json);
        Tokenizer tokenizer = Opened.Json(file);
        Assert.Equal(expected, tokenizer.Decode([.. texts.Select(text => vocabulary[text]!.GetValue<int>())]));
    }

    [Fact]
    public void Added_tokens_are_found_as_they_say()
    {
        (string Text, AddedToken Token) Token(string text, int id, Func<AddedToken, AddedToken>? change = null)
        {
            var token = new AddedToken(text, id);
            return (text, change is null ? token : change(token));
        }

        var tokens = new AddedTokens([Token("<a>", 1), Token("<a>b", 2), Token("[L]", 3, token => token with { StripsLeft = true }), Token("[R]", 4, token => token with { StripsRight = true }),
            Token("word", 5, token => token with { IsSingleWord = true })]);
        // The longest of those that begin first; white space goes with those that take it; a word within a word is none.
        Assert.Equal("x|2| |1|y|3|z|4|w", Show("x<a>b <a>y  [L]z[R] \n w"));
        Assert.Equal("5| words sword |5|.", Show("word words sword word."));
        Assert.Equal("", Show(""));

        string Show(string text) => string.Join('|', tokens.Split(text).Select(stretch => stretch.Token?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? text[stretch.Start..stretch.End]));
    }

    [Fact]
    public void Byte_letters_are_GPT_2s()
    {
        Assert.Equal("ĠÃ©ĊÂŃ", ByteLevel.Write(" é\n\u00AD"));
        Assert.Equal(Enumerable.Range(0, 256).Select(b => (byte)b).Order(), TokenizerFiles.ByteLetters.SelectMany(ByteLevel.Read).Order());
        Assert.Equal("日"u8.ToArray(), ByteLevel.Read("日"));
    }

    [Theory]
    [InlineData("a++")]
    [InlineData("a?+")]
    [InlineData("(a)\\1")]
    [InlineData("[a&&b]")]
    [InlineData("[[:alpha:]]")]
    [InlineData("\\p{Han}")]
    [InlineData("\\w+")]
    [InlineData("(?<=a)b")]
    [InlineData("a.b")]
    [InlineData("^a")]
    [InlineData("é")]
    [InlineData("(?i:\\p{Lu})")]
    [InlineData("(a")]
    [InlineData("a{,3}")]
    [InlineData("a{2}?")]
    public void Patterns_that_two_engines_may_see_differently_are_refused(string pattern) => Assert.Null(TokenPattern.Read(pattern));

    internal static T Read<T>(string json, Func<JsonFields?, T> read)
    {
        using var folder = new TemporaryFolder();
        return JsonFields.Read(folder.Write("step.json", $$"""{"step":{{json}}}"""), fields => read(fields.OptionalObject("step")));
    }
}
