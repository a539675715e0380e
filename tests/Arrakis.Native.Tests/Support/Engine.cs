using System.Runtime.InteropServices;

namespace Arrakis.Native.Tests.Support;

/// <summary>Runs of the engine, for tests that compare them with something.</summary>
public static class Engine
{
    /// <summary>For <c>[MemberData]</c>: every kernel tier that this machine has. The scalar one always is.</summary>
    public static TheoryData<KernelTier> Tiers => [.. KernelTiers.Supported];

    /// <summary>Every kernel tier with every stored type.</summary>
    public static TheoryData<KernelTier, ElementType> TiersByType
    {
        get
        {
            var all = new TheoryData<KernelTier, ElementType>();
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                foreach (ElementType type in Enum.GetValues<ElementType>())
                    all.Add(tier, type);
            }

            return all;
        }
    }

    /// <summary>Every golden model with every tier.</summary>
    public static TheoryData<string, KernelTier> GoldenByTier
    {
        get
        {
            var all = new TheoryData<string, KernelTier>();
            foreach (string name in Golden.Find())
            {
                foreach (KernelTier tier in KernelTiers.Supported)
                    all.Add(name, tier);
            }

            return all;
        }
    }

    public static SessionOptions Options(KernelTier tier = KernelTier.Auto, int threads = 1) => new() { Kernels = tier, Threads = threads, LeastShared = 0 };

    /// <summary>Every recorded hook of one forward pass, copied out of the session.</summary>
    public static Dictionary<string, float[]> Record(LlamaModel model, int[] ids, SessionOptions options)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.All, options);
        session.Forward(ids);
        return Values(session.Cache);
    }

    public static Dictionary<string, float[]> Values(ActivationCache cache) => cache.Names.ToDictionary(name => name, name => cache.Flat(name).ToArray());

    public static double[] Widen(ReadOnlySpan<float> values)
    {
        double[] wide = new double[values.Length];
        for (int i = 0; i < wide.Length; i++)
            wide[i] = values[i];
        return wide;
    }

    public static int ArgMax(ReadOnlySpan<double> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
            best = values[i] > values[best] ? i : best;
        return best;
    }

    /// <summary>Equality of bits, so that −0 is not 0 and a NaN is itself.</summary>
    public static void SameBits(Dictionary<string, float[]> expected, Dictionary<string, float[]> actual, string what)
    {
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, float[] values) in expected)
        {
            Assert.True(
                MemoryMarshal.AsBytes<float>(values).SequenceEqual(MemoryMarshal.AsBytes<float>(actual[name])),
                $"{what}: {name} has other bits");
        }
    }
}
