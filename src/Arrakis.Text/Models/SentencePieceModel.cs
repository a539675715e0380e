using System.Text;
using Google.Protobuf;
using Microsoft.ML.Tokenizers;

namespace Arrakis.Text.Models;

/// <summary>
/// SentencePiece's byte-pair encoding (Kudo and Richardson 2018), as in Llama 2: of all neighbours whose join is a piece, the one with the best score is joined first.
/// Microsoft.ML.Tokenizers joins; it is given the pieces alone, so that no text can come to a control piece, and what it does not know becomes bytes here.
/// </summary>
internal sealed class SentencePieceModel : ITokenModel
{
    // Fields of sentencepiece_model.proto.
    private const int Pieces = 1, PieceText = 1, PieceScore = 2, PieceType = 3;
    private const int Trainer = 2, TrainerModelType = 3, TrainerUnknown = 40;
    private const int Normalizer = 3;
    private const int ModelTypeBpe = 2;

    private readonly Vocabulary _vocabulary;
    private readonly SentencePieceTokenizer _joiner;
    private readonly int _nobody;
    private readonly bool _byteFallback;
    private readonly int? _unknown;

    public SentencePieceModel(SentencePieces pieces, Vocabulary vocabulary)
    {
        _vocabulary = vocabulary;
        _byteFallback = pieces.ByteFallback;
        _unknown = pieces.Unknown;
        // One piece more than there are, for the library to answer where it knows none.
        _nobody = pieces.Texts.Length;
        using Stream model = Write(pieces);
        _joiner = SentencePieceTokenizer.Create(model, addBeginningOfSentence: false, addEndOfSentence: false);
    }

    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids)
    {
        bool isAfterUnknown = false;
        foreach (EncodedToken token in _joiner.EncodeToTokens(piece, out _, addBeginningOfSentence: false, addEndOfSentence: false, considerNormalization: false))
        {
            if (token.Id != _nobody)
            {
                ids.Add(token.Id);
                isAfterUnknown = false;
                continue;
            }

            // SentencePiece makes one token of a run of what is unknown, unless it becomes bytes.
            if (_byteFallback)
            {
                foreach (Rune rune in piece.AsSpan(token.Offset).EnumerateRunes())
                    ids.AddRange(_vocabulary.BytesOf(rune)!);
            }
            else if (!isAfterUnknown && _unknown is int unknown)
            {
                ids.Add(unknown);
            }

            isAfterUnknown = true;
        }
    }

    /// <summary>The pieces as a model file; those that are no text have names that no text is joined to, since nothing shorter begins as they do.</summary>
    private static MemoryStream Write(SentencePieces pieces)
    {
        var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true))
        {
            for (int id = 0; id <= pieces.Texts.Length; id++)
            {
                bool isText = id < pieces.Texts.Length && pieces.Kinds[id] is PieceKind.Normal or PieceKind.UserDefined;
                Write(output, Pieces, piece =>
                {
                    Text(piece, PieceText, isText ? pieces.Texts[id] : $"\0{id}\0");
                    piece.WriteTag(PieceScore, WireFormat.WireType.Fixed32);
                    piece.WriteFloat(isText ? pieces.Scores[id] : 0);
                    Number(piece, PieceType, (int)(isText ? pieces.Kinds[id] : PieceKind.Control));
                });
            }

            Write(output, Trainer, trainer =>
            {
                Number(trainer, TrainerModelType, ModelTypeBpe);
                Number(trainer, TrainerUnknown, pieces.Texts.Length);
            });
            // The library wants it to be there; what is normalized is not its business.
            Write(output, Normalizer, _ => { });
        }

        stream.Position = 0;
        return stream;
    }

    private static void Write(CodedOutputStream output, int field, Action<CodedOutputStream> fields)
    {
        using var message = new MemoryStream();
        using (var inner = new CodedOutputStream(message, leaveOpen: true))
            fields(inner);
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(message.GetBuffer(), 0, (int)message.Length));
    }

    private static void Text(CodedOutputStream output, int field, string text)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteString(text);
    }

    private static void Number(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }
}
