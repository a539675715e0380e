using System.Buffers.Binary;
using System.Text;
using Arrakis.Native.Weights;
using Arrakis.Text.Models;

namespace Arrakis.Text.Sources;

/// <summary>
/// llama2.c's <c>tokenizer.bin</c>: int32 length of the longest token, then for each its score (float32), its length in bytes (int32) and its UTF-8. Tokens 0, 1 and 2 are
/// unknown, begin and end; the 256 after them are bytes. Spaces are spaces, and special tokens are never found in text, as in its <c>run.c</c>.
/// </summary>
internal static class Llama2cVocabulary
{
    private const int Unknown = 0, Begin = 1, End = 2, FirstByte = 3;
    private const int LongestToken = 1 << 16;

    public static Tokenizer Read(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        var texts = new List<string>();
        var scores = new List<float>();
        long at = sizeof(int);
        while (at < file.Length)
        {
            if (file.Length - at < 2 * sizeof(int))
                throw Said.Fault(path, $"ends within the header of token {texts.Count}");
            scores.Add(BinaryPrimitives.ReadSingleLittleEndian(file.Span(at, sizeof(float))));
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.Span(at + sizeof(float), sizeof(int)));
            at += 2 * sizeof(int);
            if (length < 0 || length > LongestToken || length > file.Length - at)
                throw Said.Fault(path, $"token {texts.Count} is {length} bytes long, and {file.Length - at} are left: this is no llama2.c tokenizer, or it is cut short");
            texts.Add(Encoding.UTF8.GetString(file.Span(at, length)));
            at += length;
        }

        if (texts.Count < FirstByte + 256)
            throw Said.Fault(path, $"holds {texts.Count} tokens: a llama2.c tokenizer has at least {FirstByte + 256}");
        var kinds = new PieceKind[texts.Count];
        Array.Fill(kinds, PieceKind.Normal);
        (kinds[Unknown], kinds[Begin], kinds[End]) = (PieceKind.Unknown, PieceKind.Control, PieceKind.Control);
        for (int b = 0; b < 256; b++)
        {
            if (Vocabulary.ByteOf(texts[FirstByte + b]) != b)
                throw Said.Fault(path, $"token {FirstByte + b} is \"{Said.Name(texts[FirstByte + b])}\", where byte {b} is wanted");
            kinds[FirstByte + b] = PieceKind.Byte;
        }

        var pieces = new SentencePieces([.. texts], [.. scores], kinds) { Space = ' ' };
        return SentencePieceTokenizerOf.Make(path, pieces, new Ends(Begin, End, AddsBegin: true, AddsEnd: false), UserDefinedIs.NoToken);
    }
}
