using System.Numerics.Tensors;
using System.Text.Json;
using Arrakis.Native;

namespace Arrakis.Analysis.Tests;

/// <summary>The trained model in <c>weights/tales</c> does what its card says, and its flows keep to the identity.</summary>
public sealed class TalesTests : IDisposable
{
    private const int Begin = 1, FirstWord = 3;

    private readonly LlamaModel _model = LlamaModel.Load(Path.Combine(Repository(), "weights", "tales"));

    private static Prompts All { get; } = JsonSerializer.Deserialize<Prompts>(
        File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Tales", "prompts.json")), JsonSerializerOptions.Web)!;

    public void Dispose() => _model.Dispose();

    [Fact]
    public void Held_out_prompts_continue_as_they_must()
    {
        using LlamaSession session = _model.CreateSession();
        foreach (Prompt prompt in All.Continuations)
            Assert.True(prompt.Answer == TensorPrimitives.IndexOfMax(session.Forward(prompt.Ids)), prompt.Text);
    }

    [Fact]
    public void The_gift_goes_to_the_other_of_a_pair_that_never_met_in_training()
    {
        using LlamaSession session = _model.CreateSession();
        int right = 0;
        foreach (Prompt prompt in All.Gifts)
        {
            ReadOnlySpan<float> logits = session.Forward(prompt.Ids);
            right += TensorPrimitives.IndexOfMax(logits) == prompt.Answer && logits[prompt.Answer] > logits[prompt.Other] ? 1 : 0;
        }

        Assert.True(right >= 0.95 * All.Gifts.Length, $"{right} of {All.Gifts.Length}");
    }

    [Fact]
    public void Random_words_that_repeat_are_foretold()
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.Of(HookPoint.Logits));
        var random = new Random(1);
        int right = 0, asked = 0, vocabulary = _model.Config.VocabSize;
        int[] words = [.. Enumerable.Range(FirstWord, vocabulary - FirstWord)];
        foreach (int period in (int[])[5, 10, 20, 40, 60, 7, 15, 30, 50])
        {
            random.Shuffle(words);
            int[] ids = [Begin, .. Enumerable.Range(0, _model.Config.MaxPositionEmbeddings - 1).Select(i => words[i % period])];
            session.Forward(ids);
            for (int t = period + 1; t + 1 < ids.Length; t++)
            {
                asked++;
                right += TensorPrimitives.IndexOfMax(session.Cache.Flat(HookPoint.Logits).Slice(t * vocabulary, vocabulary)) == ids[t + 1] ? 1 : 0;
            }
        }

        Assert.True(right >= 0.9 * asked, $"{right} of {asked}");
    }

    [Fact]
    public void Flows_from_all_positions_add_up_to_the_logit_of_the_receiver()
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.Flow);
        foreach (Prompt prompt in All.Gifts.Take(5))
        {
            session.Forward(prompt.Ids);
            var options = new FlowOptions { Layers = _model.Config.NumHiddenLayers, Target = FlowTarget.Token(prompt.Answer), AllSources = true };
            int source = Array.IndexOf(prompt.Ids, prompt.Answer);
            FlowTrace flow = FlowTracer.Trace(_model, session.Cache, source, prompt.Ids.Length - 1, options);
            Assert.True(flow.ConservationError < 1e-5, $"{flow.ConservationError} on: {prompt.Text}");
            Assert.Equal(session.Logits[prompt.Answer], flow.Conservation!.Value.Sum, flow.Conservation.Value.Scale * 1e-5);
            // The name itself, and not a bystander, is where the answer comes from.
            Assert.True(flow.Total > flow.Sources!.Where((_, position) => position != source && prompt.Ids[position] != prompt.Answer).Max(), prompt.Text);
        }
    }

    private static string Repository()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Arrakis.Native.sln")))
            folder = Path.GetDirectoryName(folder);
        return folder ?? throw new DirectoryNotFoundException($"no Arrakis.Native.sln above {AppContext.BaseDirectory}");
    }

    private sealed record Prompts(Prompt[] Continuations, Prompt[] Gifts);

    private sealed record Prompt(string Text, int[] Ids, int Answer, int Other);
}
