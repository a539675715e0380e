using System.CommandLine;
using System.Text.Json;
using Arrakis.Analysis;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>ablate</c> and <c>patch</c>: what the library measures, in the order and under the names that the command promises.</summary>
public sealed class CausesTests
{
    // The same numbers, written and read.
    private const double Same = 1e-6;

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Ablation_of_every_head(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        foreach (string[] kind in new string[][] { [], ["--kind", "mean"], ["--kind", "resample", "--reference", Other(golden)] })
        {
            JsonElement document = golden.Call(["ablate", "--token", "3", "--minus", "5", "--at", "-2", .. kind]);
            document.HasKeys("metric", "kind", "baseline", "heads", "correlation", "position", "token", "minus", "tokens");
            document.GetProperty("correlation").HasKeys("direct", "frozen");
            var options = new AblationOptions
            {
                Kind = kind.Contains("mean") ? AblationKind.Mean : kind.Length > 0 ? AblationKind.Resample : AblationKind.Zero,
                References = kind.Contains("resample") ? [OtherIds(golden)] : [],
            };
            HeadAttribution expected = HeadAttribution.Measure(model, golden.Ids, CausalMetric.LogitDifference(3, 5, golden.Ids.Length - 2), options);
            JsonElement[] heads = document.Items("heads");
            Assert.Equal(golden.Heads * golden.Layers, heads.Length);
            Close.To(expected.Baseline, document.Number("baseline"), Same, "baseline");
            Assert.Equal(heads.Select(h => Math.Abs(h.Number("effect"))).OrderDescending(), heads.Select(h => Math.Abs(h.Number("effect"))));
            foreach (JsonElement head in heads)
            {
                head.HasKeys("layer", "head", "value", "effect", "direct", "frozen");
                AttributedHead own = expected.Heads.Single(h => (h.Layer, h.Head) == (head.Int("layer"), head.Int("head")));
                double scale = expected.Heads.Max(h => Math.Abs(h.Measured));
                Close.To(-own.Measured, head.Number("effect"), Same, "effect", scale);
                Close.To(own.Direct, head.Number("direct"), Same, "direct", scale);
                Close.To(own.Frozen, head.Number("frozen"), Same, "frozen", scale);
                Close.To(expected.Baseline + head.Number("effect"), head.Number("value"), Same, "value", scale);
            }
        }
    }

    [Fact]
    public void Ablation_of_the_loss_has_no_attribution()
    {
        JsonElement document = GoldenModel.First.Call("ablate", "--loss", "--top", "2");
        Assert.Equal("loss", document.GetProperty("metric").GetString());
        Assert.Equal(JsonValueKind.Null, document.GetProperty("correlation").ValueKind);
        Assert.Equal(2, document.Items("heads").Length);
        Assert.All(document.Items("heads"), head => Assert.Equal(JsonValueKind.Null, head.GetProperty("frozen").ValueKind));
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Patching_of_every_place(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        JsonElement document = golden.Call("patch", "--source", Other(golden), "--token", "3", "--point", "v", "--layers", "1-1");
        document.HasKeys("metric", "point", "source", "baseline", "sites", "position", "token", "minus", "tokens", "source_tokens");
        Assert.Equal("attn.v", document.GetProperty("point").GetString());
        ActivationPatching expected = ActivationPatching.Measure(
            model, OtherIds(golden), golden.Ids, CausalMetric.Logit(3), new() { Point = HookPoint.V, Layers = (1, 1) });
        JsonElement[] sites = document.Items("sites");
        Assert.Equal(expected.Sites.Count, sites.Length);
        Close.To(expected.Clean, document.Number("source"), Same, "source");
        Close.To(expected.Corrupted, document.Number("baseline"), Same, "baseline");
        foreach (JsonElement site in sites)
        {
            site.HasKeys("layer", "head", "position", "value", "recovered");
            PatchedSite own = expected.Sites.Single(s => (s.Layer, s.Head, s.Position) == (site.Int("layer"), site.Int("head"), site.Int("position")));
            Close.To(own.Value, site.Number("value"), Same, "value", scale: Math.Abs(expected.Corrupted));
            Close.To(own.Recovered!.Value, site.Number("recovered"), Same, "recovered", scale: 1);
        }

        JsonElement all = golden.Call("patch", "--source", Other(golden), "--token", "3", "--all-heads", "--all-positions", "--point", "mlp_out");
        Assert.Equal(golden.Layers, all.Items("sites").Length);
        Assert.All(all.Items("sites"), site => Assert.Equal(JsonValueKind.Null, site.GetProperty("position").ValueKind));
    }

    [Theory]
    [MemberData(nameof(GoldenModel.Names), MemberType = typeof(GoldenModel))]
    public void Paths_of_a_sender_add_up_where_the_network_is_frozen(string name)
    {
        GoldenModel golden = GoldenModel.Load(name);
        JsonElement document = golden.Call("patch", "--source", Other(golden), "--sender", "0.1", "--token", "3", "--frozen");
        document.HasKeys("metric", "sender", "baseline", "whole", "paths", "position", "token", "minus", "tokens", "source_tokens");
        JsonElement[] paths = document.Items("paths");
        Assert.Equal((golden.Layers - 1) * golden.Heads * 3 + 1, paths.Length);
        Assert.All(paths, path => path.HasKeys("input", "layer", "head", "value", "effect"));
        Assert.Equal(JsonValueKind.Null, paths.Single(path => path.GetProperty("input").GetString() == "logits").GetProperty("layer").ValueKind);
        // Single precision, relative to the logit that the differences are of.
        Close.To(document.Number("whole"), paths.Sum(path => path.Number("effect")), GoldenModel.Tolerance, "paths", scale: Math.Abs(document.Number("baseline")));
    }

    [Fact]
    public void Tables_name_the_circuit_of_the_bundled_model()
    {
        string[] input = ["--model", "induction", "--ids", "0,5,9,3,7,5", "--threads", "1"];
        string ablated = Called.Text(["ablate", "--kind", "mean", "--top", "2", .. input]);
        Assert.Contains("The logit of 9 with each head at its mean", ablated);
        Assert.Contains("L0H0", ablated);
        Assert.Contains("L1H1", ablated);
        Assert.Contains("The 2 of 8 heads with the largest effect.", ablated);
        string patched = Called.Text(["patch", "--source", "0,3,9,5,7,5", "--minus", "9", "--top", "3", .. input]);
        Assert.Contains("The logit of 7 less 9 with attn.z taken from the source, one place at a time", patched);
        Assert.Contains("The 3 of 48 places with the largest effect.", patched);
        string paths = Called.Text(["patch", "--source", "0,3,9,5,7,5", "--sender", "0.0", "--minus", "7", "--top", "1", .. input]);
        Assert.Contains("The logit of 9 less 7 with L0H0 taken from the source, as one receiver at a time sees it", paths);
        Assert.Contains("k of L1H1", paths);
        Assert.Contains("The 1 of 13 paths with the largest effect.", paths);
    }

    [Theory]
    [InlineData(2, "ablate --kind none", "--kind is 'none': use zero, mean or resample")]
    [InlineData(2, "ablate --loss --token 3", "--loss is over all tokens and positions: leave out --token, --minus and --at, or leave it out")]
    [InlineData(2, "ablate --reference 1,2", "--reference is for --kind mean or resample: name one of them, or leave it out")]
    [InlineData(2, "ablate --kind resample", "--kind resample takes heads' outputs from other inputs: give at least one --reference of the input's length")]
    [InlineData(2, "ablate --kind mean --reference 1,x", "--reference holds 'x': use token ids such as 1,2,3")]
    [InlineData(1, "ablate --token 100000", "token id 100000 is outside the vocabulary")]
    [InlineData(1, "ablate --at 1000", "--at is 1000, outside the input")]
    [InlineData(1, "ablate --kind resample --reference 1,2", "--reference is 2 tokens long and the input")]
    [InlineData(2, "patch", "no --source: give --source 1,2,3 or --source-text TEXT")]
    [InlineData(2, "patch --source 1,2 --source-text w4", "several of --source and --source-text: give one, --source 1,2,3 or --source-text TEXT")]
    [InlineData(2, "patch --source 1,2 --source 1,2", "several of --source and --source-text: give one")]
    [InlineData(2, "patch --source 1,x", "--source holds 'x': use token ids such as 1,2,3")]
    [InlineData(1, "patch --source 1,2", "--source is 2 tokens long and the input")]
    [InlineData(2, "patch --source 1,2 --point scale", "--point: 'scale' could be ln1.scale or ln2.scale or ln_final.scale: write it in full")]
    [InlineData(2, "patch --source 1,2 --frozen", "--hold-mlps and --frozen are for paths: name their --sender, or leave them out")]
    [InlineData(2, "patch --source 1,2 --sender 0.0 --point z", "--point, --all-heads, --all-positions and --layers are for places: leave them out with --sender")]
    [InlineData(2, "patch --source 1,2 --sender 0", "--sender is '0': use a layer and a head, such as 0.3")]
    [InlineData(1, "patch --source 1,2 --layers 0-99", "--source is 2 tokens long")]
    public void Refusals(int code, string call, string says)
    {
        Called called = Called.With([.. call.Split(' '), .. GoldenModel.First.Options]);
        Assert.Equal((code, ""), (called.Code, called.Output));
        Assert.StartsWith("arrakis: ", called.Error);
        Assert.Contains(says, called.Error);
        Assert.Single(called.Error.TrimEnd('\n').Split('\n'));
    }

    /// <summary>What a call says of itself needs no run to be refused.</summary>
    [Fact]
    public void The_other_token_is_looked_at_before_the_model_is_asked_for_the_likeliest()
    {
        var options = new MetricOptions();
        var command = new Command("measure");
        options.AddTo(command);
        ParseResult call = command.Parse("--minus 100000");
        using LlamaModel model = LlamaModel.Load(GoldenModel.First.Folder);
        var refusal = Assert.Throws<ArrakisException>(() => options.Of(call, model.Config, [1, 2], _ => throw new NotSupportedException("a pass")));
        Assert.Contains("token id 100000 is outside the vocabulary", refusal.Message);
    }

    private static int[] OtherIds(GoldenModel golden) => [.. golden.Ids.Select(id => (id + 1) % golden.Config.Int("vocab_size"))];

    private static string Other(GoldenModel golden) => string.Join(',', OtherIds(golden));
}
