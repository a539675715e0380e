using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Reach;

/// <summary>A prompt through SmolLM-135M's shape, in every element type, beside the FMA peak.</summary>
internal static class PrefillClaims
{
    // The peak of the machine that the wanted tokens a second are of. Speeds are compared as shares of the peak that is measured beside them.
    private const double WantedPeak = 250;

    private static readonly (ElementType Type, double Wanted)[] s_types =
        [(ElementType.F32, 1), (ElementType.BF16, 0.95), (ElementType.F16, 0.95), (ElementType.Q8_0, 0.90)];

    public static IEnumerable<ClaimGroup> Groups() =>
        [new("prefill 128", rig => Measure(rig, 128, 960)), new("prefill 512", rig => Measure(rig, 512, 900))];

    private static IEnumerable<Claim> Measure(Rig rig, int tokens, double wantedTokens)
    {
        int[] ids = Shapes.Ids(Rig.SmolLM, tokens);
        double flopsPerToken = ModelWork.PrefillFlops(Rig.SmolLM, tokens) / tokens;
        var sessions = new List<LlamaSession>();
        var contestants = new List<Contestant>();
        foreach (int threads in rig.Threads)
        {
            foreach ((ElementType type, _) in s_types)
            {
                LlamaSession session = Rig.Session(rig.Model(type), threads);
                sessions.Add(session);
                contestants.Add(new(Name(type, threads), () => Rig.Prefill(session, ids), () => rig.Peak(threads) * 1e9 / flopsPerToken));
            }
        }

        Contest contest = rig.Contest(contestants, patience: tokens / 128);
        sessions.ForEach(session => session.Dispose());
        return Judge(contest, tokens, wantedTokens, flopsPerToken, rig.Threads);
    }

    private static IEnumerable<Claim> Judge(Contest contest, int tokens, double wantedTokens, double flopsPerToken, IReadOnlyList<int> allThreads)
    {
        string one = Name(ElementType.F32, 1);
        double share = contest.Share(one);
        yield return new Claim(
            $"prefill {tokens}, f32, 1 thread: tokens/s at a peak of {WantedPeak:F0} GFLOP/s", share * WantedPeak * 1e9 / flopsPerToken, Bound.AtLeast, wantedTokens,
            $"{contest.Rate(one):F0} tokens/s at the {contest.Yardstick(one) * flopsPerToken / 1e9:F0} GFLOP/s of now, {contest.Rounds} rounds");
        foreach (int threads in allThreads)
        {
            string f32 = Name(ElementType.F32, threads);
            if (threads == 1)
                yield return new Claim($"prefill {tokens}, f32, 1 thread: share of peak, whole model", share, Bound.AtLeast, 0.82, $"{flopsPerToken / 1e9:F4} GFLOP a token");
            else
                yield return new Claim($"prefill {tokens}, f32: 2 threads over 1", contest.Ratio(f32, one), Bound.AtLeast, 1.9, $"{contest.Rate(f32):F0} tokens/s, {contest.Share(f32):F3} of peak");
            foreach ((ElementType type, double wanted) in s_types.Where(t => t.Type != ElementType.F32))
            {
                string who = Name(type, threads);
                yield return new Claim(
                    $"prefill {tokens}, {Lower(type)} over f32, {Rig.Plural(threads)}", contest.Ratio(who, f32), Bound.AtLeast, wanted,
                    $"{contest.Rate(who):F0} tokens/s, {contest.Share(who):F3} of peak");
            }
        }
    }

    private static string Name(ElementType type, int threads) => $"{type} {threads}";

    public static string Lower(ElementType type) => type.ToString().ToLowerInvariant();
}
