using Arrakis.Native.Weights;
using Arrakis.Text.Models;
using Google.Protobuf;

namespace Arrakis.Text.Sources;

/// <summary>
/// A <c>tokenizer.model</c>: SentencePiece's <c>ModelProto</c>, of type BPE. Its own normalization rules are supported where there are none, as in every Llama; ends are put as
/// <c>tokenizer_config.json</c> beside it says, and where that says nothing as Llama's tokenizer does: a beginning, and no end.
/// </summary>
internal static class SentencePieceFile
{
    private const long LongestFile = 100_000_000;
    private const int Bpe = 2;

    public static Tokenizer Read(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        if (file.Length > LongestFile)
            throw Said.Fault(path, $"is {file.Length} bytes long, and at most {LongestFile} are read as a SentencePiece model");
        var model = new Contents();
        try
        {
            ReadModel(new CodedInputStream(file.Span(0, (int)file.Length).ToArray()), model);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidOperationException)
        {
            throw Said.Fault(path, "is no SentencePiece model, or damaged", e);
        }

        if (model.Texts.Count == 0)
            throw Said.Fault(path, "holds no pieces: it is no SentencePiece model");
        Refuse(path, model);
        var pieces = new SentencePieces([.. model.Texts], [.. model.Scores], [.. model.Kinds])
        {
            AddsPrefix = model.AddsPrefix,
            RemovesExtraSpaces = model.RemovesExtraSpaces,
            ByteFallback = model.ByteFallback,
        };
        TokenizerConfig config = TokenizerConfig.Beside(path);
        var ends = new Ends(Token(model, model.Begin), Token(model, model.End), config.AddsBegin ?? true, config.AddsEnd ?? false);
        return SentencePieceTokenizerOf.Make(path, pieces, ends, UserDefinedIs.Normalized);
    }

    private static int? Token(Contents model, int id) => id >= 0 && id < model.Texts.Count ? id : null;

    private static void Refuse(string path, Contents model)
    {
        if (model.ModelType != Bpe)
            throw Said.Fault(path, $"trainer_spec.model_type is {Name(model.ModelType)}: supported is BPE");
        if (model.HasRules)
            throw Said.Fault(path, $"normalizer_spec.name is \"{Said.Name(model.Rules)}\", with rules of its own: supported is \"identity\"");
        if (!model.EscapesSpaces)
            throw Said.Fault(path, "normalizer_spec.escape_whitespaces is false: supported is true");
        if (model.SpaceIsSuffix)
            throw Said.Fault(path, "trainer_spec.treat_whitespace_as_suffix is true: supported is false");
        for (int id = 0; id < model.Kinds.Count; id++)
        {
            if (model.Kinds[id] is PieceKind.Unused or < PieceKind.Normal or > PieceKind.Byte)
                throw Said.Fault(path, $"piece {id} is of type {(int)model.Kinds[id]}: supported is NORMAL, UNKNOWN, CONTROL, USER_DEFINED and BYTE");
        }
    }

    private static string Name(int type) => type switch
    {
        1 => "UNIGRAM",
        3 => "WORD",
        4 => "CHAR",
        _ => System.FormattableString.Invariant($"{type}"),
    };

    // The numbers of the fields are those of sentencepiece_model.proto.
    private static void ReadModel(CodedInputStream input, Contents model)
    {
        while (input.ReadTag() is not 0 and uint tag)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 1: ReadPiece(input.ReadBytes().CreateCodedInput(), model); break;
                case 2: ReadTrainer(input.ReadBytes().CreateCodedInput(), model); break;
                case 3: ReadNormalizer(input.ReadBytes().CreateCodedInput(), model); break;
                default: input.SkipLastField(); break;
            }
        }
    }

    private static void ReadPiece(CodedInputStream input, Contents model)
    {
        (string text, float score, int kind) = ("", 0, (int)PieceKind.Normal);
        while (input.ReadTag() is not 0 and uint tag)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 1: text = input.ReadString(); break;
                case 2: score = input.ReadFloat(); break;
                case 3: kind = input.ReadEnum(); break;
                default: input.SkipLastField(); break;
            }
        }

        model.Texts.Add(text);
        model.Scores.Add(score);
        model.Kinds.Add((PieceKind)kind);
    }

    private static void ReadTrainer(CodedInputStream input, Contents model)
    {
        while (input.ReadTag() is not 0 and uint tag)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 3: model.ModelType = input.ReadEnum(); break;
                case 24: model.SpaceIsSuffix = input.ReadBool(); break;
                case 35: model.ByteFallback = input.ReadBool(); break;
                case 41: model.Begin = input.ReadInt32(); break;
                case 42: model.End = input.ReadInt32(); break;
                default: input.SkipLastField(); break;
            }
        }
    }

    private static void ReadNormalizer(CodedInputStream input, Contents model)
    {
        while (input.ReadTag() is not 0 and uint tag)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 1: model.Rules = input.ReadString(); break;
                case 2: model.HasRules = !input.ReadBytes().IsEmpty; break;
                case 3: model.AddsPrefix = input.ReadBool(); break;
                case 4: model.RemovesExtraSpaces = input.ReadBool(); break;
                case 5: model.EscapesSpaces = input.ReadBool(); break;
                default: input.SkipLastField(); break;
            }
        }
    }

    /// <summary>What a model file says, with the format's own defaults where it says nothing.</summary>
    private sealed class Contents
    {
        public List<string> Texts { get; } = [];

        public List<float> Scores { get; } = [];

        public List<PieceKind> Kinds { get; } = [];

        public int ModelType { get; set; } = 1;

        public bool SpaceIsSuffix { get; set; }

        public bool ByteFallback { get; set; }

        public int Begin { get; set; } = 1;

        public int End { get; set; } = 2;

        public string Rules { get; set; } = "";

        public bool HasRules { get; set; }

        public bool AddsPrefix { get; set; } = true;

        public bool RemovesExtraSpaces { get; set; } = true;

        public bool EscapesSpaces { get; set; } = true;
    }
}
