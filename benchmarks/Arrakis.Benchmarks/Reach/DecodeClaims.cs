using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Reach;

/// <summary>Token by token: SmolLM-135M's shape beside the read bandwidth, and a model so small that the cost of a call is what counts.</summary>
internal static class DecodeClaims
{
    private const int TokensAtOnce = 4;

    // Tokens before those that are measured: few, and nearly as many as the model takes; and how many more there may be before the session begins anew.
    private const int FewBefore = 16, ManyBefore = 1900, Further = 100;

    private static readonly (ElementType Type, double Wanted)[] s_types =
        [(ElementType.F32, 0.90), (ElementType.BF16, 0.85), (ElementType.F16, 0), (ElementType.Q8_0, 0.85)];

    // A model by itself: beside others, which no program decodes in turns, the first tokens find the tables of its pages out of cache.
    public static IEnumerable<ClaimGroup> Groups() =>
        s_types.Select(type => new ClaimGroup($"decode {PrefillClaims.Lower(type.Type)}", rig => Measure(rig, type.Type, type.Wanted, FewBefore)))
            .Append(new ClaimGroup("decode after many", rig => Measure(rig, ElementType.Q8_0, 0, ManyBefore)));

    /// <summary>The small model.</summary>
    public static ClaimGroup Stories { get; } = new("stories", MeasureStories);

    private static IEnumerable<Claim> Measure(Rig rig, ElementType type, double wanted, int before)
    {
        var sessions = new List<LlamaSession>();
        var contestants = new List<Contestant>();
        bool many = before > FewBefore;
        double gigabytes = (ModelWork.DecodeBytes(Rig.SmolLM, type) + (many ? ModelWork.KeyValueBytes(Rig.SmolLM, before) : 0)) / 1e9;
        string what = PrefillClaims.Lower(type) + (many ? $" after {before:N0} tokens" : "");
        foreach (int threads in rig.Threads)
        {
            LlamaSession session = Rig.Session(rig.Model(type), threads);
            sessions.Add(session);
            contestants.Add(new($"{threads}", () => gigabytes * Decode(session, before), () => rig.Read(threads)));
        }

        Contest contest = rig.Contest(contestants);
        sessions.ForEach(session => session.Dispose());
        foreach (int threads in rig.Threads)
        {
            string who = $"{threads}";
            yield return new Claim(
                $"decode, {what}, {Rig.Plural(threads)}: share of read bandwidth", contest.Share(who), wanted > 0 ? Bound.AtLeast : Bound.None, wanted,
                $"{contest.Rate(who) / gigabytes:F1} tokens/s, {contest.Rate(who):F1} of {contest.Yardstick(who):F1} GB/s, {contest.Rounds} rounds");
        }
    }

    /// <summary>Tokens a second over the next few of a sequence. Of few tokens the keys and values are little beside the weights, and are not counted.</summary>
    private static double Decode(LlamaSession session, int before)
    {
        int[] ids = s_ids;
        if (session.Position == 0 || session.Position + 1 + TokensAtOnce > before + Further)
            session.Forward(ids.AsSpan(0, before));
        // The session's second thread has slept through the other contestants' turns, as it does not from token to token.
        session.Append(ids.AsSpan(session.Position, 1));
        double seconds = Clock.Seconds(() =>
        {
            for (int i = 0; i < TokensAtOnce; i++)
                session.Append(ids.AsSpan(session.Position, 1));
        });
        return TokensAtOnce / seconds;
    }

    private static readonly int[] s_ids = Shapes.Ids(Rig.SmolLM, ManyBefore + Further);

    private static IEnumerable<Claim> MeasureStories(Rig rig)
    {
        // From one token to 256, as llama2.c does without being told otherwise.
        const int Tokens = 256;
        int[] ids = Shapes.Ids(Shapes.Stories, Tokens);
        using LlamaModel model = LlamaModel.CreateRandom(Shapes.Stories, seed: 1);
        LlamaSession[] sessions = [.. rig.Threads.Select(threads => Rig.Session(model, threads))];
        Contest contest = rig.Contest([.. sessions.Select(session => new Contestant($"{session.Threads}", () => Tokens / Clock.Seconds(() =>
        {
            session.Forward(ids.AsSpan(0, 1));
            for (int t = 1; t < Tokens; t++)
                session.Append(ids.AsSpan(t, 1));
        })))]);
        foreach (LlamaSession session in sessions)
            session.Dispose();
        yield return new Claim("stories-260k decode, 1 thread: tokens/s", contest.Rate("1"), Bound.AtLeast, 23_000, $"{1e6 / contest.Rate("1"):F1} microseconds a token, {contest.Rounds} rounds");
        // Within what rounds differ by, since nothing is won by a second thread here: it must only not be woken.
        if (rig.Threads.Count > 1)
            yield return new Claim("stories-260k decode: 2 threads over 1", contest.Ratio("2", "1"), Bound.AtLeast, 0.95);
    }
}
