using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>Names the heads that do a behaviour, on the mean over prompts: the movers, and the finders of the strongest mover above layer 0 (<see cref="Carriers"/>).</summary>
/// <param name="model">Whose heads.</param>
/// <param name="tell">Gets what was found, under a title; null for nobody.</param>
internal sealed class Naming(LlamaModel model, Action<string, string>? tell = null)
{
    // How much the named heads carry together: of the answer, and of the score by which its place is found. A cue takes fewer heads, and without one of them all is lost.
    private const double OfAnswer = 0.4, OfScore = 0.7;

    private readonly Carriers _carriers = new(model);

    /// <summary>The heads that take the receiver's name to where it is due.</summary>
    public List<(int Layer, int Head)> GiftHeads(IReadOnlyCollection<GiftPrompt> gifts)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, Scores.OneThread);
        double[,] Over(Func<ActivationCache, GiftPrompt, double[,]> trace) =>
            Carriers.Mean(gifts.Select(gift => OnRun(session, gift.Ids, cache => trace(cache, gift))), model.Config);
        (List<(int Layer, int Head)> movers, (int Layer, int Head) late) = Movers("gift movers", Over(_carriers.GiftMovers));
        return [.. movers.Union(Name($"gift finders, for L{late.Layer}H{late.Head}", OfScore, Over((cache, gift) => _carriers.GiftFinders(cache, gift, late))))];
    }

    /// <summary>The heads that continue what was said before, at a few places of the second period of every row.</summary>
    public List<(int Layer, int Head)> InductionHeads(IReadOnlyCollection<Repeated> rows)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, Scores.OneThread);
        double[,] Over(Func<ActivationCache, Repeated, int, double[,]> trace) =>
            Carriers.Mean(rows.SelectMany(row => Places(row).Select(t => OnRun(session, row.Ids, cache => trace(cache, row, t)))), model.Config);
        (List<(int Layer, int Head)> movers, (int Layer, int Head) late) = Movers("induction movers", Over(_carriers.InductionMovers));
        return [.. movers
            .Union(Name($"induction, the key for L{late.Layer}H{late.Head}", OfScore, Over((cache, row, t) => _carriers.InductionFinders(cache, row, t, late))))
            .Union(Name($"induction, the query of L{late.Layer}H{late.Head}", OfScore, Over((cache, row, t) => _carriers.InductionSeekers(cache, row, t, late))))];
    }

    private static int[] Places(Repeated row) => [row.Period + 2, row.Period + (row.Period / 2), (2 * row.Period) - 1];

    private static double[,] OnRun(LlamaSession session, int[] ids, Func<ActivationCache, double[,]> trace)
    {
        session.Forward(ids);
        return trace(session.Cache);
    }

    /// <summary>The heads that move the answer, and the strongest of them that others may have told where to look.</summary>
    private (List<(int Layer, int Head)> Movers, (int Layer, int Head) Late) Movers(string what, double[,] flow)
    {
        List<(int Layer, int Head)> movers = Name(what, OfAnswer, flow);
        (int layer, int head, _) = Carriers.Strongest(flow, 1).First(mover => mover.Layer > 0);
        return ([.. movers.Union([(layer, head)])], (layer, head));
    }

    private List<(int Layer, int Head)> Name(string what, double share, double[,] flow)
    {
        List<(int Layer, int Head, double Flow)> heads = Carriers.Strongest(flow, share);
        tell?.Invoke(what, string.Join(", ", heads.Select(head => string.Create(CultureInfo.InvariantCulture, $"L{head.Layer}H{head.Head} {head.Flow:+0.000;-0.000}"))));
        return [.. heads.Select(head => (head.Layer, head.Head))];
    }
}
