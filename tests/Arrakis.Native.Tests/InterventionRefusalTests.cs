using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>A plan that cannot be run is refused before anything runs, in one line that says why.</summary>
public sealed class InterventionRefusalTests
{
    private static readonly LlamaConfig s_config = ModelFiles.Small;
    private static readonly int[] s_ids = [1, 2, 3, 4, 5];

    public static TheoryData<string, Intervention> Plans => new()
    {
        { "an intervention at attn.z names layer 2: the model has layers 0-1", Intervention.Zero(HookPoint.Z, layer: 2) },
        { "an intervention at attn.z names head 4: the model has heads 0-3 there", Intervention.Zero(HookPoint.Z, head: 4) },
        { "an intervention at attn.v names head 2: the model has kv heads 0-1 there", Intervention.Zero(HookPoint.V, head: 2) },
        { "an intervention at mlp_out names head 0: this hook point has no heads", Intervention.Zero(HookPoint.MlpOut, head: 0) },
        { "an intervention at attn.z names position 12: the model's context has positions 0-11", Intervention.Zero(HookPoint.Z, position: 12) },
        { "an intervention at attn.q is confined to what query head 1 reads: only keys and values are read by several heads", Intervention.Zero(HookPoint.Q).AsReadBy(1) },
        { "an intervention at attn.k names query head 4: the model has heads 0-3", Intervention.Zero(HookPoint.K).AsReadBy(4) },
        { "an intervention at attn.z names key 1: only attn.attn_scores and attn.pattern have keys", Intervention.Zero(HookPoint.Z, key: 1) },
        { "an intervention at attn.attn_scores names key 3 of query 2: a query reads what stands at or before it", Intervention.CutEdge(0, 1, 2, 3) },
        { "an intervention at attn.pattern has a vector, and rows there differ in length: name the key and give one number", Intervention.Set(HookPoint.Pattern, [1, 0]) },
        { "an intervention at attn.pattern has a vector of 2 numbers: a row there has 1", Intervention.Set(HookPoint.Pattern, [1, 0], key: 0) },
        { "an intervention at resid_mid has a vector of 3 numbers: a row there has 64", Intervention.Add(HookPoint.ResidMid, [1, 2, 3]) },
        { "an intervention at ln1.scale has a vector that holds values that are not finite", Intervention.Set(HookPoint.Ln1Scale, [float.NaN]) },
        { "an intervention at attn.z has the factor Infinity, which is not a finite number", Intervention.Scale(HookPoint.Z, float.PositiveInfinity) },
        { "an intervention makes ln2.scale zero, and it is a divisor", Intervention.Zero(HookPoint.Ln2Scale) },
        { "an intervention makes ln_final.scale zero, and it is a divisor", Intervention.Set(HookPoint.LnFinalScale, [0]) },
        { "every edge of query 0 of head 1.2 is cut, and nothing is left to renormalise: leave a key, or do not renormalise", Intervention.CutEdge(1, 2, 0, 0) },
    };

    [Theory]
    [MemberData(nameof(Plans))]
    public void What_the_model_does_not_have_is_refused_when_the_plan_is_given(string message, Intervention intervention)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward(s_ids);
        float[] logits = session.Logits.ToArray();
        Assert.Equal(message, Assert.Throws<ArrakisException>(() => session.Interventions = InterventionPlan.Of(intervention)).Message);
        Assert.True(session.Interventions.IsEmpty);
        Assert.Equal(logits, session.Logits.ToArray());
        Assert.Equal(message, Assert.Throws<ArrakisException>(
            () => model.CreateSession(null, new SessionOptions { Interventions = InterventionPlan.Of(intervention) })).Message);
    }

    [Fact]
    public void What_does_not_fit_the_input_is_refused_before_the_pass_and_loses_nothing()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1), twin = LlamaModel.CreateRandom(s_config, 2), wide = LlamaModel.CreateRandom(s_config with { HeadDim = 8 }, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward(s_ids);
        float[] logits = session.Logits.ToArray();

        Refused("an intervention at blocks.0.attn.hook_z names position 5: the sequence has positions 0-4", Intervention.Zero(HookPoint.Z, position: 5));
        Refused(
            "an intervention reads from the session's own cache, which the pass overwrites: take that of another session, or a saved one",
            Intervention.Replace(HookPoint.Z, session.Cache));
        using LlamaSession shorter = model.CreateSession(RecordingPlan.All, Engine.Options());
        Refused(
            "an intervention reads from a cache that is empty: run its session first, and keep it as it is until this one has run", Intervention.Replace(HookPoint.Z, shorter.Cache));
        shorter.Forward(s_ids.AsSpan(1));
        Refused(
            "an intervention reads from a cache of positions 0-3, and the pass has 0-4: use inputs of equal length", Intervention.Replace(HookPoint.Z, shorter.Cache, layer: 1));
        Refused("blocks.1.attn.hook_pattern is not recorded: record 'attn.pattern'", Intervention.Replace(HookPoint.Pattern, Run(model, RecordingPlan.Parse("z")), layer: 1));
        Refused("an intervention reads from a cache of another model: its weights are others", Intervention.Replace(HookPoint.Z, Run(twin, RecordingPlan.All)));
        Refused(
            "an intervention reads from a cache of another model: blocks.0.attn.hook_q has another shape or layer", Intervention.Replace(HookPoint.Z, Run(wide, RecordingPlan.All)));

        var means = new ActivationMeans(perPosition: true, HookPoint.Z);
        Refused("an intervention reads means of no runs: add at least one", Intervention.Mean(HookPoint.Z, means));
        means.Add(shorter.Cache);
        Refused(
            "an intervention reads means of 4 positions, and the sequence has 5: use inputs of equal length, or means over all positions", Intervention.Mean(HookPoint.Z, means));
        Refused(
            "there is no mean of blocks.0.attn.hook_q: name 'attn.q' among the means and record it in their runs", Intervention.Mean(HookPoint.Q, Means(Run(model, RecordingPlan.All))));
        Refused("an intervention reads means of another model: its weights are others", Intervention.Mean(HookPoint.Z, Means(Run(twin, RecordingPlan.All))));
        Refused("an intervention reads means of another model: attn.z has another shape", Intervention.Mean(HookPoint.Z, Means(Run(wide, RecordingPlan.All))));

        void Refused(string message, Intervention intervention)
        {
            session.Interventions = InterventionPlan.Of(intervention);
            Assert.Equal(message, Assert.Throws<ArrakisException>(() => session.Forward(s_ids).Length).Message);
            Assert.Equal(logits, session.Logits.ToArray());
            Assert.Equal(5, session.Cache.Tokens);
        }

        static ActivationMeans Means(ActivationCache cache)
        {
            var means = new ActivationMeans(perPosition: false, HookPoint.Z);
            means.Add(cache);
            return means;
        }
    }

    [Fact]
    public void A_continued_sequence_keeps_what_was_done_and_refuses_what_it_cannot_do()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options()), source = model.CreateSession(RecordingPlan.All, Engine.Options());
        source.Forward(s_ids);
        // A position that has passed was changed then; its source need not fit the tokens that follow.
        session.Interventions = InterventionPlan.Of(Intervention.Replace(HookPoint.Z, source.Cache, layer: 0, position: 2));
        session.Forward(s_ids);
        session.Append([7]);
        session.Interventions = InterventionPlan.Of(Intervention.Replace(HookPoint.Z, source.Cache, layer: 0));
        Assert.Equal(
            "an intervention reads from a cache of positions 0-4, and the pass has 6-6: use inputs of equal length",
            Assert.Throws<ArrakisException>(() => session.Append([8]).Length).Message);
        session.Interventions = InterventionPlan.Of(Intervention.Zero(HookPoint.K, layer: 1).AsReadBy(2));
        Assert.Equal(
            "query head 2 of layer 1 has keys or values of its own, which are not kept: run the whole sequence with Forward",
            Assert.Throws<ArrakisException>(() => session.Append([8]).Length).Message);
        Assert.Equal(6, session.Position);
    }

    [Fact]
    public void A_saved_run_is_taken_for_one_of_the_model_that_bears_its_name()
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        string path = Path.Combine(folder.Path, "c.safetensors");
        using LlamaSession source = model.CreateSession(RecordingPlan.All, Engine.Options());
        source.Forward(s_ids);
        source.Cache.Save(path);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Interventions = InterventionPlan.Of(Intervention.Replace(HookPoint.ResidPre, ActivationCache.Load(path), layer: 0));
        session.Forward([9, 9, 9, 9, 9]);
        Assert.Equal(source.Logits.ToArray(), session.Logits.ToArray());

        folder.Write("config.json", ModelFiles.ConfigJson(s_config).ToJsonString());
        folder.Write("model.safetensors", ModelFiles.Safetensors([.. ModelFiles.Tensors(s_config)]));
        using LlamaModel loaded = LlamaModel.Load(folder.Path);
        using LlamaSession other = loaded.CreateSession(null, Engine.Options());
        other.Interventions = session.Interventions;
        Assert.Equal("an intervention reads from a cache of another model: it is of 'random'", Assert.Throws<ArrakisException>(() => other.Forward(s_ids).Length).Message);
    }

    [Fact]
    public void Means_refuse_runs_that_are_not_alike()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1), twin = LlamaModel.CreateRandom(s_config, 2);
        Assert.Equal(
            "attn.pattern has a row of another length at every position: take means per position",
            Assert.Throws<ArrakisException>(() => new ActivationMeans(perPosition: false, HookPoint.Pattern)).Message);
        Assert.Equal("attn.attn_scores has no mean: take that of attn.pattern", Assert.Throws<ArrakisException>(() => new ActivationMeans(perPosition: true, HookPoint.AttnScores)).Message);
        var means = new ActivationMeans(perPosition: true, HookPoint.Z);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        Refused("nothing is recorded yet: run a forward pass first", session.Cache);
        session.Forward(s_ids);
        means.Add(session.Cache);
        Refused("the cache is not of the model of the runs before it: its weights are others", Run(twin, RecordingPlan.All));
        Refused("blocks.1.attn.hook_z is not recorded, as it was in the runs before: record 'attn.z'", Run(model, RecordingPlan.Parse("z").ForLayers(0, 0)));
        session.Forward(s_ids.AsSpan(1));
        Refused("a run of 4 tokens cannot be averaged position by position with runs of 5: use equally long inputs", session.Cache);
        session.Append([1]);
        Refused("the cache continues a sequence after 4 tokens: run the whole sequence with Forward", session.Cache);
        Assert.Equal(1, means.Runs);

        void Refused(string message, ActivationCache cache) => Assert.Equal(message, Assert.Throws<ArrakisException>(() => means.Add(cache)).Message);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Means_are_of_saved_runs_and_of_a_session_s_alike(bool loadedByTheModel)
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        string path = folder.File("z.safetensors");
        Run(model, RecordingPlan.Parse("z")).Save(path);
        ActivationCache saved = loadedByTheModel ? model.LoadCache(path) : ActivationCache.Load(path), own = Run(model, RecordingPlan.Heads);
        foreach (ActivationCache[] runs in new[] { new[] { saved, own }, [own, saved] })
        {
            var means = new ActivationMeans(perPosition: true, HookPoint.Z);
            foreach (ActivationCache run in runs)
                means.Add(run);
            Assert.Equal(own.Flat(HookPoint.Z, 1).ToArray(), means.Flat(HookPoint.Z, 1).ToArray());
            using LlamaModel wide = LlamaModel.CreateRandom(s_config with { HeadDim = 8 }, 1);
            Assert.Equal(
                "the cache is not of the model of the runs before it: attn.z has another shape",
                Assert.Throws<ArrakisException>(() => means.Add(Run(wide, RecordingPlan.Heads))).Message);
        }

        // What each head writes is as wide as the stream, which z does not tell.
        using LlamaSession all = model.CreateSession(RecordingPlan.All, Engine.Options());
        all.Forward(s_ids);
        if (loadedByTheModel)
            Assert.Equal(all.Cache.Flat(HookPoint.Result, 1).ToArray(), saved.Flat(HookPoint.Result, 1).ToArray());
    }

    // The session is left to the collector on purpose: its cache would be empty once it is disposed.
    private static ActivationCache Run(LlamaModel model, RecordingPlan plan)
    {
        LlamaSession session = model.CreateSession(plan, Engine.Options());
        session.Forward(s_ids);
        return session.Cache;
    }
}
