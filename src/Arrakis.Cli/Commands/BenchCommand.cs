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

    private static readonly Shape s_default = new(576, 1536, 30, 9, 3, 64, 49152, 2048);

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<Shape?> _shape;
    private readonly Option<int> _tokens = OptionOf.Integer("--tokens", "Tokens of the prompt", standard: 128, least: 1);
    private readonly Option<ElementType?> _type = OptionOf.Choice(
        "--dtype", "How the weights are stored", ("f32", ElementType.F32), ("bf16", ElementType.BF16), ("f16", ElementType.F16), ("q8_0", ElementType.Q8_0));
    private readonly Option<string> _record = new("--record") { Description = "none, heads, flow, all, or hook names such as z,pattern", DefaultValueFactory = _ => "none", HelpName = "SPEC" };
    private readonly Option<int> _decode = OptionOf.Integer("--decode", "Measure this many tokens one by one behind the prompt, instead of the prompt", standard: 0);

    public BenchCommand(Terminal terminal, Input input)
        : base("bench", "Speed on this machine with random weights of a known shape")
    {
        (_terminal, _input) = (terminal, input);
        _shape = OptionOf.Choice(
            "--shape", "Whose shape",
            ("smollm-135m", s_default),
            ("tinyllama-1.1b", new Shape(2048, 5632, 22, 32, 4, 64, 32000, 2048)),
            ("stories-260k", new Shape(64, 172, 5, 8, 4, 8, 512, 512)),
            ("llama-3.2-1b", new Shape(2048, 8192, 16, 32, 8, 64, 128256, 131072)));
        foreach (Option option in new Option[] { _shape, _tokens, _type, _record, _decode, input.Threads, input.Kernels, input.Json })
            Add(option);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        Shape shape = call.GetValue(_shape) ?? s_default;
        ElementType type = call.GetValue(_type) ?? ElementType.F32;
        int tokens = call.GetValue(_tokens), decode = call.GetValue(_decode);
        RecordingPlan plan = RunCommand.ParsePlan(call.GetValue(_record)!);
        LlamaConfig config = shape.Config;
        if (tokens + decode > config.MaxPositionEmbeddings)
            throw new UsageException($"{tokens} + {decode} tokens are more than the shape's context of {config.MaxPositionEmbeddings}: use fewer");
        using LlamaModel model = _terminal.Work("random weights", _ => LlamaModel.CreateRandom(config, seed: 1, type));
        using LlamaSession session = model.CreateSession(plan, _input.Session(call));
        (double[] seconds, double allocated) = _terminal.Work("measuring", _ => Measure(session, config, tokens, decode));

        int measured = decode > 0 ? decode : tokens;
        double median = seconds[seconds.Length / 2];
        PlainView.Write(_terminal, call.GetValue(_input.Json), new JsonObject
        {
            ["shape"] = Input.Word(call, _shape) ?? "smollm-135m",
            ["dtype"] = Input.Word(call, _type) ?? "f32",
            ["tokens"] = tokens,
            ["threads"] = session.Threads,
            ["kernels"] = KernelTiers.Name(session.Kernels),
            ["record"] = call.GetValue(_record),
            ["median_seconds"] = median,
            ["min_seconds"] = seconds[0],
            ["max_seconds"] = seconds[^1],
            ["runs"] = seconds.Length,
            ["tokens_per_second"] = measured / median,
            ["gflops"] = shape.FlopsPerToken * measured / median / 1e9,
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
        // Once to warm up: memory, tiers of compilation.
        Once(session, ids, tokens);
        Once(session, ids, tokens);
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

    /// <summary>A known shape.</summary>
    private readonly record struct Shape(int Hidden, int Intermediate, int Layers, int Heads, int KvHeads, int HeadDim, int Vocabulary, int Context)
    {
        public LlamaConfig Config => new()
        {
            HiddenSize = Hidden,
            IntermediateSize = Intermediate,
            NumHiddenLayers = Layers,
            NumAttentionHeads = Heads,
            NumKeyValueHeads = KvHeads,
            HeadDim = HeadDim,
            VocabSize = Vocabulary,
            MaxPositionEmbeddings = Context,
            TieWordEmbeddings = true,
        };

        /// <summary>Two for every weight of the blocks' matrices; attention's scores and the unembedding are not counted.</summary>
        public double FlopsPerToken => 2.0 * Layers * Hidden * (2.0 * Heads * HeadDim + 2.0 * KvHeads * HeadDim + 3.0 * Intermediate);
    }
}
