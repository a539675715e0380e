using System.Text;
using Arrakis.Text.Steps;
using Arrakis.Text.Tests.Support;
using CsCheck;

namespace Arrakis.Text.Tests;

/// <summary>Text that went through tokens is the text that it was, whatever it was, all at once and token by token.</summary>
public sealed class RoundTripTests
{
    private static readonly string[] s_pieces = [" ", "  ", "\n", "\r\n", "\t", " the", " girl", "Once", "é", "日本", "🦙", "!!!", "▁", "'s", "'S", "123", "\u0301", "👩‍👩‍👧"];
    private static readonly Gen<int> s_known = Gen.Int[0, s_pieces.Length - 1];

    /// <summary>Random Unicode, half of it out of what the vocabularies know, with runs of spaces.</summary>
    private static Gen<string> Texts { get; } = Gen.OneOf(
            Gen.Int[0, 0x10FFFF].Where(Rune.IsValid).Select(value => new Rune(value).ToString()),
            Gen.Char[' ', '~'].Select(c => c.ToString()),
            s_known.Select(i => s_pieces[i]))
        .Array[0, 24].Select(string.Concat);

    /// <summary>Tokenizers that lose nothing.</summary>
    private static readonly (string Name, Tokenizer Tokenizer)[] s_lossless =
    [
        ("byte-level json", Opened.Json(TokenizerFiles.ByteLevelJson())),
        ("gguf gpt2", Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("gpt-2").Build())),
        ("gguf llama-bpe", Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("llama-bpe").Build())),
        ("gguf smollm", Opened.File("v.gguf", TokenizerFiles.GgufOfBytes("smollm").Build())),
        ("llama2.c", Opened.File("tokenizer.bin", TokenizerFiles.Llama2c(TokenizerFiles.Pieces(' ')))),
    ];

    /// <summary>Tokenizers that lose the difference between a space and ▁, in which they write it.</summary>
    private static readonly (string Name, Tokenizer Tokenizer)[] s_spaced =
    [
        ("fallback json", Opened.Json(TokenizerFiles.FallbackJson())),
        ("gguf llama", Opened.File("v.gguf", TokenizerFiles.GgufOf(TokenizerFiles.Pieces()).Build())),
        ("model", Opened.File("tokenizer.model", TokenizerFiles.Model(TokenizerFiles.Pieces()))),
    ];

    [Fact]
    public void Random_Unicode_comes_back() => Texts.Sample(
        text =>
        {
            foreach ((string name, Tokenizer tokenizer) in s_lossless)
                Comes(text, text, tokenizer, name);
            foreach ((string name, Tokenizer tokenizer) in s_spaced)
                Comes(text.Replace('▁', ' '), text, tokenizer, name);
        },
        iter: 2000);

    [Fact]
    public void Half_a_surrogate_pair_is_a_replacement_character()
    {
        foreach ((string name, Tokenizer tokenizer) in s_lossless.Concat(s_spaced))
        {
            foreach (string text in new[] { "a\uD83E", "\uDD99b", "\uD83E\uD83E\uDD99" })
                Comes(Characters.Whole(text), text, tokenizer, name);
        }

        Assert.Equal("\uFFFD🦙", Characters.Whole("\uD83E\uD83E\uDD99"));
    }

    [Fact]
    public void A_character_in_pieces_comes_with_the_last_of_them()
    {
        Tokenizer tokenizer = s_spaced[1].Tokenizer;
        int[] ids = tokenizer.Encode("a🦙", bos: false);
        StreamingDecoder decoder = tokenizer.CreateDecoder();
        string[] parts = [.. ids.Select(decoder.Next)];
        Assert.Equal(["", "", "", "🦙"], parts[^4..]);
        Assert.Equal("", decoder.End());
        Assert.Equal(["<0xF0>", "<0x9F>", "<0xA6>", "<0x99>"], ids[^4..].Select(tokenizer.Piece));

        // A prompt may end within a character, and what was begun and not ended is said at the end.
        decoder = tokenizer.CreateDecoder();
        decoder.Skip(ids.AsSpan()[..^2]);
        Assert.Equal("", decoder.Next(ids[^2]));
        Assert.Equal("\uFFFD", decoder.End());
    }

    private static void Comes(string expected, string text, Tokenizer tokenizer, string name)
    {
        int[] ids = tokenizer.Encode(text);
        Assert.True(expected == tokenizer.Decode(ids), $"{name}: '{text}' came back as '{tokenizer.Decode(ids)}'");
        Assert.All(ids, id => Assert.NotNull(tokenizer.Piece(id)));
        StreamingDecoder decoder = tokenizer.CreateDecoder();
        Assert.Equal(expected, string.Concat(ids.Select(decoder.Next)) + decoder.End());
        // Without the begin token only that is missing.
        Assert.Equal(tokenizer.AddsBos && text.Length > 0 ? ids[1..] : tokenizer.AddsBos ? [] : ids, tokenizer.Encode(text, bos: false));
    }
}
