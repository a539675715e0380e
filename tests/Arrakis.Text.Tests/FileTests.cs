using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Text.Models;
using Arrakis.Text.Tests.Support;

namespace Arrakis.Text.Tests;

/// <summary>Each format: which tokens come out of it, where it is looked for, and how what is wrong with it is said.</summary>
public sealed class FileTests
{
    [Fact]
    public void The_four_files_of_one_SentencePiece_vocabulary_agree()
    {
        SentencePieces pieces = TokenizerFiles.Pieces();
        Tokenizer[] all =
        [
            Opened.File("v.gguf", TokenizerFiles.GgufOf(pieces).Build()), Opened.File("tokenizer.model", TokenizerFiles.Model(pieces)),
            Opened.File("tokenizer.bin", TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '))),
        ];
        foreach (string text in new[] { "Once upon a time", "  the girl\n", "!!!!!!", "日🦙", "the", " " })
        {
            int[] ids = all[0].Encode(text);
            Assert.Equal(1, ids[0]);
            Assert.All(all, tokenizer => Assert.Equal(ids, tokenizer.Encode(text)));
        }

        Assert.Equal(["<s>", " the", " girl"], all[2].Encode("the girl").Select(all[2].Piece));
        Assert.All(all, tokenizer => Assert.Equal((1, true, pieces.Texts.Length), (tokenizer.BosTokenId, tokenizer.AddsBos, tokenizer.VocabSize)));
    }

    [Fact]
    public void Special_tokens_are_found_in_text_except_by_llama2c()
    {
        SentencePieces pieces = TokenizerFiles.Pieces();
        Tokenizer gguf = Opened.File("v.gguf", TokenizerFiles.GgufOf(pieces).Build());
        int[] ids = gguf.Encode("the</s>the");
        // What follows a special token begins anew, with the space before a word.
        Assert.Equal(["<s>", " the", "</s>", " the"], ids.Select(gguf.Piece));
        Assert.Equal("the the", gguf.Decode(ids));
        Assert.DoesNotContain(2, Opened.File("tokenizer.bin", TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '))).Encode("the</s>the"));
        Tokenizer json = Opened.Json(TokenizerFiles.ByteLevelJson());
        Assert.Equal("the<|end|>girl", string.Concat(json.Encode("the<|end|>girl").Select(json.Piece)));
        Assert.Equal("thegirl", json.Decode(json.Encode("the<|end|>girl")));
    }

    [Fact]
    public void Words()
    {
        Tokenizer tokenizer = Opened.Json(TokenizerFiles.WordsJson());
        int[] ids = tokenizer.Encode("Jon gave  Mara,the paper.");
        Assert.Equal([1, 2, 3, 4, 8, 5, 0, 7], ids);
        Assert.Equal("Jon gave Mara , the .", tokenizer.Decode(ids));
        Assert.Equal(["<s>", "Jon"], ids[..2].Select(tokenizer.Piece));
        Assert.Null(tokenizer.Piece(99));
        JsonObject without = TokenizerFiles.WordsJson();
        without["model"]!.AsObject().Remove("unk_token");
        Assert.Contains("'paper' is not in the vocabulary", Assert.Throws<Native.ArrakisException>(() => Opened.Json(without).Encode("paper")).Message);
    }

    [Fact]
    public void The_begin_token_is_as_the_files_say()
    {
        JsonObject silent = TokenizerFiles.ByteLevelJson();
        Assert.False(Opened.Json(silent).AddsBos);
        JsonObject Config(bool adds) => new() { ["add_bos_token"] = adds, ["bos_token"] = new JsonObject { ["content"] = "<|begin|>" } };
        Tokenizer adding = Opened.Json(silent, Config(true));
        Assert.Equal(adding.BosTokenId, adding.Encode("a")[0]);
        Assert.True(Opened.Json(TokenizerFiles.FallbackJson()).AddsBos);
        Assert.False(Opened.Json(TokenizerFiles.FallbackJson(), new JsonObject { ["add_bos_token"] = false, ["bos_token"] = "<s>" }).AddsBos);
        // llama.cpp's defaults, and a file that says otherwise.
        Assert.False(Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("gpt-2").Build()).AddsBos);
        Assert.True(Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("llama-bpe").Build()).AddsBos);
        Assert.True(Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("gpt-2").Bool("tokenizer.ggml.add_bos_token", true).Build()).AddsBos);
        Assert.False(Opened.File("v.gguf", TokenizerFiles.GgufOf(TokenizerFiles.Pieces()).Bool("tokenizer.ggml.add_bos_token", false).Build()).AddsBos);
        // The end token comes where the file wants it, and goes with the begin token.
        Tokenizer ending = Opened.File("v.gguf", TokenizerFiles.GgufOf(TokenizerFiles.Pieces()).Bool("tokenizer.ggml.add_eos_token", true).Build());
        Assert.Equal(["<s>", " the", "</s>"], ending.Encode("the").Select(ending.Piece));
        Assert.Equal([" the"], ending.Encode("the", bos: false).Select(ending.Piece));
        JsonObject words = TokenizerFiles.WordsJson();
        words["post_processor"]!["single"]!.AsArray().Add(new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = "<s>" } });
        Assert.Equal([1, 2, 1], Opened.Json(words).Encode("Jon"));
        Assert.Equal([2], Opened.Json(words).Encode("Jon", bos: false));
    }

    [Fact]
    public void Spaces_are_kept_or_left_out_as_the_model_says()
    {
        SentencePieces pieces = TokenizerFiles.Pieces();
        // The format's own default leaves extra spaces out.
        Tokenizer trimmed = Opened.File("tokenizer.model", TokenizerFiles.Model(pieces, normalizer: _ => { }));
        Assert.Equal("the girl", trimmed.Decode(trimmed.Encode("  the   girl ")));
        Assert.Equal([1], trimmed.Encode("   "));
        Tokenizer bare = Opened.File("v.gguf", TokenizerFiles.GgufOf(pieces).Bool("tokenizer.ggml.add_space_prefix", false).Build());
        Assert.NotEqual(bare.Encode("the"), bare.Encode(" the"));
        Assert.Equal(" the", bare.Decode(bare.Encode(" the")));
    }

    [Fact]
    public void User_defined_pieces_are_never_cut()
    {
        SentencePieces pieces = TokenizerFiles.Pieces();
        int id = Array.IndexOf(pieces.Texts, "!!!");
        PieceKind[] kinds = [.. pieces.Kinds];
        kinds[id] = PieceKind.UserDefined;
        Tokenizer model = Opened.File("tokenizer.model", TokenizerFiles.Model(pieces with { Kinds = kinds }));
        Assert.Equal(["<s>", " the", "!!!", "!"], model.Encode("the!!!!").Select(model.Piece));
        // To SentencePiece it is a part of the text; to llama.cpp what follows it begins anew.
        Assert.Equal(["!!!", " girl"], model.Encode("!!! girl").TakeLast(2).Select(model.Piece));
        Tokenizer gguf = Opened.File("v.gguf", TokenizerFiles.GgufOf(pieces with { Kinds = kinds }).Build());
        Assert.Equal(["<s>", "!!!", " ", " girl"], gguf.Encode("!!! girl").Select(gguf.Piece));
    }

    [Fact]
    public void It_is_found_where_the_model_lies()
    {
        using var folder = new TemporaryFolder();
        byte[] bin = TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' '));
        string model = folder.Write("stories.bin", [0]);
        Assert.Null(Tokenizer.OpenIfAny(model));
        Assert.Contains("beside it lies no tokenizer.bin and no other tok*.bin", Assert.Throws<Native.ModelFormatException>(() => Tokenizer.Open(model)).Message);
        string only = folder.Write("tok512.bin", bin);
        Assert.Equal(only, Tokenizer.Open(model).Path);
        folder.Write("tok32000.bin", bin);
        Assert.Contains("several tokenizers beside it (tok32000.bin, tok512.bin)", Assert.Throws<Native.ModelFormatException>(() => Tokenizer.Open(model)).Message);
        Assert.Equal(only, Tokenizer.Open(only).Path);
        string named = folder.Write("tokenizer.bin", bin);
        Assert.Equal(named, Tokenizer.Open(model).Path);

        Assert.Contains("has no tokenizer", Assert.Throws<Native.ModelFormatException>(() => Tokenizer.Open(folder.Path)).Message);
        string pieces = folder.Write("tokenizer.model", TokenizerFiles.Model(TokenizerFiles.Pieces()));
        Assert.Equal(pieces, Tokenizer.Open(folder.Path).Path);
        string json = folder.Write("tokenizer.json", TokenizerFiles.WordsJson().ToJsonString());
        Assert.Equal(json, Tokenizer.Open(folder.Path).Path);
        Assert.Equal(json, Tokenizer.Open(folder.Write("model.safetensors", [0])).Path);
        Assert.Contains("does not exist", Assert.Throws<Native.ModelFormatException>(() => Tokenizer.Open(folder.File("none"))).Message);
    }
}
