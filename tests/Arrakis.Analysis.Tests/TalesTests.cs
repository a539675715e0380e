using System.Numerics.Tensors;
using System.Text.Json;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using Arrakis.Weights.Tales;

namespace Arrakis.Analysis.Tests;

/// <summary>The trained model in <c>weights/tales</c> does what its card says, and the heads that its flows name are those that do it.</summary>
public sealed class TalesTests : IDisposable
{
    // How often as many others are drawn to be removed instead of the heads that are named.
    private const int Draws = 10;

    private static readonly string s_folder = Path.Combine(Repository(), "weights", "tales");

    private readonly LlamaModel _model = LlamaModel.Load(s_folder);
    private readonly Vocabulary _vocabulary = new();

    private static Prompts All { get; } = JsonSerializer.Deserialize<Prompts>(
        File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Tales", "prompts.json")), JsonSerializerOptions.Web)!;

    private static GiftPrompt[] Gifts => [.. All.Gifts.Select(gift => new GiftPrompt(gift.Ids, gift.Answer, gift.Other, null))];

    public void Dispose() => _model.Dispose();

    [Fact]
    public void It_is_small_and_groups_its_queries()
    {
        LlamaConfig c = _model.Config;
        Assert.Equal((4, 8), (c.NumHiddenLayers, c.NumAttentionHeads));
        Assert.True(c.NumKeyValueHeads < c.NumAttentionHeads);
        Assert.InRange(c.ParameterCount, 950_000, 3_000_000);
        Assert.InRange(new DirectoryInfo(s_folder).EnumerateFiles().Sum(file => file.Length), 1, 12_000_000);
    }

    [Fact]
    public void Its_tokenizer_has_every_word_of_the_grammar()
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(s_folder, "tokenizer.json")));
        JsonElement model = json.RootElement.GetProperty("model");
        Assert.Equal("WordLevel", model.GetProperty("type").GetString());
        Assert.Equal(_vocabulary.Tokens, model.GetProperty("vocab").EnumerateObject().OrderBy(word => word.Value.GetInt32()).Select(word => word.Name));
        Assert.Equal(_vocabulary.Tokens.Count, _model.Config.VocabSize);
        foreach (Prompt prompt in (Prompt[])[.. All.Gifts, .. All.Continuations])
            Assert.Equal(prompt.Ids, _vocabulary.Encode(prompt.Text).Prepend(Vocabulary.Begin));
    }

    [Fact]
    public void Mara_gets_the_cup()
    {
        using LlamaSession session = _model.CreateSession(options: Engine.Options());
        int[] ids = [Vocabulary.Begin, .. _vocabulary.Encode("When Mara and Jon went to the well , Jon gave the cup to")];
        Assert.Equal("Mara", _vocabulary.Tokens[TensorPrimitives.IndexOfMax(session.Forward(ids))]);
    }

    [Fact]
    public void Held_out_prompts_continue_as_they_must()
    {
        using LlamaSession session = _model.CreateSession(options: Engine.Options());
        foreach (Prompt prompt in All.Continuations)
            Assert.True(prompt.Answer == TensorPrimitives.IndexOfMax(session.Forward(prompt.Ids)), prompt.Text);
    }

    [Fact]
    public void Most_completed_sentences_are_grammatical()
    {
        using LlamaSession session = _model.CreateSession(options: Engine.Options());
        var grammar = new Grammar();
        var wrong = new List<string>();
        int sentences = 0;
        foreach (Opening opening in All.Openings)
        {
            int[] ids = Scores.Complete(session, opening.Ids, _model.Config.MaxPositionEmbeddings);
            foreach (string[] sentence in Grammar.SentencesOf(ids.Skip(1).Select(id => _vocabulary.Tokens[id])).Skip(2))
            {
                sentences++;
                if (!grammar.Accepts(sentence))
                    wrong.Add(string.Join(' ', sentence));
            }
        }

        Assert.True(sentences > 2 * All.Openings.Length, $"only {sentences} sentences");
        Assert.True(wrong.Count <= 0.1 * sentences, $"{wrong.Count} of {sentences}: {string.Join(" | ", wrong)}");
    }

    [Fact]
    public void The_gift_goes_to_the_other_of_a_pair_that_never_met_in_training()
    {
        var pairs = new Pairs(1);
        Assert.All(All.Gifts, gift => Assert.True(pairs.IsHeldOut(_vocabulary.Tokens[gift.Answer], _vocabulary.Tokens[gift.Other])));
        Assert.InRange(Scores.Gifts(_model, Gifts).First, 0.95, 1);
    }

    [Fact]
    public void Flows_from_all_positions_add_up_to_the_logit_of_the_receiver()
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.Flow, Engine.Options());
        foreach (Prompt prompt in All.Gifts.Take(5))
        {
            session.Forward(prompt.Ids);
            var options = new FlowOptions { Layers = _model.Config.NumHiddenLayers, Target = FlowTarget.Token(prompt.Answer), AllSources = true };
            int source = Array.IndexOf(prompt.Ids, prompt.Answer);
            FlowTrace flow = FlowTracer.Trace(_model, session.Cache, source, prompt.Ids.Length - 1, options);
            Assert.True(flow.ConservationError < 1e-5, $"{flow.ConservationError} on: {prompt.Text}");
            Assert.Equal(session.Logits[prompt.Answer], flow.Conservation!.Value.Sum, flow.Conservation.Value.Scale * 1e-5);
        }
    }

    [Fact]
    public void Without_the_heads_that_the_flow_names_the_gift_is_lost_and_without_others_it_is_not()
    {
        List<(int Layer, int Head)> named = new Naming(_model).GiftHeads(GiftPrompt.Write(50, 1, 21, new Pairs(1), _vocabulary));
        Confirm(named, plan => Scores.Gifts(_model, Gifts, plan).First);
    }

    [Fact]
    public void Random_words_that_repeat_are_continued() =>
        Assert.InRange(Scores.Induction(_model, Repeated.Write(20, 1, 22, _model.Config)), 0.9, 1);

    [Fact]
    public void Without_the_heads_that_the_flow_names_nothing_is_continued_and_without_others_it_is()
    {
        LlamaConfig c = _model.Config;
        List<(int Layer, int Head)> named = new Naming(_model).InductionHeads([.. Repeated.Write(10, 1, 23, c).Where(row => row.Period <= 40)]);
        Repeated[] rows = Repeated.Write(20, 1, 22, c);
        Confirm(named, plan => Scores.Induction(_model, rows, plan));
    }

    /// <summary>Removing the named heads costs nearly all, and at least five times what removing as many others does, on the mean.</summary>
    private void Confirm(List<(int Layer, int Head)> named, Func<InterventionPlan, double> score)
    {
        Ablation.Drops drops = Ablation.Compare(_model.Config, named, Draws, new SeededRandom(1, 24), score);
        Assert.InRange(drops.Named, 0.8, 1);
        Assert.True(drops.Named >= 5 * drops.Others.Average(), $"{string.Join(' ', named)}: {drops.Named} against {string.Join(' ', drops.Others)}");
    }

    private static string Repository()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Arrakis.Native.sln")))
            folder = Path.GetDirectoryName(folder);
        return folder ?? throw new DirectoryNotFoundException($"no Arrakis.Native.sln above {AppContext.BaseDirectory}");
    }

    private sealed record Prompts(Prompt[] Continuations, Prompt[] Gifts, Opening[] Openings);

    private sealed record Prompt(string Text, int[] Ids, int Answer, int Other);

    private sealed record Opening(string Text, int[] Ids);
}
