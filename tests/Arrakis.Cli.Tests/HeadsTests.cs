using System.Text.Json;

namespace Arrakis.Cli.Tests;

/// <summary><c>heads write</c> and <c>heads read</c> against the golden models.</summary>
public sealed class HeadsTests
{
    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Writes(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        foreach (JsonElement expected in golden.Json.Items("write"))
        {
            string layer = $"{expected.Int("layer")}";
            foreach (JsonProperty selected in expected.GetProperty("selected").EnumerateObject())
            {
                JsonElement document = golden.Call("heads", "write", "--layer", layer, "--threshold", selected.Name);
                document.HasKeys("layer", "rule", "threshold", "heads", "selected", "share_error", "tokens");
                Assert.Equal((expected.Int("layer"), "share"), (document.Int("layer"), document.GetProperty("rule").GetString()));
                Assert.Equal([.. selected.Value.EnumerateArray().Select(h => h.GetInt32())], document.Ints("selected"));
                JsonElement[] heads = InOrder(document);
                heads[0].HasKeys("head", "strength", "ov_norm", "norm", "share");
                foreach (string key in new[] { "norm", "share", "strength", "ov_norm" })
                    Documents.Same(expected.Numbers(key), [.. heads.SelectMany(head => head.Numbers(key))], key);
                Assert.True(document.Number("share_error") < 1e-5);
            }
        }
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Writes_by_the_weights_alone_and_without_an_input(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        foreach (JsonElement expected in golden.Json.Items("write"))
        {
            JsonElement document = Called.Json("heads", "write", "--model", golden.Folder, "--layer", $"{expected.Int("layer")}", "--weights-only");
            Assert.Equal(expected.GetProperty("selected_weights_only").Ints("0.8"), document.Ints("selected"));
            foreach (JsonElement head in InOrder(document))
            {
                head.HasKeys("head", "strength", "ov_norm", "norm", "share");
                Assert.Equal(head.Number("ov_norm"), head.Number("strength"));
                Assert.Equal((JsonValueKind.Null, JsonValueKind.Null), (head.GetProperty("norm").ValueKind, head.GetProperty("share").ValueKind));
            }

            Documents.Same(expected.Numbers("ov_norm"), [.. InOrder(document).Select(head => head.Number("ov_norm"))], "ov_norm");
        }
    }

    [Theory]
    [InlineData("top", "0.5", 3)]
    [InlineData("max", "1", 1)]
    public void Rules_select(string rule, string threshold, int count)
    {
        JsonElement document = GoldenModel.First.Call("heads", "write", "--layer", "0", "--rule", rule, "--threshold", threshold);
        Assert.Equal(rule, document.GetProperty("rule").GetString());
        Assert.Equal(double.Parse(threshold, System.Globalization.CultureInfo.InvariantCulture), document.Number("threshold"));
        int[] strongest = [.. document.Items("heads").Take(count).Select(head => head.Int("head"))];
        Assert.Equal(strongest, document.Ints("selected"));
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Reads_of_a_dimension(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        foreach (JsonElement expected in golden.Json.Items("read"))
        {
            string[] call = ["heads", "read", "--layer", $"{expected.Int("layer")}", "--dim", $"{expected.Int("dim")}"];
            JsonElement document = golden.Call(call);
            document.HasKeys("layer", "direction", "rule", "threshold", "via", "heads", "selected", "share_error", "tokens");
            Assert.Equal($"dim:{expected.Int("dim")}", document.GetProperty("direction").GetString());
            Assert.Equal(["q", "k", "v"], document.Items("via").Select(input => input.GetString()!));
            Assert.Equal(expected.GetProperty("selected").Ints("0.8"), document.Ints("selected"));
            JsonElement[] heads = InOrder(document);
            heads[0].HasKeys("head", "strength", "q", "k", "v", "q_share", "k_share", "v_share", "z_share");
            foreach (string key in new[] { "q", "k", "v", "strength", "q_share", "k_share", "v_share" })
                Documents.Same(expected.Numbers(key), [.. heads.SelectMany(head => head.Numbers(key))], key);

            JsonElement weights = Called.Json([.. call, "--model", golden.Folder, "--weights-only"]);
            Assert.Equal(document.Ints("selected"), weights.Ints("selected"));
            Assert.All(weights.Items("heads"), head => Assert.Equal(JsonValueKind.Null, head.GetProperty("q_share").ValueKind));
        }
    }

    [Theory]
    [InlineData("--head", "0.3", "head:0.3")]
    [InlineData("--token", "17", "embedding:17")]
    [InlineData("--unembedding", "17", "unembedding:17")]
    public void Reads_of_other_directions(string option, string value, string direction)
    {
        JsonElement document = GoldenModel.First.Call("heads", "read", "--layer", "1", option, value);
        Assert.Equal(direction, document.GetProperty("direction").GetString());
        Assert.Equal(GoldenModel.First.Heads, document.Items("heads").Length);
        Assert.All(document.Items("heads"), head => Assert.True(head.Number("strength") > 0));
    }

    [Fact]
    public void Strength_is_over_the_chosen_inputs()
    {
        JsonElement document = GoldenModel.First.Call("heads", "read", "--layer", "1", "--dim", "5", "--via", "v,q");
        Assert.Equal(["q", "v"], document.Items("via").Select(input => input.GetString()!));
        foreach (JsonElement head in document.Items("heads"))
            Assert.Equal(double.Hypot(head.Number("q"), head.Number("v")), head.Number("strength"), 12);
    }

    /// <summary>The heads by number; asserts that all are there and listed strongest first.</summary>
    private static JsonElement[] InOrder(JsonElement document)
    {
        JsonElement[] heads = document.Items("heads");
        Assert.Equal(heads.Select(head => head.Number("strength")).OrderDescending(), heads.Select(head => head.Number("strength")));
        JsonElement[] ordered = [.. heads.OrderBy(head => head.Int("head"))];
        Assert.Equal(Enumerable.Range(0, heads.Length), ordered.Select(head => head.Int("head")));
        return ordered;
    }
}
