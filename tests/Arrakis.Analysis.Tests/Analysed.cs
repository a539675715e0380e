using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>A model of the engine with a recorded run of it, and the same in double precision.</summary>
public sealed class Analysed : IDisposable
{
    private readonly LlamaSession _session;
    private readonly Lazy<ReferenceRun> _reference;

    private Analysed(LlamaModel model, int[] ids, RecordingPlan plan, Func<ReferenceRun> reference)
    {
        Model = model;
        _session = model.CreateSession(plan, Engine.Options());
        _session.Forward(ids);
        _reference = new Lazy<ReferenceRun>(reference);
    }

    public LlamaModel Model { get; }

    public ActivationCache Cache => _session.Cache;

    public ReferenceRun Reference => _reference.Value;

    public static Analysed Of(GoldenCase golden, RecordingPlan? plan = null) =>
        new(LlamaModel.Load(golden.Folder), golden.Ids, plan ?? RecordingPlan.Flow, golden.Run);

    public static Analysed Of(RandomInput input, RecordingPlan? plan = null)
    {
        LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        return new(model, input.Ids, plan ?? RecordingPlan.Flow, () => new ReferenceModel(ReferenceWeights.From(model)).Run(input.Ids));
    }

    public void Dispose()
    {
        _session.Dispose();
        Model.Dispose();
    }
}
