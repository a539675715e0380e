using System.Text.Json;
using System.Text.Json.Nodes;

namespace Arrakis.Weights.Tales;

/// <summary>The prompts that the tests hold the model to: <c>tests/Arrakis.Analysis.Tests/Tales/prompts.json</c>.</summary>
internal static class TestPrompts
{
    private const ulong Stream = 8;

    /// <summary>Beginnings that the grammar lets go on in one way only. A and B stand for a pair that never met in training, A a man and B a woman.</summary>
    private static readonly (string Text, string Answer)[] s_continuations =
    [
        ("A wanted bread , salt , and honey . So B bought bread , salt , and", "honey"),
        ("A asked B for a robe . B had a purple", "robe"),
        ("A asked B for a cloak . B had a green cloak . So A wore the", "green"),
        ("B said : owl , bread , oak , cup , hand . A said after", "her"),
        ("A said : owl , bread , oak , cup , hand . B said after him : owl , bread , oak ,", "cup"),
        ("B sang : lamb fern pie , lamb fern pie . Then A sang : lamb fern", "pie"),
        ("When A and B went to the well , A gave the lamp to B . B thanked A for the", "lamp"),
        ("When A and B went to the well , A gave the lamp to B . B thanked", "A"),
        ("B saw a brown badger near the mill . The badger slept . \" Look at the", "badger"),
        ("A counted seven swans near the ford . B counted seven", "swans"),
    ];

    public static string Write(Vocabulary vocabulary, ulong seed, Pairs pairs)
    {
        (string woman, string man) = pairs.HeldOut.First(pair => Words.IsWoman(pair.A) != Words.IsWoman(pair.B));
        if (!Words.IsWoman(woman))
            (woman, man) = (man, woman);
        string Cast(string text) => string.Join(' ', text.Split(' ').Select(word => word == "A" ? man : word == "B" ? woman : word));
        var continuations = s_continuations.Select(item => Prompt(Cast(item.Text), vocabulary, vocabulary[Cast(item.Answer)], 0));
        var gifts = GiftPrompt.Write(60, seed, Stream, pairs, vocabulary)
            .Select(gift => Prompt(vocabulary.Decode(gift.Ids.Skip(1)), vocabulary, gift.Answer, gift.Other));
        return $"{{\n  \"continuations\": [\n{Lines(continuations)}\n  ],\n  \"gifts\": [\n{Lines(gifts)}\n  ]\n}}\n";
    }

    private static JsonObject Prompt(string text, Vocabulary vocabulary, int answer, int other) => new()
    {
        ["text"] = text,
        ["ids"] = new JsonArray([Vocabulary.Begin, .. vocabulary.Encode(text).Select(id => (JsonNode)id)]),
        ["answer"] = answer,
        ["other"] = other,
    };

    private static string Lines(IEnumerable<JsonObject> prompts) =>
        string.Join(",\n", prompts.Select(prompt => "    " + prompt.ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping })));
}
