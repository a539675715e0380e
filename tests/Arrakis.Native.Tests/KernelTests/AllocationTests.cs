using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>A warm pass allocates no managed memory.</summary>
public sealed class AllocationTests
{
    private const int Passes = 100;

    private static readonly LlamaConfig s_config = ModelFiles.Small with { MaxPositionEmbeddings = 2 * Passes };

    public static TheoryData<string, int> PlansByThreads
    {
        get
        {
            var all = new TheoryData<string, int>();
            foreach (string plan in new[] { "none", "heads", "all" })
            {
                all.Add(plan, 1);
                all.Add(plan, 2);
            }

            return all;
        }
    }

    [Theory]
    [MemberData(nameof(PlansByThreads))]
    public void A_warm_Forward_allocates_nothing(string plan, int threads)
    {
        int[] ids = Ids(23);
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            using LlamaSession session = model.CreateSession(RecordingPlan.Parse(plan), Engine.Options(tier, threads));
            session.Forward(ids);
            session.Forward(ids);
            Assert.Equal(0, Settled(() =>
            {
                for (int i = 0; i < Passes; i++)
                    session.Forward(ids);
            }));
        }
    }

    // 130 tokens: two workers take strands of them.
    [Fact]
    public void A_warm_Forward_in_strands_allocates_nothing()
    {
        int[] ids = Ids(130);
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options(threads: 2));
        Assert.Equal(0, Settled(() =>
        {
            for (int i = 0; i < Passes; i++)
                session.Forward(ids);
        }));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_warm_Forward_with_interventions_allocates_nothing(int threads)
    {
        int[] ids = Ids(23);
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession other = model.CreateSession(RecordingPlan.All, Engine.Options());
        other.Forward(ids);
        var means = new ActivationMeans(perPosition: false, HookPoint.Z);
        means.Add(other.Cache);
        InterventionPlan plan = InterventionPlan.Of([
            .. HookNames.All.Select(point => Intervention.Replace(point, other.Cache)),
            Intervention.Mean(HookPoint.Z, means, layer: 0, head: 1),
            Intervention.CutEdge(1, 2, 7, 3),
            Intervention.Zero(HookPoint.V, layer: 1).AsReadBy(3),
            Intervention.Call(HookPoint.Result, (_, row) => row.Reverse(), layer: 1, head: 2),
            Intervention.Scale(HookPoint.ResidMid, 0.5f, position: 4),
            Intervention.Add(HookPoint.ResidPost, new float[s_config.HiddenSize], layer: 0)]);
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            using LlamaSession session = model.CreateSession(null, Engine.Options(tier, threads) with { Interventions = plan });
            session.Forward(ids);
            session.Forward(ids);
            Assert.Equal(0, Settled(() =>
            {
                for (int i = 0; i < Passes; i++)
                    session.Forward(ids);
            }));
        }
    }

    [Theory]
    [MemberData(nameof(PlansByThreads))]
    public void An_Append_within_what_a_longer_pass_reserved_allocates_nothing(string plan, int threads)
    {
        int[] ids = Ids(s_config.MaxPositionEmbeddings);
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            using LlamaSession session = model.CreateSession(RecordingPlan.Parse(plan), Engine.Options(tier, threads));
            session.Forward(ids);
            session.Forward(ids.AsSpan(0, 1));
            session.Append(ids.AsSpan(1, 1));
            Assert.Equal(0, Settled(() =>
            {
                session.Forward(ids.AsSpan(0, 2));
                for (int i = 0; i < Passes; i++)
                    session.Append(ids.AsSpan(2 + i, 1));
            }));
            Assert.Equal(2 + Passes, session.Position);
        }
    }

    // Bytes of a round of passes on this thread (other tests run beside it), once the runtime has optimised what it runs: until then it boxes here and there.
    // A pass that allocates does so in every round, and never settles at 0.
    private static long Settled(Action round)
    {
        long allocated = long.MaxValue;
        for (int i = 0; i < 20 && allocated != 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            round();
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        return allocated;
    }

    private static int[] Ids(int count) => [.. Enumerable.Range(0, count).Select(i => i * 7 % s_config.VocabSize)];
}
