using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>arrakis</c> alone.</summary>
public sealed class StoryTests
{
    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void One_document_holds_it_all(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        JsonElement story = golden.Call();
        story.HasKeys("model", "prompt", "ids", "tokens", "top", "write", "read", "read_share_error", "flow", "detectors");
        Assert.Equal("given", story.GetProperty("prompt").GetString());
        Assert.Equal(golden.Ids, story.Ints("ids"));
        Assert.Equal(golden.Layers, story.Items("write").Length);
        Assert.Equal(Enumerable.Range(0, golden.Layers - 1), story.Items("read").Select(read => read.GetProperty("writer").Int("layer")).Distinct());
        foreach (JsonElement read in story.Items("read"))
            Assert.All(read.Items("readers"), reader => Assert.True(reader.Int("layer") > read.GetProperty("writer").Int("layer")));

        // The flow is to the predicted token's logit, and all of it is there.
        JsonElement predicted = story.Items("top")[0], flow = story.GetProperty("flow");
        Assert.Equal($"token:{predicted.Int("id")}", flow.GetProperty("target").GetString());
        Close.To(predicted.Number("logit"), flow.Items("sources").Sum(source => source.Number("flow")), 1e-4, "sources");
        Assert.Equal(golden.Layers, flow.Int("layers"));
        Assert.Equal(golden.Layers * golden.Heads, story.GetProperty("detectors").Items("heads").Length);
    }

    [Fact]
    public void Without_a_model_and_a_prompt_it_tells_one_tale_in_words()
    {
        Called text = Called.With();
        Assert.Equal((0, ""), (text.Code, text.Error));
        Assert.Contains("Model:  tales", text.Output);
        Assert.Contains("When Mara and Jon went to the well , Jon gave the cup to", text.Output);
        Assert.Contains("Next:   Mara (", text.Output);
        Assert.Contains("the beginning of a tale", text.Output);
        Assert.Contains("the logit of Mara", text.Output);
        Assert.Contains("Where to go next", text.Output);
        Assert.InRange(text.Output.Count(c => c == '\n'), 30, 100);

        JsonElement story = Called.Json();
        Assert.Equal("default", story.GetProperty("prompt").GetString());
        string[] tokens = [.. story.Items("tokens").Select(token => token.GetString()!)];
        Assert.Equal(["<s>", "When", "Mara"], tokens[..3]);
        Assert.Equal(tokens.Length, story.Ints("ids").Length);
        Assert.Equal(story.Ints("ids")[2], story.Items("top")[0].Int("id"));
    }

    /// <summary>What is to be copied is one line, however long.</summary>
    [Fact]
    public void The_options_for_more_are_not_broken()
    {
        string ids = string.Join(',', Enumerable.Range(2, 60));
        Assert.Contains($"Add the same model and prompt: --model {GoldenModel.First.Folder} --ids {ids}\n", Called.Text("--model", GoldenModel.First.Folder, "--ids", ids));
    }

    [Fact]
    public void With_another_seed_the_other_one_gives() => Assert.Contains("Next:   Jon (", Called.Text("--seed", "1"));

    [Fact]
    public void The_induction_circuit_is_told_of_in_ids()
    {
        Called text = Called.With("--model", "induction");
        Assert.Equal((0, ""), (text.Code, text.Error));
        Assert.Contains("Model:  induction", text.Output);
        Assert.Contains("induction        L1H1", text.Output);
        Assert.Contains("Where to go next", text.Output);
        Assert.InRange(text.Output.Count(c => c == '\n'), 30, 100);

        Called json = Called.With("--model", "induction", "--json");
        Assert.Equal((0, ""), (json.Code, json.Error));
        JsonElement story = JsonDocument.Parse(json.Output).RootElement;
        Assert.Equal("default", story.GetProperty("prompt").GetString());
        int[] ids = story.Ints("ids");
        Assert.Equal(JsonValueKind.Null, story.GetProperty("tokens").ValueKind);
        // A token that begins, and eight that repeat; the last of them is what the model goes on with.
        Assert.Equal(ids[1..8], ids[9..]);
        Assert.Equal(ids[8], story.GetProperty("top")[0].GetProperty("id").GetInt32());
    }

    [Fact]
    public void The_shortest_prompt_is_a_story_too() => Assert.Contains("position 0", Called.Text("--model", GoldenModel.First.Folder, "--ids", "3"));

    [Fact]
    public void Another_seed_is_another_prompt() => Assert.NotEqual(
        Called.With("--model", "induction", "--json").Output, Called.With("--model", "induction", "--json", "--seed", "1").Output);
}
