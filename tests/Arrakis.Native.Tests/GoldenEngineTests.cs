using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>The engine against the golden activations, at every hook, with every kernel tier.</summary>
public sealed class GoldenEngineTests
{
    // The contract of the project: single precision over up to four layers stays within 2e-5 of the largest value of a tensor.
    private const double Tolerance = 2e-5;

    [Theory]
    [MemberData(nameof(Engine.GoldenByTier), MemberType = typeof(Engine))]
    public void Every_hook_and_the_next_token_agree(string name, KernelTier tier)
    {
        GoldenCase golden = Golden.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(tier));
        double[] last = Engine.Widen(session.Forward(golden.Ids));

        foreach ((string hook, TestTensor expected) in golden.Hooks)
        {
            Assert.True(session.Cache.Contains(hook), $"{name}: {hook} is not recorded");
            Close.ToLargest(expected.Values, Engine.Widen(session.Cache.Flat(hook)), Tolerance, $"{name} {tier} {hook}");
        }

        double[] logits = golden.Hooks["logits"].Values[^model.Config.VocabSize..];
        Close.ToLargest(logits, last, Tolerance, "returned logits");
        Assert.Equal(Engine.ArgMax(logits), Engine.ArgMax(last));
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void The_cache_has_the_golden_names_and_no_others(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        Dictionary<string, float[]> recorded = Engine.Record(model, golden.Ids, Engine.Options());
        Assert.Equal(golden.Hooks.Keys.Order(StringComparer.Ordinal), recorded.Keys.Order(StringComparer.Ordinal));
    }

    /// <summary>The bridge that the property tests stand on: the engine's weights, widened, are the file's.</summary>
    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void The_engine_holds_the_weights_of_the_file(string name)
    {
        GoldenCase golden = Golden.Load(name);
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        ReferenceWeights held = ReferenceWeights.From(model);
        foreach (string tensor in TestSafetensors.Read(golden.Folder).Keys)
            Assert.Equal(golden.Weights.Tensor(tensor), held.Tensor(tensor));
    }
}
