using System.Globalization;
using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>What kind of direction is read.</summary>
public enum DirectionKind
{
    /// <summary>The write of a head below.</summary>
    Head,

    /// <summary>A token's embedding.</summary>
    Embedding,

    /// <summary>A token's unembedding.</summary>
    Unembedding,

    /// <summary>A dimension of the residual stream.</summary>
    Dimension,
}

/// <summary>What the heads read of one direction.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Index">The token's id, or the dimension; the head, of <paramref name="Layer"/>.</param>
/// <param name="Layer">The layer of the head that writes; null for the others.</param>
/// <param name="Text">What the token reads as; null for the others.</param>
/// <param name="Layers">Every layer's reads; those above the head, where it is one's write.</param>
public sealed record ReadReport(DirectionKind Kind, int Index, int? Layer, string? Text, IReadOnlyList<HeadReads> Layers)
{
    // A direction costs a product with all of a layer's queries, keys and values at up to 16 positions; this is a second or so of it.
    private const double MostWork = 8e9;
    private const int PositionsOfIdentity = 16;

    // Seven numbers of each head of each layer, float32: 2 MB of the page.
    private const int NumbersOfHead = 7;
    private const int MostNumbers = 500_000;
    private const int Least = 24;
    private const int MostDimensions = 512;

    internal static ReadReport[] Measure(
        LlamaModel model, ActivationCache cache, TokenReport[] tokens, HeadWrites[] writes, LogitReport logit, ReportOptions options, List<string> leftOut, Stages stages)
    {
        LlamaConfig c = model.Config;
        if (options.Dimension is { } asked && (uint)asked >= (uint)c.HiddenSize)
            throw new ArrakisException($"dimension {asked} is not in the residual stream: use 0 to {c.HiddenSize - 1}");
        double each = (double)c.NumHiddenLayers * c.HiddenSize * c.HeadDim * (c.NumAttentionHeads + 2 * c.NumKeyValueHeads) * Math.Min(tokens.Length, PositionsOfIdentity);
        int most = Math.Max(Least, MostNumbers / (NumbersOfHead * c.NumHiddenLayers * c.NumAttentionHeads));
        int room = (int)Math.Clamp(MostWork / each, Least, most);

        (int Layer, int Head)[] writers = Writers(writes);
        int[] ids = [.. tokens.Select(token => token.Id).Distinct()], dimensions = Dimensions(cache, c, options.Dimension);
        int someWriters = Math.Min(writers.Length, room / 3), someIds = Math.Min(ids.Length, room / 3);
        int someDimensions = Math.Min(c.HiddenSize, Math.Min(MostDimensions, room - someWriters - someIds));
        Say(leftOut, "heads below the last layer that write", someWriters, writers.Length, "those that write the most in their layer");
        Say(leftOut, "different tokens", someIds, ids.Length, "the first");
        Say(leftOut, "dimensions", someDimensions, c.HiddenSize, "those in which the stream is largest");

        ReadReport[] wanted =
        [
            .. writers.Take(someWriters).Order().Select(writer => new ReadReport(DirectionKind.Head, writer.Head, writer.Layer, null, [])),
            new ReadReport(DirectionKind.Unembedding, logit.Token.Id, null, logit.Token.Text, []),
            .. ids.Take(someIds).Select(id => new ReadReport(DirectionKind.Embedding, id, null, tokens.First(token => token.Id == id).Text, [])),
            .. dimensions.Take(someDimensions).Order().Select(dimension => new ReadReport(DirectionKind.Dimension, dimension, null, null, [])),
        ];
        for (int i = 0; i < wanted.Length; i++)
        {
            wanted[i] = wanted[i] with { Layers = wanted[i].Read(model, cache, options.Compute) };
            stages.Done((i + 1.0) / wanted.Length);
        }

        return wanted;
    }

    /// <summary>Which to look at first: the dimension that was asked for, or the write of which a head above takes the most.</summary>
    internal static int Opening(ReadReport[] reads, ReportOptions options)
    {
        if (options.Dimension is { } dimension)
            return Array.FindIndex(reads, read => read.Kind == DirectionKind.Dimension && read.Index == dimension);
        int most = 0;
        for (int i = 1; i < reads.Length && reads[i].Kind == DirectionKind.Head; i++)
            most = reads[i].MostTaken() > reads[most].MostTaken() ? i : most;
        return most;
    }

    private double MostTaken() => Layers.Max(layer => new[] { MeanShares.Q(layer), MeanShares.K(layer), MeanShares.V(layer) }.Max(means => means.Max(Math.Abs)));

    private HeadReads[] Read(LlamaModel model, ActivationCache cache, AnalysisOptions compute)
    {
        ReadDirection direction = Kind switch
        {
            DirectionKind.Head => ReadDirection.HeadWrite(Layer!.Value, Index),
            DirectionKind.Embedding => ReadDirection.Embedding(Index),
            DirectionKind.Unembedding => ReadDirection.Unembedding(Index),
            _ => ReadDirection.Dimension(Index),
        };
        int first = Layer + 1 ?? 0;
        return [.. Enumerable.Range(first, model.Config.NumHiddenLayers - first).Select(layer => HeadReads.Measure(model, cache, layer, direction, HeadInputs.All, compute))];
    }

    private static void Say(List<string> leftOut, string what, int some, int all, string which)
    {
        if (some < all)
            leftOut.Add(string.Create(CultureInfo.InvariantCulture, $"Who reads {all - some} of {all} {what}: {which} are offered; 'arrakis heads read' measures any."));
    }

    /// <summary>Heads that write anything and have a layer above, the strongest of every layer first, then the second of every layer, and so on.</summary>
    private static (int Layer, int Head)[] Writers(HeadWrites[] writes)
    {
        int[][] order = [.. writes.SkipLast(1).Select(layer => HeadSelection.Order(layer.Strengths))];
        return [.. Enumerable.Range(0, writes[0].Heads).SelectMany(rank => order.Select((heads, layer) => (Layer: layer, Head: heads[rank])))
            .Where(writer => writes[writer.Layer].Strengths[writer.Head] > 0)];
    }

    /// <summary>The one that was asked for, then those in which the stream is largest: by x² as a part of ‖x‖², over all layers and tokens.</summary>
    private static int[] Dimensions(ActivationCache cache, LlamaConfig c, int? first)
    {
        double[] size = new double[c.HiddenSize];
        for (int layer = 0; layer < c.NumHiddenLayers; layer++)
        {
            ReadOnlySpan<float> stream = cache.Flat(HookPoint.ResidPre, layer);
            for (int at = 0; at < stream.Length; at += c.HiddenSize)
            {
                ReadOnlySpan<float> x = stream.Slice(at, c.HiddenSize);
                double whole = TensorPrimitives.SumOfSquares(x);
                for (int d = 0; whole > 0 && d < x.Length; d++)
                    size[d] += x[d] * x[d] / whole;
            }
        }

        return [.. Enumerable.Range(0, c.HiddenSize).OrderByDescending(d => d == first).ThenByDescending(d => size[d])];
    }
}
