using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Native.Tests;

/// <summary>The engine against the double-precision reference, and against itself, on random models of awkward shapes.</summary>
public sealed class EnginePropertyTests
{
    // 2e-5 of the largest, as for the golden models, bounds the rounding of well-conditioned tensors.
    private const double Relative = 2e-5;

    // A tensor may be all cancellation (one token, an MLP one wide: a single dot product that happens to be near zero), and then no multiple of its
    // largest value bounds anything. What does: how far the exact result moves if every weight is moved by half a unit in its last place in F32 (2^-24).
    // A sum of n products in any order equals an exact one with weights moved by at most n such steps (Higham, 3.1), here n ≤ 170; moves of random
    // sign show about 1/√n of their worst, so 100 of them cover a sum, and what earlier layers passed on, with room.
    private const double Steps = 100;

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Every_hook_equals_the_reference(KernelTier tier) => Gen.Select(RandomShapes.Inputs(), Gen.OneOf(ElementType.F32, ElementType.F16, ElementType.BF16)).Sample((input, type) =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed, type);
        ReferenceWeights weights = ReferenceWeights.From(model);
        ReferenceRun expected = new ReferenceModel(weights).Run(input.Ids);
        ReferenceRun[] moved = [.. Enumerable.Range(0, 3).Select(i => new ReferenceModel(weights.Perturbed(Math.Pow(2, -24), i)).Run(input.Ids))];
        Dictionary<string, float[]> actual = Engine.Record(model, input.Ids, Engine.Options(tier));

        Assert.Equal(expected.Names.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
        foreach (string name in expected.Names)
            Same(expected[name], actual[name], Spread(name), $"{tier} {type} {name}");

        double Spread(string name) => moved.Max(run => run[name].Zip(expected[name], (a, b) => double.IsFinite(b) ? Math.Abs(a - b) : 0).Max());
    }, iter: 40, threads: 1);

    [Fact]
    public void The_parts_of_the_residual_stream_add_up() => RandomShapes.Inputs().Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        Dictionary<string, float[]> run = Engine.Record(model, input.Ids, Engine.Options());
        for (int l = 0; l < input.Config.NumHiddenLayers; l++)
            IdentitiesHold(run, $"blocks.{l}", input);
    }, iter: 40, threads: 1);

    /// <summary>Semantics, section 1, on F32 recordings: the sums taken here in double, so that only the engine's rounding shows.</summary>
    private static void IdentitiesHold(Dictionary<string, float[]> run, string p, RandomInput input)
    {
        int tokens = input.Ids.Length, heads = input.Config.NumAttentionHeads, d = input.Config.HiddenSize;
        float[] result = run[$"{p}.attn.hook_result"], pattern = run[$"{p}.attn.hook_pattern"];
        double[] sum = new double[tokens * d];
        for (int i = 0; i < result.Length; i++)
            sum[i / (heads * d) * d + i % d] += result[i];
        // attn_out may be summed over H·K in one go: about √(H·K) roundings, of the largest head's write rather than of their sum.
        Added(run[$"{p}.hook_attn_out"], sum, 1e-5 * result.Max(Math.Abs), "Σ result");
        // One F32 addition each: half a unit in the last place, 6e-8 of the result.
        Added(run[$"{p}.hook_resid_mid"], Sum($"{p}.hook_resid_pre", $"{p}.hook_attn_out"), 1.2e-7 * Largest($"{p}.hook_resid_mid"), "resid_mid");
        Added(run[$"{p}.hook_resid_post"], Sum($"{p}.hook_resid_mid", $"{p}.hook_mlp_out"), 1.2e-7 * Largest($"{p}.hook_resid_post"), "resid_post");
        for (int row = 0; row < heads * tokens; row++)
        {
            float[] keys = pattern[(row * tokens)..((row + 1) * tokens)];
            // At most 67 roundings of numbers below 1, and one of the reciprocal.
            Assert.Equal(1, keys.Sum(v => (double)v), 5e-6);
            Assert.All(keys[(row % tokens + 1)..], v => Assert.Equal(0, v));
        }

        double[] Sum(string a, string b) => [.. run[a].Zip(run[b], (x, y) => (double)x + y)];
        double Largest(string name) => run[name].Max(Math.Abs);
    }

    private static void Added(float[] whole, double[] parts, double allowed, string what)
    {
        for (int i = 0; i < parts.Length; i++)
            Assert.True(Math.Abs(whole[i] - parts[i]) <= allowed, $"{what}[{i}]: parts make {parts[i]:R}, the whole is {whole[i]:R}; allowed {allowed:E1}");
    }

    private static void Same(double[] expected, float[] actual, double spread, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double allowed = Relative * expected.Where(double.IsFinite).Max(Math.Abs) + Steps * spread;
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that a NaN fails.
            bool same = double.IsFinite(expected[i]) ? Math.Abs(actual[i] - expected[i]) <= allowed : expected[i].Equals(actual[i]);
            Assert.True(same, $"{what}[{i}] is {actual[i]:R}, expected {expected[i]:R}; allowed {allowed:E1}");
        }
    }
}
