using System.Text.Json;
using Arrakis.Native.Weights;
using Arrakis.Text.Models;
using Arrakis.Text.Steps;

namespace Arrakis.Text.Sources;

/// <summary>Hugging Face's <c>tokenizer.json</c>, of model type BPE or WordLevel. Truncation and padding in it are meant for batches, and not used.</summary>
internal static class TokenizerJson
{
    // One more is a vocabulary's size.
    private const int LargestId = int.MaxValue - 1;

    public static Tokenizer Read(string path)
    {
        TokenizerConfig config = TokenizerConfig.Beside(path);
        return JsonFields.Read(path, json => new Tokenizer(path, ReadParts(json, config)));
    }

    private static TokenizerParts ReadParts(JsonFields json, TokenizerConfig config)
    {
        JsonFields model = json.OptionalObject("model") ?? throw json.Fault("model", "is missing: this is no tokenizer.json");
        Vocabulary vocabulary = ReadVocabulary(model);
        ITokenModel tokens = ReadModel(model, vocabulary);
        List<AddedToken> added = ReadAdded(json, vocabulary);
        (int[] front, int[] back) = ReadTemplate(json.OptionalObject("post_processor"), vocabulary);
        int? begin = Named(vocabulary, config.Begin) ?? (front.Length > 0 ? front[0] : null), end = Named(vocabulary, config.End);
        if ((config.AddsBegin == true && begin is null) || (config.AddsEnd == true && end is null))
            throw json.Fault("model.vocab", $"has no token for the {(begin is null ? "beginning" : "end")} of a text, which tokenizer_config.json wants");
        return new TokenizerParts
        {
            Vocabulary = vocabulary,
            Added = added,
            Normalize = Normalizers.Read(json.OptionalObject("normalizer")),
            PreTokenize = PreTokenizers.Read(json.OptionalObject("pre_tokenizer")),
            Model = tokens,
            Decoder = TokenDecoder.Read(json.OptionalObject("decoder")),
            Front = Ends(front, config.AddsBegin, begin),
            Back = Ends(back, config.AddsEnd, end),
            Special = added.Where(token => token.IsSpecial).Select(token => token.Id).ToHashSet(),
            Begin = begin,
        };
    }

    /// <summary>The configuration's word on a token at an end, where it has one, counts for more than the template's.</summary>
    private static int[] Ends(int[] template, bool? adds, int? token) => (adds, token) switch
    {
        (true, int id) => template.Contains(id) ? template : [id, .. template],
        (false, int id) => [.. template.Where(other => other != id)],
        _ => template,
    };

    private static int? Named(Vocabulary vocabulary, string? text) => text is null ? null : vocabulary.Named(text);

    private static Vocabulary ReadVocabulary(JsonFields model)
    {
        JsonFields json = model.OptionalObject("vocab") ?? throw model.Fault("vocab", "is missing");
        var ids = new Dictionary<string, int>();
        var seen = new HashSet<int>();
        foreach (string token in json.Keys)
        {
            int id = json.Integer(token);
            if (id is < 0 or > LargestId || !seen.Add(id))
                throw json.Fault(token, $"is {id}{(id is < 0 or > LargestId ? $": supported is 0 to {LargestId}" : ", and so is another token")}");
            ids.Add(token, id);
        }

        return ids.Count > 0 ? new Vocabulary(ids) : throw model.Fault("vocab", "is empty");
    }

    private static ITokenModel ReadModel(JsonFields model, Vocabulary vocabulary)
    {
        // Files of the first versions do not name a model that has merges.
        string? type = model.OptionalText("type") ?? (model.Has("merges") ? "BPE" : null);
        int? unknown = null;
        if (model.OptionalText("unk_token") is string text)
            unknown = vocabulary.Find(text) ?? throw model.Fault("unk_token", $"is \"{Said.Name(text)}\", which is not in the vocabulary");
        switch (type)
        {
            case "WordLevel":
                return new WordLevelModel(vocabulary, unknown);
            case "BPE":
                foreach (string key in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
                {
                    if (model.OptionalText(key) is { Length: > 0 })
                        throw model.Unsupported(key, "none");
                }

                if (model.OptionalNumber("dropout") is not (null or 0))
                    throw model.Unsupported("dropout", "none");
                var rules = new BpeRules(unknown, model.Flag("fuse_unk", false), model.Flag("byte_fallback", false), model.Flag("ignore_merges", false));
                return new BpeModel(vocabulary, ReadMerges(model, vocabulary), rules);
            default:
                throw model.Unsupported("type", "\"BPE\" and \"WordLevel\"");
        }
    }

    private static List<(string Left, string Right)> ReadMerges(JsonFields model, Vocabulary vocabulary) => MergeList.Read(
        vocabulary,
        model.Items("merges").Select(item => item.ValueKind switch
        {
            JsonValueKind.String => MergeList.Split(item.GetString()!),
            JsonValueKind.Array when item.GetArrayLength() == 2 && item[0].ValueKind == JsonValueKind.String && item[1].ValueKind == JsonValueKind.String =>
                (item[0].GetString()!, item[1].GetString()!),
            _ => ((string, string)?)null,
        }),
        (i, what) => model.Fault($"merges[{i}]", what));

    private static List<AddedToken> ReadAdded(JsonFields json, Vocabulary vocabulary)
    {
        var added = new List<AddedToken>();
        foreach (JsonFields token in json.Objects("added_tokens"))
        {
            string text = token.OptionalText("content") ?? throw token.Fault("content", "is missing");
            int id = token.Integer("id");
            if (id is < 0 or > LargestId || (vocabulary.Text(id) ?? text) != text || (vocabulary.Find(text) ?? id) != id)
                throw token.Fault("id", $"is {id} for \"{Said.Name(text)}\", and the vocabulary says otherwise");
            vocabulary.Add(text, id);
            added.Add(new AddedToken(text, id)
            {
                IsSpecial = token.Flag("special", false),
                StripsLeft = token.Flag("lstrip", false),
                StripsRight = token.Flag("rstrip", false),
                IsSingleWord = token.Flag("single_word", false),
                IsNormalized = token.Flag("normalized", true),
            });
        }

        return added;
    }

    private static (int[] Front, int[] Back) ReadTemplate(JsonFields? json, Vocabulary vocabulary)
    {
        switch (json?.OptionalText("type"))
        {
            // What it trims are offsets, which nobody asks for here.
            case null when json is null:
            case "ByteLevel":
                return ([], []);
            case "Sequence":
                (int[] Front, int[] Back) all = ([], []);
                foreach (JsonFields part in json!.Objects("processors"))
                {
                    (int[] front, int[] back) = ReadTemplate(part, vocabulary);
                    all = ([.. front, .. all.Front], [.. all.Back, .. back]);
                }

                return all;
            case "TemplateProcessing":
                return ReadSingle(json!, vocabulary);
            default:
                throw json!.Unsupported("type", "\"TemplateProcessing\", \"ByteLevel\" and \"Sequence\"");
        }
    }

    private static (int[] Front, int[] Back) ReadSingle(JsonFields json, Vocabulary vocabulary)
    {
        JsonFields tokens = json.OptionalObject("special_tokens") ?? throw json.Fault("special_tokens", "is missing");
        var front = new List<int>();
        var back = new List<int>();
        bool isAfter = false;
        foreach (JsonFields part in json.Objects("single"))
        {
            if (part.IsObject("Sequence"))
            {
                if (isAfter || part.OptionalObject("Sequence")!.OptionalText("id") != "A")
                    throw json.Fault("single", "holds more than one text: supported is \"A\", once");
                isAfter = true;
                continue;
            }

            string name = part.OptionalObject("SpecialToken")?.OptionalText("id") ?? throw json.Fault("single", "holds what is neither Sequence nor SpecialToken");
            JsonFields token = tokens.OptionalObject(name) ?? throw tokens.Fault(name, "is missing, and the template names it");
            foreach (int id in token.Integers("ids"))
                (isAfter ? back : front).Add(vocabulary.Text(id) is null ? throw token.Fault("ids", $"holds {id}, which is no token") : id);
        }

        return isAfter ? ([.. front], [.. back]) : throw json.Fault("single", "holds no text: supported is \"A\", once");
    }
}
