using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Reach;

/// <summary>
/// What recording costs, arenas warm. A bare pass computes the logits of the last position alone, and a recording of everything those of all, a quarter more arithmetic in this
/// shape, which is no cost of recording: everything is held against a pass that computes them too, and shown beside the bare one.
/// </summary>
internal static class RecordingClaims
{
    private const string Logits = "logits alone";

    private static readonly (string Name, RecordingPlan Plan)[] s_plans =
    [
        ("none", RecordingPlan.None),
        ("heads", RecordingPlan.Heads),
        ("all", RecordingPlan.All),
        ("all but result and logits", RecordingPlan.Of([.. HookNames.All.Except([HookPoint.Result, HookPoint.Logits])])),
        (Logits, RecordingPlan.Of(HookPoint.Logits)),
        ("result alone", RecordingPlan.Of(HookPoint.Result)),
    ];

    public static IEnumerable<ClaimGroup> Groups()
    {
        foreach (int tokens in new[] { 128, 512 })
        {
            foreach (int threads in new[] { 1, 2 })
                yield return new ClaimGroup($"recording {tokens}, {Rig.Plural(threads)}", rig => Measure(rig, tokens, threads));
        }
    }

    private static IEnumerable<Claim> Measure(Rig rig, int tokens, int threads)
    {
        if (!rig.Threads.Contains(threads))
            yield break;
        int[] ids = Shapes.Ids(Rig.SmolLM, tokens);
        LlamaSession[] sessions = [.. s_plans.Select(plan => Rig.Session(rig.Model(ElementType.F32), threads, plan.Plan))];
        Contest contest = rig.Contest(
            [.. s_plans.Zip(sessions, (plan, session) => new Contestant(plan.Name, () => Rig.Prefill(session, ids)))],
            patience: tokens / 128.0 / threads);
        foreach (LlamaSession session in sessions)
            session.Dispose();
        double bare = contest.Rate("none");
        foreach ((string name, RecordingPlan plan) in s_plans.Skip(1))
        {
            double megabytes = plan.GetBytes(Rig.SmolLM, tokens) / 1e6;
            double ratio = contest.Ratio("none", name), milliseconds = tokens / bare * 1e3;
            (Bound bound, double wanted) = name switch
            {
                "heads" => (Bound.AtMost, 1.05),
                _ => (Bound.None, 0),
            };
            yield return new Claim(
                $"{(bound == Bound.None ? "  " : "")}recording {tokens}, {Rig.Plural(threads)}: {name}, time over none", ratio, bound, wanted,
                $"{megabytes:F0} MB in {(ratio - 1) * milliseconds:F1} ms more than {milliseconds:F0} ms, {contest.Rounds} rounds");
            if (name == "all")
            {
                yield return new Claim(
                    $"recording {tokens}, {Rig.Plural(threads)}: all, time over logits alone", contest.Ratio(Logits, name), Bound.AtMost, 1.15,
                    "of every position, which a bare pass does not compute");
            }
        }
    }
}
