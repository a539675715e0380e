using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Experiments.Tests;

public sealed class ModelTests
{
    [Fact]
    public void The_hash_is_of_the_shape_and_of_every_weight()
    {
        HookedAutoConfig c = Small.Config;
        string[] hashes =
        [
            Hash(c, 7), Hash(c, 8), Hash(c with { TieWordEmbeddings = true }, 7), Hash(c with { RopeTheta = 5000 }, 7), Hash(c with { RmsNormEps = 1e-5f }, 7),
            Hash(c with { NumHiddenLayers = 1 }, 7), Hash(c with { NumKeyValueHeads = 4 }, 7),
        ];
        Assert.Equal(hashes.Length, hashes.Distinct().Count());
        Assert.Equal(hashes[0], Hash(c, 7));
        // How many tokens it may take does not change what it computes.
        Assert.Equal(hashes[0], Hash(c with { MaxPositionEmbeddings = 64 }, 7));
        Assert.All(hashes, hash => Assert.Matches("^[0-9a-f]{64}$", hash));
    }

    /// <summary>A random model has the same bits on every machine, and so has its hash.</summary>
    [Fact]
    public void The_hash_is_the_same_everywhere() => Assert.Equal("aede1f404760833dcc2998ae04e5f4d45760fd3861c1cf6a02ce5501e8112c5f", Hash(Small.Config, 7));

    /// <summary>One changed bit of any tensor of a file is another model.</summary>
    [Fact]
    public void Any_weight_counts()
    {
        LlamaConfig c = Small.Config.ToLlamaConfig();
        using LlamaModel model = LlamaModel.CreateRandom(c, 7);
        string before = ModelHash.Of(model);
        int changed = 0;
        foreach (Native.Weights.WeightMatrix matrix in Matrices(model))
        {
            Flip(matrix);
            Assert.NotEqual(before, ModelHash.Of(model));
            Flip(matrix);
            changed++;
        }

        foreach (float[] norm in model.Weights.Layers.SelectMany(w => new[] { w.AttentionNorm, w.MlpNorm }).Append(model.Weights.FinalNorm))
        {
            norm[^1] = -norm[^1];
            Assert.NotEqual(before, ModelHash.Of(model));
            norm[^1] = -norm[^1];
            changed++;
        }

        Assert.Equal((before, 2 + 9 * c.NumHiddenLayers + 1), (ModelHash.Of(model), changed));
    }

    [Fact]
    public void A_model_of_the_caller_s_stays_the_caller_s_and_is_called_by_no_path()
    {
        using LlamaModel model = LlamaModel.CreateRandom(Small.Config.ToLlamaConfig(), 7);
        using (var hooked = new HookedAutoModel(model, RecordingPlan.All))
        {
            Assert.Equal(("random", null, null), (hooked.Name, hooked.Seed, hooked.Cache));
            Assert.Equal(97, hooked.Forward([1, 2, 3]).Length);
            Assert.Equal([1, 2, 3], hooked.Cache!.Ids.ToArray());
            Assert.True(hooked.Cache.Contains(HookPoint.Logits));
        }

        using LlamaSession session = model.CreateSession();
        session.Forward([1]);
        string golden = Path.Combine(AppContext.BaseDirectory, "Golden", "gqa-f32");
        using HookedAutoModel loaded = HookedAutoModel.Load(golden + Path.DirectorySeparatorChar);
        Assert.Equal(("gqa-f32", null), (loaded.Name, loaded.Seed));
    }

    [Fact]
    public void A_profile_has_every_component_of_every_layer_with_the_bytes_of_the_shape()
    {
        using var folder = new TemporaryFolder();
        using HookedAutoModel model = Small.Model();
        var bench = new Bench(model, folder.Path);
        int[] ids = [1, 2, 3, 4, 5];
        ModelProfile profile = bench.LogExperiment([], run => run.ProfileModel(ids, RecordingPlan.Heads, runs: 3), _ => null, experiment: "Profiled");

        LlamaConfig c = model.Model.Config;
        string[] layer = ["ln1", "attn.qkv", "attn.rotate", "attn.attend", "attn.out", "ln2", "mlp.in", "mlp.out"];
        Assert.Equal(
            [(null, "embed"), .. layer.Select(name => ((int?)0, name)), .. layer.Select(name => ((int?)1, name)), (null, "unembed")],
            profile.Components.Select(component => (component.Layer, component.Component)));
        Assert.Equal(sizeof(float) * c.ParameterCount, profile.Components.Sum(component => component.WeightBytes));
        Assert.Equal(sizeof(float) * 5 * (16 + 8 + 8), profile.Components.First(component => component.Component == "attn.qkv").ActivationBytes);
        Assert.Equal(sizeof(float) * (5 + 5 * 16 + 97), profile.Components[^1].ActivationBytes);
        Assert.All(profile.Components, component => Assert.True(component.Seconds >= 0 && component.ActivationBytes > 0));
        Assert.True(profile.Components.Sum(component => component.Seconds) > 0);
        Assert.Equal((5, 3, 1), (profile.Tokens, profile.Runs, profile.Threads));

        // It is logged beside the content: a version does not depend on how long things took.
        ExperimentRecord record = Assert.Single(bench.Log.Read().Runs);
        Assert.Equal(profile.Components, record.Profile!.Components);
        Assert.Null(record.Content.Result);
        Assert.Equal("0 runs measure nothing: use at least 1", Assert.Throws<ArrakisException>(() => ModelProfile.Measure(model.Model, ids, runs: 0)).Message);
    }

    private static string Hash(HookedAutoConfig config, ulong seed)
    {
        using var model = new HookedAutoModel(config, seed);
        return model.Hash;
    }

    private static IEnumerable<Native.Weights.WeightMatrix> Matrices(LlamaModel model) =>
        model.Weights.Layers.SelectMany(w => new[] { w.Query, w.Key, w.Value, w.Output, w.Gate, w.Up, w.Down }).Append(model.Weights.Embedding).Append(model.Weights.Unembedding);

    private static unsafe void Flip(Native.Weights.WeightMatrix matrix) => *(matrix.Row(matrix.Rows) - 1) ^= 1;
}
