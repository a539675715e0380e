using System.Text.Json;
using System.Text.Json.Nodes;

namespace Arrakis.Weights.Tales;

/// <summary>The prompts that the tests hold the model to: <c>tests/Arrakis.Analysis.Tests/Tales/prompts.json</c>.</summary>
internal static class TestPrompts
{
    private const ulong GiftStream = 8, TaleStream = 9;

    /// <summary>Beginnings that the grammar lets go on in one way only. A and B stand for a pair that never met in training, A a man and B a woman.</summary>
    private static readonly (string Text, string Answer)[] s_continuations =
    [
        ("A asked B for a hat . B had a golden", "hat"),
        ("A asked B for a cloak . B had a green cloak . So A wore the", "green"),
        ("When A and B went to the well , A gave the lamp to B . B thanked A for the", "lamp"),
        ("When A and B went to the well , A gave the lamp to B . B thanked", "A"),
        ("B saw a brown fox near the mill . The fox slept . \" Look at the", "fox"),
        ("A counted seven wolves near the lake . B counted seven", "wolves"),
        ("B said : owl , bread , oak , cup , hand . A said after her : owl , bread ,", "oak"),
        ("A wanted salt , eggs , and pears . So B bought salt ,", "eggs"),
    ];

    public static string Write(Vocabulary vocabulary, ulong seed, Pairs pairs)
    {
        (string woman, string man) = pairs.HeldOut.First(pair => Words.IsWoman(pair.A) != Words.IsWoman(pair.B));
        if (!Words.IsWoman(woman))
            (woman, man) = (man, woman);
        string Cast(string text) => string.Join(' ', text.Split(' ').Select(word => word == "A" ? man : word == "B" ? woman : word));
        var continuations = s_continuations.Select(item => Prompt(Cast(item.Text), vocabulary, vocabulary[Cast(item.Answer)], 0));
        var gifts = GiftPrompt.Write(100, seed, GiftStream, pairs, vocabulary)
            .Select(gift => Prompt(vocabulary.Decode(gift.Ids.Skip(1)), vocabulary, gift.Answer, gift.Other));
        var writer = new TaleWriter(new SeededRandom(seed, TaleStream), pairs, heldOut: true);
        var openings = Enumerable.Range(0, 200).Select(_ => Opening(writer.Tale(), vocabulary));
        return $"{{\n  \"continuations\": [\n{Lines(continuations)}\n  ],\n  \"gifts\": [\n{Lines(gifts)}\n  ],\n  \"openings\": [\n{Lines(openings)}\n  ]\n}}\n";
    }

    private static JsonObject Opening(List<string> tale, Vocabulary vocabulary)
    {
        int[] ids = Scores.Opening([Vocabulary.Begin, .. tale.Select(word => vocabulary[word])], vocabulary);
        return new() { ["text"] = vocabulary.Decode(ids.Skip(1)), ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]) };
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
