using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Text.Models;
using Arrakis.Text.Tests.Support;
using CsCheck;

namespace Arrakis.Text.Tests;

/// <summary>What is not done exactly is refused by name, and what is damaged in one line.</summary>
public sealed class RefusalTests
{
    [Theory]
    [InlineData("model.type", "\"Unigram\"", "model.type is \"Unigram\": supported is \"BPE\" and \"WordLevel\"")]
    [InlineData("model", "null", "model is missing")]
    [InlineData("model.vocab", "null", "model.vocab is missing")]
    [InlineData("model.vocab", "{}", "model.vocab is empty")]
    [InlineData("model.vocab", """{"a":0,"b":0}""", "model.vocab.b is 0, and so is another token")]
    [InlineData("model.vocab", """{"a":-1}""", "model.vocab.a is -1")]
    [InlineData("model.vocab", """{"a":2147483647}""", "model.vocab.a is 2147483647: supported is 0 to 2147483646")]
    [InlineData("model.vocab", """{"a":1.5}""", "supported is an integer")]
    [InlineData("model.merges", """["a b c"]""", "model.merges[0] is not two tokens with a space between")]
    [InlineData("model.merges", """[["a"]]""", "model.merges[0] is not two tokens")]
    [InlineData("model.merges", """["a q\u0000"]""", "which is not in the vocabulary")]
    [InlineData("model.merges", """["h e","h e"]""", "model.merges[1] stands twice")]
    [InlineData("model.merges", "7", "model.merges is 7: supported is a list")]
    [InlineData("model.unk_token", "\"none\"", "model.unk_token is \"none\", which is not in the vocabulary")]
    [InlineData("model.dropout", "0.1", "model.dropout is 0.1: supported is none")]
    [InlineData("model.end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix")]
    [InlineData("model.continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix")]
    [InlineData("normalizer", """{"type":"Nmt"}""", "normalizer.type is \"Nmt\": supported is")]
    [InlineData("normalizer", """{"type":"Precompiled","precompiled_charsmap":""}""", "normalizer.type is \"Precompiled\"")]
    [InlineData("normalizer", """{"type":"Sequence","normalizers":[{"type":"StripAccents"}]}""", "normalizer.normalizers[0].type is \"StripAccents\"")]
    [InlineData("normalizer", """{"type":"Replace","pattern":{"Regex":"\\p{Han}"},"content":""}""", "normalizer.pattern is")]
    [InlineData("pre_tokenizer", """{"type":"UnicodeScripts"}""", "pre_tokenizer.type is \"UnicodeScripts\": supported is")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"a++"},"behavior":"Isolated"}""", "pre_tokenizer.pattern is")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"String":"a"},"behavior":"Glued"}""", "pre_tokenizer.behavior is \"Glued\"")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}""", "pre_tokenizer.prepend_scheme is \"last\"")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace","replacement":"  "}""", "pre_tokenizer.replacement is \"  \": supported is one character")]
    [InlineData("pre_tokenizer", "[1]", "supported is an object")]
    [InlineData("post_processor", """{"type":"BertProcessing"}""", "post_processor.type is \"BertProcessing\"")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}}""", "post_processor.special_tokens.x is missing")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{"x":{"ids":[9999]}}}""", "post_processor.special_tokens.x.ids holds 9999, which is no token")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[],"special_tokens":{}}""", "post_processor.single holds no text")]
    [InlineData("decoder", """{"type":"CTC"}""", "decoder.type is \"CTC\": supported is")]
    [InlineData("decoder", """{"type":"Strip","content":" ","start":0,"stop":1}""", "\"Strip\" of 1 at the end")]
    [InlineData("added_tokens", """[{"id":0,"content":"zzz"}]""", "added_tokens[0].id is 0 for \"zzz\", and the vocabulary says otherwise")]
    [InlineData("added_tokens", """[{"id":1}]""", "added_tokens[0].content is missing")]
    public void Json(string key, string value, string says)
    {
        JsonObject file = TokenizerFiles.ByteLevelJson();
        string[] keys = key.Split('.');
        JsonObject at = keys.SkipLast(1).Aggregate(file, (inner, name) => inner[name]!.AsObject());
        at[keys[^1]] = JsonNode.Parse(value);
        Assert.Contains(says, Opened.Refusal(file));
    }

    [Theory]
    [InlineData("unigram", "trainer_spec.model_type is UNIGRAM: supported is BPE")]
    [InlineData("rules", "normalizer_spec.name is \"nmt_nfkc\", with rules of its own: supported is \"identity\"")]
    [InlineData("suffix", "treat_whitespace_as_suffix")]
    [InlineData("unescaped", "escape_whitespaces")]
    public void Model(string what, string says)
    {
        byte[] file = TokenizerFiles.Model(
            TokenizerFiles.Pieces(),
            trainer =>
            {
                TokenizerFiles.Number(trainer, 3, what == "unigram" ? 1 : 2);
                TokenizerFiles.Number(trainer, 24, what == "suffix" ? 1 : 0);
            },
            normalizer =>
            {
                if (what == "rules")
                {
                    normalizer.WriteTag(1, Google.Protobuf.WireFormat.WireType.LengthDelimited);
                    normalizer.WriteString("nmt_nfkc");
                    normalizer.WriteTag(2, Google.Protobuf.WireFormat.WireType.LengthDelimited);
                    normalizer.WriteBytes(Google.Protobuf.ByteString.CopyFromUtf8("rules"));
                }

                TokenizerFiles.Number(normalizer, 5, what == "unescaped" ? 0 : 1);
            });
        Assert.Contains(says, Opened.Refusal("tokenizer.model", file));
    }

    [Fact]
    public void Gguf()
    {
        Assert.Contains("tokenizer.ggml.pre is \"chameleon\": supported is \"gpt-2\"", Opened.Refusal("v.gguf", TokenizerFiles.GgufOfBytes("chameleon").Build()));
        Assert.Contains("tokenizer.ggml.model is \"t5\": supported is \"llama\" and \"gpt2\"", Opened.Refusal("v.gguf", new GgufBuilder().Text("tokenizer.ggml.model", "t5").Texts("tokenizer.ggml.tokens", "a").Build()));
        Assert.Contains("tokenizer.ggml.tokens is missing: the file holds no vocabulary", Opened.Refusal("v.gguf", new GgufBuilder().Text("general.architecture", "llama").Build()));
        SentencePieces pieces = TokenizerFiles.Pieces();
        Assert.Contains("tokenizer.ggml.scores has 1 items, and there are", Opened.Refusal("v.gguf", TokenizerFiles.GgufOf(pieces with { Scores = [1f] }).Build()));
        Assert.Contains("has score NaN", Opened.Refusal("v.gguf", TokenizerFiles.GgufOf(pieces with { Scores = [.. pieces.Scores.Select(_ => float.NaN)] }).Build()));
        Assert.Contains($"token {pieces.Texts.Length - 1} is \"the\", and so is token", Opened.Refusal("v.gguf", TokenizerFiles.GgufOf(pieces with { Texts = [.. pieces.Texts[..^2], "the", "the"] }).Build()));
        Assert.Contains("has no token for byte 65", Opened.Refusal("v.gguf", TokenizerFiles.GgufOf(pieces with { Texts = [.. pieces.Texts.Select(text => text == "<0x41>" ? "<0x4>" : text)] }).Build()));
        Assert.Contains("tokenizer.ggml.bos_token_id is 100000", Opened.Refusal("v.gguf", new GgufBuilder()
            .Text("tokenizer.ggml.model", "llama").Texts("tokenizer.ggml.tokens", "a").Floats("tokenizer.ggml.scores", 0).UInt32("tokenizer.ggml.bos_token_id", 100000).Build()));
    }

    [Fact]
    public void Llama2c()
    {
        byte[] whole = TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '));
        Assert.Contains("holds 0 tokens", Opened.Refusal("tokenizer.bin", [1, 0, 0, 0]));
        Assert.Contains("ends within the header of token", Opened.Refusal("tokenizer.bin", [.. whole, 0]));
        Assert.Contains("this is no llama2.c tokenizer, or it is cut short", Opened.Refusal("tokenizer.bin", whole[..^1]));
        byte[] other = [.. whole];
        other[Encoding.Latin1.GetString(whole).IndexOf("<0x41>", StringComparison.Ordinal) + 3] = (byte)'5';
        Assert.Contains("is \"<0x51>\", where byte 65 is wanted", Opened.Refusal("tokenizer.bin", other));
    }

    /// <summary>Files that are well formed, and ask for more than any machine has.</summary>
    [Theory]
    [InlineData("normalizer", "normalizer makes ")]
    [InlineData("pre_tokenizer", "pre-tokenizer makes ")]
    [InlineData("decoder", "decoder makes ")]
    [InlineData("pattern", @"regular expression (?:a| ?a)+\p{N} takes over 2 s for 64 characters")]
    public void Text_that_grows_or_takes_without_end(string what, string says)
    {
        JsonObject file = TokenizerFiles.ByteLevelJson();
        // Each doubles what the one before it made, 60 times: 10^18 characters.
        static JsonArray Many(string step) => new([.. Enumerable.Repeat(step, 60).Select(one => JsonNode.Parse(one))]);
        const string Doubles = """{"type":"Replace","pattern":{"String":"a"},"content":"aa"}""";
        (string key, JsonObject step) = what switch
        {
            "normalizer" => (what, new JsonObject { ["type"] = "Sequence", ["normalizers"] = Many(Doubles) }),
            "pre_tokenizer" => (what, new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = Many("""{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}""") }),
            "decoder" => (what, new JsonObject { ["type"] = "Sequence", ["decoders"] = Many(Doubles) }),
            _ => ("pre_tokenizer", JsonNode.Parse("""{"type":"Split","pattern":{"Regex":"(?:a| ?a)+\\p{N}"},"behavior":"Isolated"}""")!.AsObject()),
        };
        file[key] = step;
        Tokenizer tokenizer = Opened.Json(file);
        string message = Assert.Throws<Native.ArrakisException>(() => tokenizer.Decode(tokenizer.Encode(new string('a', 64)))).Message;
        Assert.Contains(says, message, StringComparison.Ordinal);
        Assert.DoesNotContain(message, char.IsControl);
    }

    /// <summary>Bytes changed anywhere, and files cut anywhere: a tokenizer that works, or one line.</summary>
    [Fact]
    public void Damage_is_one_line()
    {
        (string Name, byte[] Bytes)[] files =
        [
            ("tokenizer.json", Encoding.UTF8.GetBytes(TokenizerFiles.ByteLevelJson().ToJsonString())),
            ("tokenizer.model", TokenizerFiles.Model(TokenizerFiles.Pieces())),
            ("v.gguf", TokenizerFiles.GgufOf(TokenizerFiles.Pieces()).Build()),
            ("w.gguf", TokenizerFiles.GgufOfBytes("gpt-2").Build()),
            ("tokenizer.bin", TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '))),
        ];
        Gen.Select(Gen.Int[0, files.Length - 1], Gen.Double[0, 1], Gen.Byte, Gen.Bool).Sample(
            (file, place, value, cuts) =>
            {
                (string name, byte[] bytes) = files[file];
                int at = (int)(place * (bytes.Length - 1));
                byte[] damaged = cuts ? bytes[..at] : [.. bytes];
                if (!cuts)
                    damaged[at] = value;
                try
                {
                    Tokenizer tokenizer = Opened.File(name, damaged);
                    tokenizer.Decode(tokenizer.Encode("Once upon a time, 日本 🦙!"));
                }
                catch (Native.ModelFormatException e)
                {
                    Assert.DoesNotContain(e.Message, char.IsControl);
                }
            },
            iter: 1000);
    }
}
