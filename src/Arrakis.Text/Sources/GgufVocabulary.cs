using Arrakis.Native.Weights;
using Arrakis.Text.Models;
using Arrakis.Text.Steps;

namespace Arrakis.Text.Sources;

/// <summary>The vocabulary inside a GGUF, used as llama.cpp uses it: <c>tokenizer.ggml.model</c> <c>llama</c> is SentencePiece's, <c>gpt2</c> byte-level BPE.</summary>
internal static class GgufVocabulary
{
    private const string Prefix = "tokenizer.ggml.", Model = Prefix + "model", Tokens = Prefix + "tokens", Scores = Prefix + "scores", Kinds = Prefix + "token_type";
    private const string Merges = Prefix + "merges", Pre = Prefix + "pre";

    // ggml's "no token", where an id is written all the same.
    private const long NoToken = uint.MaxValue;

    public static Tokenizer Read(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        GgufMetadata metadata = file.Metadata;
        string[] texts = metadata.OptionalTexts(Tokens) ?? throw metadata.Fault(Tokens, "is missing: the file holds no vocabulary");
        PieceKind[] kinds = ReadKinds(metadata, texts.Length);
        string model = metadata.OptionalText(Model) ?? throw metadata.Fault(Model, "is missing: supported is \"llama\" and \"gpt2\"");
        return model switch
        {
            "llama" => ReadSentencePieces(metadata, texts, kinds),
            "gpt2" => ReadByteLevel(metadata, texts, kinds),
            _ => throw metadata.Fault(Model, $"is \"{Said.Name(model)}\": supported is \"llama\" and \"gpt2\""),
        };
    }

    private static Tokenizer ReadSentencePieces(GgufMetadata metadata, string[] texts, PieceKind[] kinds)
    {
        float[] scores = metadata.OptionalNumbers(Scores) ?? throw metadata.Fault(Scores, "is missing");
        if (scores.Length != texts.Length)
            throw metadata.Fault(Scores, $"has {scores.Length} items, and there are {texts.Length} tokens");
        var pieces = new SentencePieces(texts, scores, kinds)
        {
            AddsPrefix = metadata.OptionalFlag(Prefix + "add_space_prefix") ?? true,
            ByteFallback = kinds.Contains(PieceKind.Byte),
        };
        return SentencePieceTokenizerOf.Make(metadata.Path, pieces, ReadEnds(metadata, texts.Length, addsBegin: true), UserDefinedIs.Special);
    }

    private static Tokenizer ReadByteLevel(GgufMetadata metadata, string[] texts, PieceKind[] kinds)
    {
        string pre = metadata.OptionalText(Pre) ?? throw metadata.Fault(Pre, $"is missing: supported is {PreTokenizers.SupportedInGguf}");
        PreTokenizer split = PreTokenizers.OfGguf(pre) ?? throw metadata.Fault(Pre, $"is \"{Said.Name(pre)}\": supported is {PreTokenizers.SupportedInGguf}");
        bool isLlama3 = pre is "llama-bpe" or "llama3" or "llama-v3";
        var encodable = new Dictionary<string, int>();
        var added = new List<AddedToken>();
        var special = new HashSet<int>();
        for (int id = 0; id < texts.Length; id++)
        {
            if (!encodable.TryAdd(texts[id], id))
                throw metadata.Fault(Tokens, $"holds \"{Said.Name(texts[id])}\" twice, at {encodable[texts[id]]} and {id}");
            bool isSpecial = kinds[id] is PieceKind.Control or PieceKind.Unknown;
            if (isSpecial)
                special.Add(id);
            if (isSpecial || kinds[id] == PieceKind.UserDefined)
                added.Add(new AddedToken(texts[id], id) { IsSpecial = isSpecial });
        }

        var vocabulary = new Vocabulary(encodable);
        string[] merges = metadata.OptionalTexts(Merges) ?? throw metadata.Fault(Merges, "is missing");
        Ends ends = ReadEnds(metadata, texts.Length, addsBegin: isLlama3);
        return new Tokenizer(metadata.Path, new TokenizerParts
        {
            Vocabulary = vocabulary,
            Added = added,
            PreTokenize = split,
            Model = new BpeModel(
                vocabulary, MergeList.Read(vocabulary, merges.Select(MergeList.Split), (i, what) => metadata.Fault(Merges, $"at {i} {what}")),
                new BpeRules(Unknown: null, FuseUnknown: false, ByteFallback: false, IgnoreMerges: isLlama3)),
            Decoder = TokenDecoder.OfByteLevel(),
            Front = ends.Front,
            Back = ends.Back,
            Special = special,
            Begin = ends.Begin,
        });
    }

    private static PieceKind[] ReadKinds(GgufMetadata metadata, int count)
    {
        var kinds = new PieceKind[count];
        Array.Fill(kinds, PieceKind.Normal);
        if (metadata.OptionalIntegers(Kinds) is not { } numbers)
            return kinds;
        if (numbers.Length != count)
            throw metadata.Fault(Kinds, $"has {numbers.Length} items, and there are {count} tokens");
        for (int id = 0; id < count; id++)
        {
            kinds[id] = numbers[id] is >= (int)PieceKind.Normal and <= (int)PieceKind.Byte
                ? (PieceKind)numbers[id]
                : throw metadata.Fault(Kinds, $"is {numbers[id]} at {id}: supported is {(int)PieceKind.Normal} to {(int)PieceKind.Byte}");
        }

        return kinds;
    }

    private static Ends ReadEnds(GgufMetadata metadata, int count, bool addsBegin) => new(
        Token(metadata, "bos_token_id", count), Token(metadata, "eos_token_id", count),
        metadata.OptionalFlag(Prefix + "add_bos_token") ?? addsBegin, metadata.OptionalFlag(Prefix + "add_eos_token") ?? false);

    private static int? Token(GgufMetadata metadata, string key, int count)
    {
        if (metadata.OptionalInteger(Prefix + key) is not long id || id == NoToken || id == -1)
            return null;
        return id >= 0 && id < count ? (int)id : throw metadata.Fault(Prefix + key, $"is {id}: supported is 0 to {count - 1}");
    }
}
