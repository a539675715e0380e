using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>Names the heads that do a behaviour, on the mean over prompts: the movers, and the finders of the strongest mover above layer 0 (<see cref="Carriers"/>).</summary>
/// <param name="model">Whose heads.</param>
/// <param name="share">How much of what is carried the named heads carry together.</param>
/// <param name="tell">Gets what was found, under a title; null for nobody.</param>
internal sealed class Naming(LlamaModel model, double share, Action<string, string>? tell = null)
{
    private readonly Carriers _carriers = new(model);

    /// <summary>The heads that take the receiver's name to where it is due.</summary>
    public List<(int Layer, int Head)> GiftHeads(IReadOnlyCollection<GiftPrompt> gifts)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, Scores.OneThread);
        double[,] Over(Func<ActivationCache, GiftPrompt, double[,]> trace) =>
            Carriers.Mean(gifts.Select(gift => OnRun(session, gift.Ids, cache => trace(cache, gift))), model.Config);
        List<(int Layer, int Head)> movers = Name("gift movers", Over(_carriers.GiftMovers));
        (int Layer, int Head) late = movers.First(head => head.Layer > 0);
        return [.. movers.Union(Name($"gift finders, for L{late.Layer}H{late.Head}", Over((cache, gift) => _carriers.GiftFinders(cache, gift, late))))];
    }

    /// <summary>The heads that continue what was said before, at a few places of the second period of every row.</summary>
    public List<(int Layer, int Head)> InductionHeads(IReadOnlyCollection<Repeated> rows)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, Scores.OneThread);
        double[,] Over(Func<ActivationCache, Repeated, int, double[,]> trace) =>
            Carriers.Mean(rows.SelectMany(row => Places(row).Select(t => OnRun(session, row.Ids, cache => trace(cache, row, t)))), model.Config);
        List<(int Layer, int Head)> movers = Name("induction movers", Over(_carriers.InductionMovers));
        (int Layer, int Head) late = movers.First(head => head.Layer > 0);
        return [.. movers.Union(Name($"induction finders, for L{late.Layer}H{late.Head}", Over((cache, row, t) => _carriers.InductionFinders(cache, row, t, late))))];
    }

    private static int[] Places(Repeated row) => [row.Period + 2, row.Period + (row.Period / 2), (2 * row.Period) - 1];

    private static double[,] OnRun(LlamaSession session, int[] ids, Func<ActivationCache, double[,]> trace)
    {
        session.Forward(ids);
        return trace(session.Cache);
    }

    private List<(int Layer, int Head)> Name(string what, double[,] flow)
    {
        List<(int Layer, int Head, double Flow)> heads = Carriers.Strongest(flow, share);
        tell?.Invoke(what, string.Join(", ", heads.Select(head => string.Create(CultureInfo.InvariantCulture, $"L{head.Layer}H{head.Head} {head.Flow:+0.000;-0.000}"))));
        return [.. heads.Select(head => (head.Layer, head.Head))];
    }
}
