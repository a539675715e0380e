using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>A model, a run of it and a question about its flow.</summary>
/// <param name="Input">The model and the input.</param>
/// <param name="From">a.</param>
/// <param name="Layers">n.</param>
/// <param name="Src">The source.</param>
/// <param name="Dst">The destination.</param>
/// <param name="Mlp">What the MLPs do.</param>
/// <param name="Target">What it is measured against.</param>
public sealed record FlowCase(RandomInput Input, int From, int Layers, int Src, int Dst, MlpTreatment Mlp, FlowTarget Target)
{
    /// <summary>The question, everything listed, nothing searched.</summary>
    public FlowOptions Options => new() { From = From, Layers = Layers, Mlp = Mlp, Target = Target, Edges = null, Paths = 0, Compute = Compute };

    /// <summary>Tests run beside each other; threads are a test of their own.</summary>
    public AnalysisOptions Compute { get; init; } = new() { Threads = 1 };

    public FlowTrace Trace(Analysed run, Func<FlowOptions, FlowOptions>? with = null) =>
        FlowTracer.Trace(run.Model, run.Cache, Src, Dst, with is null ? Options : with(Options));

    /// <summary>The reference over a run, and the covector that it measures with.</summary>
    public (ReferenceFlow Flow, double[] Covector) Over(ReferenceRun run)
    {
        var flow = new ReferenceFlow(run, From, Layers, Mlp == MlpTreatment.Frozen);
        return (flow, Target switch
        {
            { TokenId: { } token } => flow.TokenTarget(Dst, token),
            { Score: { } score } => flow.ScoreTarget(Dst, score.Head, score.Other, score.IsKey),
            _ => flow.ResidualTarget(Dst),
        });
    }

    /// <summary>What the target is in a run: what all that flows to it adds up to.</summary>
    public double Whole(ReferenceRun run) => Target switch
    {
        { TokenId: { } token } => run.Row("logits", Dst)[token],
        { Score: { } score } => run.Row($"blocks.{From + Layers}.attn.hook_attn_scores", score.Head, score.IsKey ? score.Other : Dst)[score.IsKey ? Dst : score.Other],
        _ => 1,
    };

    /// <summary>‖g‖ ‖x‖: what a rounding of the stream at the destination, and so of anything that is measured there, is relative to.</summary>
    public double Scale(ReferenceRun run, double[] covector) => Vec.Norm(covector) * Vec.Norm(run.Residual(From + Layers, Dst));
}

/// <summary>Random questions about random models. A logit is only reached from the last layer.</summary>
public static class FlowCases
{
    /// <summary>Any window and any two layers of an input of at most so many tokens.</summary>
    public static Gen<FlowCase> Random(int mostTokens) => Of(RandomShapes.Inputs(mostTokens));

    /// <summary>From the first position to the last through the whole of a model small enough to walk every path.</summary>
    public static Gen<FlowCase> Tiny { get; } =
        from input in RandomShapes.TinyInputs
        from mlp in Gen.Enum<MlpTreatment>()
        from token in Gen.Int[-1, input.Config.VocabSize - 1]
        select new FlowCase(input, 0, input.Config.NumHiddenLayers, 0, input.Ids.Length - 1, mlp, token < 0 ? FlowTarget.Residual : FlowTarget.Token(token));

    private static Gen<FlowCase> Of(Gen<RandomInput> inputs) =>
        from input in inputs
        from start in Gen.Int[0, input.Config.NumHiddenLayers - 1]
        from layers in Gen.Int[1, input.Config.NumHiddenLayers - start]
        from dst in Gen.Int[0, input.Ids.Length - 1]
        from src in Gen.Int[0, dst]
        from mlp in Gen.Enum<MlpTreatment>()
        from target in Targets(input, start + layers, dst)
        select new FlowCase(input, start, layers, src, dst, mlp, target);

    /// <summary>What a flow that ends before a layer may be measured against: a logit is only reached from the last, a score of a head only below it.</summary>
    private static Gen<FlowTarget> Targets(RandomInput input, int end, int dst) =>
        from token in Gen.Int[0, input.Config.VocabSize - 1]
        from head in Gen.Int[0, input.Config.NumAttentionHeads - 1]
        from key in Gen.Int[0, dst]
        from query in Gen.Int[dst, input.Ids.Length - 1]
        from kind in Gen.Int[0, 2]
        select (kind, end < input.Config.NumHiddenLayers) switch
        {
            (0, _) => FlowTarget.Residual,
            (_, false) => FlowTarget.Token(token),
            (1, _) => FlowTarget.Query(head, key),
            _ => FlowTarget.Key(head, query),
        };
}
