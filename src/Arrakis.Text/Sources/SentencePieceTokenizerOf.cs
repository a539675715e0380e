using System.Text;
using Arrakis.Native.Weights;
using Arrakis.Text.Models;
using Arrakis.Text.Steps;

namespace Arrakis.Text.Sources;

/// <summary>The tokens at the ends of a text, and whether they are put there.</summary>
internal readonly record struct Ends(int? Begin, int? End, bool AddsBegin, bool AddsEnd)
{
    public int[] Front => AddsBegin && Begin is int begin ? [begin] : [];

    public int[] Back => AddsEnd && End is int end ? [end] : [];
}

/// <summary>How tokens outside the merging are found in a text.</summary>
internal enum UserDefinedIs
{
    /// <summary>Not at all, nor are special ones.</summary>
    NoToken,

    /// <summary>As special tokens are: in what was written, so that what follows begins anew (llama.cpp).</summary>
    Special,

    /// <summary>In normalized text, as a part of it (SentencePiece).</summary>
    Normalized,
}

/// <summary>A tokenizer of SentencePiece's kind, out of any of the files that hold its pieces.</summary>
internal static class SentencePieceTokenizerOf
{
    public static Tokenizer Make(string path, SentencePieces pieces, Ends ends, UserDefinedIs userDefined)
    {
        Vocabulary vocabulary = Check(path, pieces);
        var added = new List<AddedToken>();
        var special = new HashSet<int>();
        for (int id = 0; id < pieces.Texts.Length; id++)
        {
            PieceKind kind = pieces.Kinds[id];
            bool isSpecial = kind is PieceKind.Control or PieceKind.Unknown;
            if (isSpecial)
                special.Add(id);
            if (userDefined != UserDefinedIs.NoToken && (isSpecial || kind == PieceKind.UserDefined))
            {
                added.Add(new AddedToken(pieces.Texts[id], id)
                {
                    IsSpecial = isSpecial,
                    IsNormalized = !isSpecial && userDefined == UserDefinedIs.Normalized,
                    Sought = pieces.Texts[id],
                });
            }
        }

        return new Tokenizer(path, new TokenizerParts
        {
            Vocabulary = vocabulary,
            Added = added,
            Normalize = text => Normalize(text, pieces),
            Model = new SentencePieceModel(pieces, vocabulary),
            Decoder = TokenDecoder.OfSentencePiece(pieces.Space, pieces.AddsPrefix),
            Front = ends.Front,
            Back = ends.Back,
            Special = special,
            Begin = ends.Begin,
        });
    }

    private static Vocabulary Check(string path, SentencePieces pieces)
    {
        var texts = new Dictionary<string, int>();
        for (int id = 0; id < pieces.Texts.Length; id++)
        {
            if (!float.IsFinite(pieces.Scores[id]))
                throw Said.Fault(path, FormattableString.Invariant($"token {id} has score {pieces.Scores[id]}: supported is a finite number"));
            if (pieces.Kinds[id] is not (PieceKind.Normal or PieceKind.UserDefined))
                continue;
            if (pieces.Texts[id].Length == 0)
                throw Said.Fault(path, $"token {id} is empty");
            if (!texts.TryAdd(pieces.Texts[id], id))
                throw Said.Fault(path, $"token {id} is \"{Said.Name(pieces.Texts[id])}\", and so is token {texts[pieces.Texts[id]]}");
        }

        var vocabulary = new Vocabulary(texts);
        for (int id = 0; id < pieces.Texts.Length; id++)
        {
            if (pieces.Kinds[id] is not (PieceKind.Normal or PieceKind.UserDefined))
                vocabulary.Add(pieces.Texts[id], id);
        }

        for (int b = 0; pieces.ByteFallback && b < 256; b++)
        {
            if (!vocabulary.HasByte((byte)b))
                throw Said.Fault(path, $"has no token for byte {b}, and unknown characters are to become bytes");
        }

        return vocabulary;
    }

    private static string Normalize(string text, SentencePieces pieces)
    {
        if (pieces.RemovesExtraSpaces)
            text = WithoutExtraSpaces(text);
        if (pieces.AddsPrefix && text.Length > 0)
            text = " " + text;
        return text.Replace(' ', pieces.Space);
    }

    private static string WithoutExtraSpaces(string text)
    {
        var built = new StringBuilder(text.Length);
        foreach (char c in text.Trim(' '))
        {
            if (c != ' ' || built[^1] != ' ')
                built.Append(c);
        }

        return built.ToString();
    }
}
