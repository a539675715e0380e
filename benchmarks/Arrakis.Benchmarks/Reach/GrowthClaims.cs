using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Reach;

/// <summary>How the time of a prompt grows with its tokens and with the layers: the exponent of the power that fits best.</summary>
internal static class GrowthClaims
{
    // Layers do not change how a layer's time grows with tokens; these are enough to be more than any cache holds.
    private const int LayersForTokens = 6, TokensForLayers = 128;

    private static readonly int[] s_tokens = [128, 256, 512, 1024, 2048], s_layers = [2, 4, 8, 16, 30];

    public static IEnumerable<ClaimGroup> Groups() => [new("growth with tokens", MeasureTokens), new("growth with layers", MeasureLayers)];

    private static IEnumerable<Claim> MeasureTokens(Rig rig)
    {
        LlamaConfig config = Shapes.SmolLM(LayersForTokens);
        using LlamaModel model = LlamaModel.CreateRandom(config, seed: 1);
        double[] seconds = Measure(rig, s_tokens, _ => model, tokens => tokens);
        double[] flops = [.. s_tokens.Select(tokens => ModelWork.PrefillFlops(config, tokens))];
        return Judge("tokens", s_tokens, seconds, flops, $"{LayersForTokens} layers");
    }

    private static IEnumerable<Claim> MeasureLayers(Rig rig)
    {
        LlamaModel[] models = [.. s_layers.Select(layers => LlamaModel.CreateRandom(Shapes.SmolLM(layers), seed: 1))];
        double[] seconds = Measure(rig, s_layers, i => models[i], _ => TokensForLayers);
        foreach (LlamaModel model in models)
            model.Dispose();
        double[] flops = [.. s_layers.Select(layers => ModelWork.PrefillFlops(Shapes.SmolLM(layers), TokensForLayers))];
        return Judge("layers", s_layers, seconds, flops, $"{TokensForLayers} tokens");
    }

    /// <summary>Seconds of a pass for every size, on one thread.</summary>
    private static double[] Measure(Rig rig, int[] sizes, Func<int, LlamaModel> model, Func<int, int> tokens)
    {
        LlamaSession[] sessions = [.. sizes.Select((_, i) => Rig.Session(model(i), 1))];
        Contest contest = rig.Contest([.. sizes.Select((size, i) =>
        {
            int[] ids = Shapes.Ids(Rig.SmolLM, tokens(size));
            return new Contestant($"{size}", () => 1 / Clock.Seconds(() => sessions[i].Forward(ids)));
        })]);
        foreach (LlamaSession session in sessions)
            session.Dispose();
        return [.. sizes.Select(size => 1 / contest.Rate($"{size}"))];
    }

    private static IEnumerable<Claim> Judge(string what, int[] sizes, double[] seconds, double[] flops, string fixedSize)
    {
        string times = string.Join(", ", sizes.Zip(seconds, (size, time) => $"{size}: {time * 1e3:F1} ms"));
        yield return new Claim($"prefill time against {what} {sizes[0]} to {sizes[^1]}: exponent", Exponent(sizes, seconds), Note: $"{fixedSize}, 1 thread; {times}");
        yield return new Claim("  of the arithmetic: exponent", Exponent(sizes, flops));
        yield return new Claim($"  prefill time from {sizes[^2]} to {sizes[^1]} {what}: exponent", Exponent(sizes[^2..], seconds[^2..]), Note: $"of the arithmetic: {Exponent(sizes[^2..], flops[^2..]):F3}");
    }

    /// <summary>The slope of the line of least squares through the logarithms.</summary>
    private static double Exponent(int[] sizes, double[] values)
    {
        double[] x = [.. sizes.Select(size => Math.Log(size))], y = [.. values.Select(value => Math.Log(value))];
        double meanX = x.Average(), meanY = y.Average();
        return x.Zip(y, (a, b) => (a - meanX) * (b - meanY)).Sum() / x.Sum(a => (a - meanX) * (a - meanX));
    }
}
