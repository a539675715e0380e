using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>
/// Names the heads that carry a behaviour, from traced flow alone. First the movers: what takes the answer from where it stands to the logit. Then the finders: what
/// takes the cue by which a mover finds the answer to where the mover reads it.
/// </summary>
internal sealed class Carriers(LlamaModel model)
{
    private readonly int _layers = model.Config.NumHiddenLayers;

    /// <summary>Mean flow of every head, [layer, head].</summary>
    public static double[,] Mean(IEnumerable<double[,]> flows, LlamaConfig c)
    {
        var mean = new double[c.NumHiddenLayers, c.NumAttentionHeads];
        int count = 0;
        foreach (double[,] flow in flows)
        {
            count++;
            for (int l = 0; l < c.NumHiddenLayers; l++)
            {
                for (int h = 0; h < c.NumAttentionHeads; h++)
                    mean[l, h] += flow[l, h];
            }
        }

        for (int l = 0; l < c.NumHiddenLayers; l++)
        {
            for (int h = 0; h < c.NumAttentionHeads; h++)
                mean[l, h] /= count;
        }

        return mean;
    }

    /// <summary>The strongest heads that together carry a share of all that is carried towards the target.</summary>
    public static List<(int Layer, int Head, double Flow)> Strongest(double[,] flow, double share)
    {
        var heads = new List<(int Layer, int Head, double Flow)>();
        for (int l = 0; l < flow.GetLength(0); l++)
        {
            for (int h = 0; h < flow.GetLength(1); h++)
                heads.Add((l, h, flow[l, h]));
        }

        heads = [.. heads.Where(head => head.Flow > 0).OrderByDescending(head => head.Flow)];
        double sum = heads.Sum(head => head.Flow), so = 0;
        return [.. heads.TakeWhile(head => (so += head.Flow) - head.Flow < share * sum)];
    }

    /// <summary>From the receiver's name to the end of the prompt, in logits of the receiver over the giver.</summary>
    public double[,] GiftMovers(ActivationCache cache, GiftPrompt prompt)
    {
        int src = Array.IndexOf(prompt.Ids, prompt.Answer), dst = prompt.Ids.Length - 1;
        return Subtract(Trace(cache, src, dst, _layers, FlowTarget.Token(prompt.Answer)), Trace(cache, src, dst, _layers, FlowTarget.Token(prompt.Other)));
    }

    /// <summary>From anything before the end of the prompt to the query that a mover looks at the receiver's name with.</summary>
    public double[,] GiftFinders(ActivationCache cache, GiftPrompt prompt, (int Layer, int Head) mover)
    {
        int key = Array.IndexOf(prompt.Ids, prompt.Answer), query = prompt.Ids.Length - 1;
        return FromBefore(cache, query, mover.Layer, FlowTarget.Query(mover.Head, key));
    }

    /// <summary>From a word of the first period to the place where it is foretold, in its logits over those of the word after it.</summary>
    public double[,] InductionMovers(ActivationCache cache, Repeated row, int t)
    {
        int src = t + 1 - row.Period;
        return Subtract(
            Trace(cache, src, t, _layers, FlowTarget.Token(row.Ids[src])), Trace(cache, src, t, _layers, FlowTarget.Token(row.Ids[src + 1])));
    }

    /// <summary>From anything before a word to the key by which a mover finds it.</summary>
    public double[,] InductionFinders(ActivationCache cache, Repeated row, int t, (int Layer, int Head) mover) =>
        FromBefore(cache, t + 1 - row.Period, mover.Layer, FlowTarget.Key(mover.Head, t));

    /// <summary>From anything before a place to the query by which a mover that reads there finds what follows.</summary>
    public double[,] InductionSeekers(ActivationCache cache, Repeated row, int t, (int Layer, int Head) mover) =>
        FromBefore(cache, t, mover.Layer, FlowTarget.Query(mover.Head, t + 1 - row.Period));

    /// <summary>What heads bring to one side of a mover's score from other places: what makes it look where it looks.</summary>
    private double[,] FromBefore(ActivationCache cache, int dst, int layers, FlowTarget target)
    {
        double[,] sum = new double[_layers, model.Config.NumAttentionHeads];
        for (int src = 0; src < dst; src++)
            Add(sum, Trace(cache, src, dst, layers, target), 1);
        return sum;
    }

    private double[,] Trace(ActivationCache cache, int src, int dst, int layers, FlowTarget target)
    {
        var options = new FlowOptions { Layers = layers, Target = target, Paths = 0, Edges = 0, Compute = new AnalysisOptions { Threads = 1 } };
        var flow = new double[_layers, model.Config.NumAttentionHeads];
        foreach (FlowHead head in FlowTracer.Trace(model, cache, src, dst, options).Heads)
            flow[head.Layer, head.Head] = head.Flow;
        return flow;
    }

    private static double[,] Subtract(double[,] a, double[,] b) => Add(a, b, -1);

    private static double[,] Add(double[,] a, double[,] b, double factor)
    {
        for (int l = 0; l < a.GetLength(0); l++)
        {
            for (int h = 0; h < a.GetLength(1); h++)
                a[l, h] += factor * b[l, h];
        }

        return a;
    }
}
