using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis bench</c>: speed on this machine, with random weights of a known shape. The work depends on the shape alone.</summary>
internal sealed class BenchCommand : Command
{
    // Runs until this much time is spent, within these numbers: a median wants a few, and nobody wants to wait.
    private const double EnoughSeconds = 2;
    private const int LeastRuns = 5, MostRuns = 100;

    // The runtime compiles anew what it sees run often, a tenth of a second after it last saw something new.
    private const double WarmUpSeconds = 0.4;

    private static readonly (string Name, LlamaConfig Config)[] s_shapes =
    [
        ("smollm-135m", Shape(576, 1536, 30, 9, 3, 64, 49152, 2048)),
        ("tinyllama-1.1b", Shape(2048, 5632, 22, 32, 4, 64, 32000, 2048) with { TieWordEmbeddings = false }),
        ("stories-260k", Shape(64, 172, 5, 8, 4, 8, 512, 512)),
        ("llama-3.2-1b", Shape(2048, 8192, 16, 32, 8, 64, 128256, 131072)),
    ];

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<int?> _shape = OptionOf.Choice("--shape", "Whose shape", [.. s_shapes.Select((shape, i) => (shape.Name, i))]);
    private readonly Option<int> _tokens = OptionOf.Integer("--tokens", "Tokens of the prompt", standard: 128, least: 1);
    private readonly Option<ElementType?> _type = OptionOf.Choice(
        "--dtype", "How the weights are stored", ("f32", ElementType.F32), ("bf16", ElementType.BF16), ("f16", ElementType.F16), ("q8_0", ElementType.Q8_0));
    private readonly Option<string> _record = new("--record") { Description = "none, heads, flow, all, or hook names such as z,pattern", DefaultValueFactory = _ => "none", HelpName = "SPEC" };
    private readonly Option<int> _decode = OptionOf.Integer("--decode", "Measure this many tokens one by one behind the prompt, instead of the prompt", standard: 0);

    public BenchCommand(Terminal terminal, Input input)
        : base("bench", "Speed on this machine with random weights of a known shape")
    {
        (_terminal, _input) = (terminal, input);
        foreach (Option option in new Option[] { _shape, _tokens, _type, _record, _decode, input.Threads, input.Kernels, input.Json })
            Add(option);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        (string name, LlamaConfig config) = s_shapes[call.GetValue(_shape) ?? 0];
        ElementType type = call.GetValue(_type) ?? ElementType.F32;
        int tokens = call.GetValue(_tokens), decode = call.GetValue(_decode);
        RecordingPlan plan = RunCommand.ParsePlan(call.GetValue(_record)!);
        if (tokens + decode > config.MaxPositionEmbeddings)
            throw new UsageException($"{tokens} + {decode} tokens are more than the shape's context of {config.MaxPositionEmbeddings}: use fewer");
        using LlamaModel model = _terminal.Work("random weights", _ => LlamaModel.CreateRandom(config, seed: 1, type, _terminal.Cancellation));
        using LlamaSession session = model.CreateSession(plan, _input.Session(call));
        (double[] seconds, double allocated) = _terminal.Work("measuring", _ => Measure(session, config, tokens, decode));

        int measured = decode > 0 ? decode : tokens;
        double median = seconds[seconds.Length / 2];
        PlainView.Write(_terminal, call.GetValue(_input.Json), new JsonObject
        {
            ["shape"] = name,
            ["dtype"] = type.ToString().ToLowerInvariant(),
            ["tokens"] = tokens,
            ["threads"] = session.Threads,
            ["kernels"] = KernelTiers.Name(session.Kernels),
            ["record"] = call.GetValue(_record),
            ["median_seconds"] = median,
            ["min_seconds"] = seconds[0],
            ["max_seconds"] = seconds[^1],
            ["runs"] = seconds.Length,
            ["tokens_per_second"] = measured / median,
            ["gflops"] = FlopsPerToken(config) * measured / median / 1e9,
            ["recorded_bytes"] = session.Cache.Bytes,
            ["allocated_bytes"] = (long)allocated,
            ["decode"] = decode,
        });
    }

    /// <summary>Seconds of every run, sorted, and the managed bytes that a warm one allocates.</summary>
    private (double[] Seconds, double Allocated) Measure(LlamaSession session, LlamaConfig config, int tokens, int decode)
    {
        var random = new Random(1);
        int[] ids = [.. Enumerable.Range(0, tokens + decode).Select(_ => random.Next(config.VocabSize))];
        var seconds = new List<double>(MostRuns);
        // Twice at least to warm up: memory, then tiers of compilation.
        for ((int runs, double spent) = (0, 0); runs < 2 || spent < WarmUpSeconds; runs++)
            spent += Once(session, ids, tokens);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (double spent = 0; seconds.Count < LeastRuns || (spent < EnoughSeconds && seconds.Count < MostRuns); spent += seconds[^1])
            seconds.Add(Once(session, ids, tokens));
        double allocated = (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)seconds.Count;
        return ([.. seconds.Order()], allocated);
    }

    private double Once(LlamaSession session, int[] ids, int tokens)
    {
        long start = Stopwatch.GetTimestamp();
        session.Forward(ids.AsSpan(0, tokens), _terminal.Cancellation);
        if (ids.Length > tokens)
            start = Stopwatch.GetTimestamp();
        for (int t = tokens; t < ids.Length; t++)
            session.Append(ids.AsSpan(t, 1), _terminal.Cancellation);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>
    /// Two for every weight of the blocks' matrices, the last block's too, through which only the last token of an unrecorded prompt goes; attention's scores and the
    /// unembedding are not counted.
    /// </summary>
    private static double FlopsPerToken(LlamaConfig c) =>
        2.0 * c.NumHiddenLayers * c.HiddenSize * (2.0 * (c.NumAttentionHeads + c.NumKeyValueHeads) * c.HeadDim + 3.0 * c.IntermediateSize);

    private static LlamaConfig Shape(int hidden, int intermediate, int layers, int heads, int kvHeads, int headDim, int vocabulary, int context) => new()
    {
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        NumHiddenLayers = layers,
        NumAttentionHeads = heads,
        NumKeyValueHeads = kvHeads,
        HeadDim = headDim,
        VocabSize = vocabulary,
        MaxPositionEmbeddings = context,
        TieWordEmbeddings = true,
    };
}
