using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Reach;

/// <summary>
/// What recording costs, arenas warm. A bare pass computes the last block and the logits for the last token alone; a recording of heads needs the last block of all, a thirtieth
/// more arithmetic in this shape, and one of everything the logits of all, a quarter more. That is no cost of recording: both are held against a pass that computes as much, and
/// shown beside the bare one.
/// </summary>
internal static class RecordingClaims
{
    private const string Whole = "ln_final.scale alone", Logits = "logits alone";

    private static readonly (string Name, RecordingPlan Plan)[] s_plans =
    [
        ("none", RecordingPlan.None),
        ("heads", RecordingPlan.Heads),
        ("all", RecordingPlan.All),
        ("all but result and logits", RecordingPlan.Of([.. HookNames.All.Except([HookPoint.Result, HookPoint.Logits])])),
        (Whole, RecordingPlan.Of(HookPoint.LnFinalScale)),
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
            yield return new Claim(
                $"  recording {tokens}, {Rig.Plural(threads)}: {name}, time over none", ratio, Bound.None, 0,
                $"{megabytes:F0} MB in {(ratio - 1) * milliseconds:F1} ms more than {milliseconds:F0} ms, {contest.Rounds} rounds");
            if (name is not ("heads" or "all"))
                continue;
            (string asMuch, double wanted) = name == "all" ? (Logits, 1.15) : (Whole, 1.05);
            yield return new Claim(
                $"recording {tokens}, {Rig.Plural(threads)}: {name}, time over {asMuch}", contest.Ratio(asMuch, name), Bound.AtMost, wanted,
                "which all positions need, and a bare pass does not compute");
        }
    }
}
