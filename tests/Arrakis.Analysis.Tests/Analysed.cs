using Arrakis.Native;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>A model of the engine with a recorded run of it, and the same in double precision.</summary>
public sealed class Analysed : IDisposable
{
    private readonly LlamaSession _session;
    private readonly Lazy<ReferenceRun> _reference;
    private readonly Lazy<ReferenceRun> _frozen;

    private Analysed(LlamaModel model, int[] ids, RecordingPlan plan, Func<ReferenceRun> reference)
    {
        Model = model;
        _session = model.CreateSession(plan, Engine.Options());
        _session.Forward(ids);
        _reference = new Lazy<ReferenceRun>(reference);
        _frozen = new Lazy<ReferenceRun>(() => AtRecordedValues(model, ids));
    }

    public LlamaModel Model { get; }

    public ActivationCache Cache => _session.Cache;

    /// <summary>The same weights and input through the double-precision reference: a run of its own.</summary>
    public ReferenceRun Reference => _reference.Value;

    /// <summary>
    /// The engine's own values, widened: what double precision makes of the very patterns, scales and gates that an analysis is given, so that only the analysis'
    /// rounding shows, and none of the run's.
    /// </summary>
    public ReferenceRun Frozen => _frozen.Value;

    public static Analysed Of(GoldenCase golden, RecordingPlan? plan = null) =>
        new(LlamaModel.Load(golden.Folder), golden.Ids, plan ?? RecordingPlan.Flow, golden.Run);

    public static Analysed Of(RandomInput input, RecordingPlan? plan = null, ElementType type = ElementType.F32)
    {
        LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed, type);
        return new(model, input.Ids, plan ?? RecordingPlan.Flow, () => new ReferenceModel(ReferenceWeights.From(model)).Run(input.Ids));
    }

    public void Dispose()
    {
        _session.Dispose();
        Model.Dispose();
    }

    private static ReferenceRun AtRecordedValues(LlamaModel model, int[] ids)
    {
        var run = new ReferenceRun(ReferenceWeights.From(model), ids);
        foreach ((string name, float[] values) in Engine.Record(model, ids, Engine.Options()))
        {
            Assert.True(HookNames.TryParse(name, out HookPoint point, out _));
            (int a, int b, int c) = point.Shape(model.Config, ids.Length, ids.Length);
            run.Add(name, Engine.Widen(values), c == 0 ? [a, b] : [a, b, c]);
        }

        return run;
    }
}
