using Arrakis.Benchmarks.Measuring;
using Arrakis.Benchmarks.Peers;

namespace Arrakis.Benchmarks.Reach;

/// <summary>Matrix products beside the FMA peak, and the peers beside both, in the same rounds.</summary>
internal static unsafe class ProductClaims
{
    // tokens × inputs × outputs, and the share of one core's peak that is wanted; 0 where a peer's figure is known and nothing is asked of ours.
    private static readonly (int Tokens, int Inputs, int Outputs, double Wanted)[] s_shapes =
    [
        (512, 2048, 2048, 0.85), (512, 2048, 5632, 0.85), (128, 576, 1536, 0.80), (128, 2048, 5632, 0.75), (128, 5632, 2048, 0), (128, 576, 576, 0),
    ];

    // A dot product at a time is as slow for many tokens as for these.
    private const int DotTokens = 32;

    public static IEnumerable<ClaimGroup> Groups() => s_shapes.Select(shape =>
        new ClaimGroup($"product {shape.Tokens}x{shape.Inputs}x{shape.Outputs}", rig => Measure(rig, shape.Tokens, shape.Inputs, shape.Outputs, shape.Wanted)));

    private static IEnumerable<Claim> Measure(Rig rig, int tokens, int inputs, int outputs, double wanted)
    {
        string name = $"product {tokens}x{inputs}x{outputs}";
        EngineProduct[] products = [.. rig.Threads.Select(threads => EngineProduct.Create(rig.Tier, rig.Team(threads), tokens, inputs, outputs))];
        EngineProduct one = products[0];
        using EngineProduct few = EngineProduct.Create(rig.Tier, rig.Team(1), DotTokens, inputs, outputs);
        var contestants = new List<Contestant>();
        foreach (int threads in rig.Threads)
        {
            EngineProduct product = products[threads - 1];
            contestants.Add(new($"engine {threads}", () => product.Rate(product.Run), () => rig.Peak(threads)));
        }

        if (OpenBlas.IsThere)
        {
            CheckPeer(one);
            foreach (int threads in rig.Threads)
                contestants.Add(new($"OpenBLAS {threads}", () => RateOpenBlas(one, threads), () => rig.Peak(threads)));
        }

        contestants.Add(new("Dot 1", () => few.Rate(() => DotProducts.Multiply(few.X, (float*)few.W.Data, few.Y, few.Tokens, inputs, outputs)), () => rig.Peak(1)));
        Contest contest = rig.Contest(contestants);
        foreach (EngineProduct product in products)
            product.Dispose();
        return Judge(contest, name, wanted, rig.Threads);
    }

    private static IEnumerable<Claim> Judge(Contest contest, string name, double wanted, IReadOnlyList<int> allThreads)
    {
        foreach (int threads in allThreads)
        {
            string who = $"engine {threads}";
            string of = $"{contest.Rate(who):F0} of {contest.Yardstick(who):F0} GFLOP/s, {contest.Rounds} rounds";
            bool asked = threads == 1 && wanted > 0;
            yield return new Claim($"{name}, {Rig.Plural(threads)}: share of peak", contest.Share(who), asked ? Bound.AtLeast : Bound.None, asked ? wanted : 0, of);
            if (threads > 1)
                yield return new Claim($"{name}: 2 threads over 1", contest.Ratio(who, "engine 1"), Bound.AtLeast, 1.9, $"the peak itself: {contest.YardstickRatio(who, "engine 1"):F2}");
        }

        foreach (int threads in allThreads)
        {
            string who = $"OpenBLAS {threads}";
            if (contest.Has(who))
                yield return new Claim($"  OpenBLAS sgemm, {Rig.Plural(threads)}: share of peak", contest.Share(who), Note: $"ours is {contest.Ratio($"engine {threads}", who):F2} times as fast");
        }

        yield return new Claim("  TensorPrimitives.Dot, 1 thread: share of peak", contest.Share("Dot 1"), Note: $"ours is {contest.Ratio("engine 1", "Dot 1"):F1} times as fast");
    }

    private static double RateOpenBlas(EngineProduct product, int threads)
    {
        double rate = product.Rate(() => OpenBlas.Multiply(threads, product.X, (float*)product.W.Data, product.Y, product.Tokens, product.Inputs, product.Outputs));
        if (threads > 1)
            OpenBlas.LetWorkersSleep();
        return rate;
    }

    /// <summary>A peer that computes something else would be no peer.</summary>
    private static void CheckPeer(EngineProduct product)
    {
        int length = product.Tokens * product.Outputs;
        product.Run();
        float[] ours = new ReadOnlySpan<float>(product.Y, length).ToArray();
        OpenBlas.Multiply(1, product.X, (float*)product.W.Data, product.Y, product.Tokens, product.Inputs, product.Outputs);
        // Numbers about 0.3 in size, as sums of up to 5,632 terms in two orders: √5632 roundings of 2^-24 are 4.5e-6 of them.
        for (int i = 0; i < length; i++)
        {
            if (Math.Abs(ours[i] - product.Y[i]) > 2e-5)
                throw new InvalidOperationException($"OpenBLAS computes {product.Y[i]} where the engine computes {ours[i]}");
        }
    }
}
