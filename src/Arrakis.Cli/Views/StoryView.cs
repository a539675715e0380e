using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Cli.Commands;
using Arrakis.Native;

namespace Arrakis.Cli.Views;

/// <summary>The story of one prompt.</summary>
internal static partial class StoryView
{
    private const int Candidates = 3;

    private static readonly Selection s_usual = new(SelectionRule.Share, 0.8);

    public static JsonObject Document(Story story, bool isGiven) => new()
    {
        ["model"] = Model(story.Model),
        ["prompt"] = isGiven ? "given" : "default",
        ["ids"] = Json.Numbers(story.Ids),
        ["tokens"] = story.Words is null ? null : Json.Array(story.Ids.Select(id => JsonValue.Create(story.Name(id)))),
        ["top"] = RunCommand.Candidates(story.Logits, Candidates),
        ["write"] = Json.Array(story.Writes.Select(writes => WritesView.Document(writes, s_usual))),
        ["read"] = Json.Array(story.Reads.Select(Read)),
        ["read_share_error"] = Json.Number(story.ReadError),
        ["flow"] = FlowView.Document(story.Flow),
        ["detectors"] = story.Detectors is { } detectors ? Detections(detectors) : null,
    };

    private static JsonObject Model(LlamaModel model) => new()
    {
        ["model"] = model.Name,
        ["layers"] = model.Config.NumHiddenLayers,
        ["heads"] = model.Config.NumAttentionHeads,
        ["kv_heads"] = model.Config.NumKeyValueHeads,
        ["hidden_size"] = model.Config.HiddenSize,
        ["vocab_size"] = model.Config.VocabSize,
        ["parameters"] = model.Config.ParameterCount,
    };

    private static JsonObject Read(ReadWrite read) => new()
    {
        ["writer"] = new JsonObject { ["layer"] = read.Layer, ["head"] = read.Head },
        ["readers"] = Json.Array(read.Readers.Select(reader => new JsonObject
        {
            ["layer"] = reader.Layer,
            ["head"] = reader.Head,
            ["input"] = reader.Input,
            ["share"] = Json.Number(reader.Share),
        })),
    };

    private static JsonObject Detections(HeadDetectors detectors) => new()
    {
        ["tokens"] = detectors.Ids.Length,
        ["period"] = detectors.Period,
        ["uniform_previous_token"] = Json.Number(detectors.UniformPreviousToken),
        ["uniform_repeat"] = Json.Number(detectors.UniformRepeat),
        ["heads"] = Json.Array(detectors.Heads.Select(head => new JsonObject
        {
            ["layer"] = head.Layer,
            ["head"] = head.Head,
            ["previous_token"] = Json.Number(head.PreviousToken),
            ["duplicate_token"] = Json.Number(head.DuplicateToken),
            ["induction"] = Json.Number(head.Induction),
        })),
    };
}
