using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>The flow from every position to one destination, from a single covector carried down, and whether the parts add up to the whole.</summary>
/// <param name="Flows">By position.</param>
/// <param name="Mlps">By layer, the flow from its MLP's outputs; null where streams go through the MLPs.</param>
/// <param name="Conservation">Their sum against the whole.</param>
internal sealed record FlowSources(double[] Flows, double[]? Mlps, FlowConservation Conservation)
{
    public static unsafe FlowSources Of(
        Compute compute, ActivationCache cache, FrozenNetwork network, FlowOptions options, int dst, float* target, double expected, CancellationToken cancellation)
    {
        int d = compute.Config.HiddenSize;
        var sweeps = new FlowSweeps(compute, cache, network, options.From, options.Layers, 0, dst, dst);
        new ReadOnlySpan<float>(target, d).CopyTo(Compute.Row(sweeps.Covector(options.Layers), 0, d));
        sweeps.Backward(cancellation);

        ReadOnlySpan<float> x = cache.Flat(HookPoint.ResidPre, options.From);
        double[] flows = new double[cache.Tokens];
        for (int t = 0; t <= dst; t++)
            flows[t] = TensorPrimitives.Dot(x.Slice(t * d, d), Compute.Row(sweeps.Covector(0), t, d));
        double[]? mlps = null;
        double sum = flows.Sum(), scale = Math.Max(Math.Abs(expected), flows.Max(Math.Abs));
        if (options.Mlp == MlpTreatment.Source)
        {
            var residuals = new Residuals(compute, cache, dst + 1);
            mlps = [.. Enumerable.Range(0, options.Layers).Select(i => MlpOutputs(residuals, sweeps, i, d))];
            sum += mlps.Sum();
            scale = Math.Max(scale, mlps.Max(Math.Abs));
        }

        return new FlowSources(flows, mlps, new FlowConservation(sum, expected, scale));
    }

    // An MLP's output enters the stream behind its layer.
    private static unsafe double MlpOutputs(Residuals residuals, FlowSweeps sweeps, int i, int d)
    {
        Window rows = sweeps.Queries(i);
        // The share's own run is free in a sweep that only goes down.
        float* written = sweeps.Mid(i);
        residuals.MlpOut(sweeps.From + i, rows.Positions, written);
        double sum = 0;
        for (int t = 0; t < rows.Length; t++)
            sum += TensorPrimitives.Dot<float>(Compute.Row(written, t, d), Compute.Row(sweeps.Covector(i + 1), t, d));
        return sum;
    }
}
