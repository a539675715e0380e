using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>How far a score falls when heads write nothing.</summary>
internal static class Ablation
{
    /// <summary>Without the named heads, and without as many others, drawn at random again and again.</summary>
    /// <param name="c">The model's shape.</param>
    /// <param name="named">The named heads.</param>
    /// <param name="draws">How often others are drawn.</param>
    /// <param name="random">Draws them.</param>
    /// <param name="score">The score of the model, changed as a plan says.</param>
    public static Drops Compare(LlamaConfig c, IReadOnlyCollection<(int Layer, int Head)> named, int draws, SeededRandom random, Func<InterventionPlan, double> score)
    {
        double whole = score(InterventionPlan.None);
        (int, int)[] others = [.. Enumerable.Range(0, c.NumHiddenLayers).SelectMany(l => Enumerable.Range(0, c.NumAttentionHeads).Select(h => (l, h))).Except(named)];
        return new Drops(Without(named), [.. Enumerable.Range(0, draws).Select(_ => Without(random.PickDistinct(others, named.Count)))]);

        double Without(IEnumerable<(int Layer, int Head)> heads) =>
            whole - score(InterventionPlan.Of([.. heads.Select(head => Intervention.Zero(HookPoint.Z, head.Layer, head.Head))]));
    }

    /// <summary>By how much a score fell.</summary>
    /// <param name="Named">Without the named heads.</param>
    /// <param name="Others">Without as many others, draw by draw.</param>
    public sealed record Drops(double Named, double[] Others);
}
