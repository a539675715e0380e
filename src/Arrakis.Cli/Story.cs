using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>What a head of a layer above takes from what another wrote.</summary>
/// <param name="Layer">Its layer.</param>
/// <param name="Head">The head.</param>
/// <param name="Input">q, k, or v for the values as its pattern mixes them.</param>
/// <param name="Share">The signed share of that input, the mean over the tokens.</param>
internal readonly record struct Reader(int Layer, int Head, string Input, double Share);

/// <summary>One of a layer's strongest write heads, and the heads above that read the most of what it wrote; none where nobody does.</summary>
internal sealed record ReadWrite(int Layer, int Head, IReadOnlyList<Reader> Readers);

/// <summary>Everything that is told of one prompt: who writes, who reads what, and what the predicted token's logit is made of.</summary>
internal sealed class Story
{
    private const int MostLayers = 6;
    private const int WritersEach = 2;
    private const int ReadersEach = 3;
    private const int DefaultPeriod = 8;
    private const int DetectorPeriod = 32;

    // Less of a head's input than this is nothing that it reads.
    private const double LeastShare = 0.001;

    // Each goes on in one way only. These two never meet in what the model of tales is trained on.
    private static readonly string[] s_tales =
    [
        "When Mara and Jon went to the well , Jon gave the cup to",
        "When Mara and Jon went to the well , Mara gave the cup to",
    ];

    private Story()
    {
    }

    public required LlamaModel Model { get; init; }

    public required int[] Ids { get; init; }

    /// <summary>What the ids stand for.</summary>
    public required Tokens Tokens { get; init; }

    /// <summary>Of the last position. [V]</summary>
    public required float[] Logits { get; init; }

    /// <summary>Every layer's.</summary>
    public required HeadWrites[] Writes { get; init; }

    /// <summary>Of every layer but the last, or of some of many: the strongest write heads.</summary>
    public required ReadWrite[] Reads { get; init; }

    /// <summary>How far read shares are off their identity, at most.</summary>
    public required double ReadError { get; init; }

    /// <summary>From the token before the last that contributes the most, through all layers, to the prediction's logit; with all sources.</summary>
    public required FlowTrace Flow { get; init; }

    /// <summary>Null where the context has no room for tokens that repeat.</summary>
    public required HeadDetectors? Detectors { get; init; }

    /// <summary>The token that the model predicts.</summary>
    public int Prediction => TensorPrimitives.IndexOfMax<float>(Logits);

    /// <summary>The prompt where none is given: the beginning of a tale, or ids that repeat, up to where a model that copies has one more to say.</summary>
    public static int[] DefaultPrompt(LlamaConfig config, Tokens tokens, int seed)
    {
        int[] tale = tokens.Tokenizer?.Encode(s_tales[(int)((uint)seed % (uint)s_tales.Length)]) ?? [];
        if (tale.Length > 0 && tale.Length <= config.MaxPositionEmbeddings)
            return tale;
        int[] pool = [.. Enumerable.Range(0, config.VocabSize).Where(id => id != config.BosTokenId && !config.EosTokenIds.Contains(id))];
        if (pool.Length == 0)
            return [0];
        new Random(seed).Shuffle(pool);
        int period = Math.Min(DefaultPeriod, pool.Length), length = Math.Min(2 * period - 1, config.MaxPositionEmbeddings);
        int[] begin = config.BosTokenId is { } bos && length < config.MaxPositionEmbeddings ? [bos] : [];
        return [.. begin, .. Enumerable.Range(0, length).Select(t => pool[t % period])];
    }

    /// <summary>The id with which a model that copies goes on after the default prompt; null where that is no repetition.</summary>
    public static int? Continuation(LlamaConfig config, int[] prompt)
    {
        ReadOnlySpan<int> ids = prompt.Length > 0 && prompt[0] == config.BosTokenId ? prompt.AsSpan(1) : prompt;
        int period = (ids.Length + 1) / 2;
        return ids.Length > 2 && ids[period..].SequenceEqual(ids[..(period - 1)]) ? ids[period - 1] : null;
    }

    public static Story Measure(LlamaModel model, int[] ids, Tokens tokens, SessionOptions sessionOptions, AnalysisOptions options, CancellationToken cancellation)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow.Union(RecordingPlan.Of(HookPoint.Logits)), sessionOptions);
        float[] logits = session.Forward(ids, cancellation).ToArray();
        ActivationCache cache = session.Cache;
        HeadWrites[] writes = [.. Enumerable.Range(0, model.Config.NumHiddenLayers).Select(layer => HeadWrites.Measure(model, cache, layer, options))];
        (ReadWrite[] reads, double error) = MeasureReads(model, cache, writes, options, cancellation);
        int begins = model.Config.BosTokenId is null ? 0 : 1, period = Math.Min(DetectorPeriod, (model.Config.MaxPositionEmbeddings - begins) / 2);
        return new Story
        {
            Model = model,
            Ids = ids,
            Tokens = tokens,
            Logits = logits,
            Writes = writes,
            Reads = reads,
            ReadError = error,
            Flow = Trace(model, cache, TensorPrimitives.IndexOfMax<float>(logits), options, cancellation),
            Detectors = period < 3 ? null : HeadDetectors.Detect(model, period, options: options, cancellation: cancellation),
        };
    }

    private static FlowTrace Trace(LlamaModel model, ActivationCache cache, int prediction, AnalysisOptions options, CancellationToken cancellation)
    {
        int last = cache.Tokens - 1;
        var request = new FlowOptions { Layers = model.Config.NumHiddenLayers, Target = FlowTarget.Token(prediction), AllSources = true, Compute = options };
        FlowTrace sources = FlowTracer.Trace(model, cache, last, last, request with { Paths = 0, Edges = 0 }, cancellation);
        int strongest = Enumerable.Range(0, Math.Max(1, last)).MaxBy(t => Math.Abs(sources.Sources![t]));
        return FlowTracer.Trace(model, cache, strongest, last, request, cancellation);
    }

    private static (ReadWrite[] Reads, double Error) MeasureReads(
        LlamaModel model, ActivationCache cache, HeadWrites[] writes, AnalysisOptions options, CancellationToken cancellation)
    {
        var reads = new List<ReadWrite>();
        double error = 0;
        // The loudest head may write where nobody reads, so there is a second one of each layer.
        foreach ((int layer, int head) in Some(model.Config.NumHiddenLayers - 1, MostLayers)
            .SelectMany(layer => HeadSelection.Order(writes[layer].Strengths).Take(WritersEach).Select(head => (layer, head))))
        {
            // What writes nothing is no direction to read.
            if (writes[layer].Strengths[head] == 0)
                continue;
            var readers = new List<Reader>();
            for (int above = layer + 1; above < model.Config.NumHiddenLayers; above++)
            {
                cancellation.ThrowIfCancellationRequested();
                HeadReads measured = HeadReads.Measure(model, cache, above, ReadDirection.HeadWrite(layer, head), HeadInputs.All, options);
                error = Math.Max(error, measured.ShareError);
                for (int h = 0; h < measured.Heads; h++)
                    readers.Add(Strongest(measured, h));
            }

            reads.Add(new ReadWrite(layer, head, [.. OnePerKeyHead(readers, model.Config).Take(ReadersEach)]));
        }

        return ([.. reads], error);
    }

    /// <summary>The strongest first; of heads that share their keys and read with those, the first.</summary>
    private static IEnumerable<Reader> OnePerKeyHead(IEnumerable<Reader> readers, LlamaConfig config) => readers
        .Where(reader => Math.Abs(reader.Share) >= LeastShare)
        .OrderByDescending(reader => Math.Abs(reader.Share))
        .DistinctBy(reader => (reader.Layer, reader.Input, reader.Input == "k" ? reader.Head / config.HeadsPerKeyValueHead : reader.Head));

    private static Reader Strongest(HeadReads reads, int head)
    {
        (string Input, double Share)[] inputs = [("q", Mean(reads.QShares(head))), ("k", Mean(reads.KShares(head))), ("v", Mean(reads.ZShares(head)))];
        (string input, double share) = inputs.MaxBy(candidate => Math.Abs(candidate.Share));
        return new Reader(reads.Layer, head, input, share);
    }

    private static double Mean(ReadOnlySpan<float> values) => Views.View.Mean(values);

    /// <summary>At most so many of 0 … count − 1, evenly, the first among them.</summary>
    private static IEnumerable<int> Some(int count, int most) =>
        count <= most ? Enumerable.Range(0, count) : Enumerable.Range(0, most).Select(i => i * (count - 1) / (most - 1));
}
