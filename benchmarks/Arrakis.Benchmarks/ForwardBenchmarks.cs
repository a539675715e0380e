using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;
using Arrakis.Native.Memory;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>A random model of SmolLM-135M's whole shape in memory, for every element type and one and two threads.</summary>
public abstract class ForwardRun : IKnowsWork
{
    [Params(ElementType.F32, ElementType.BF16, ElementType.F16, ElementType.Q8_0)]
    public ElementType Type { get; set; }

    [Params(1, 2)]
    public int Threads { get; set; } = 1;

    internal LlamaConfig Config { get; } = Shapes.SmolLM();

    internal LlamaModel Model { get; private set; } = null!;

    internal LlamaSession Session { get; private set; } = null!;

    internal WorkerTeam Team { get; private set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        Team = new WorkerTeam(Threads);
        Model = LlamaModel.CreateRandom(Config, seed: 1, Type);
        Session = Model.CreateSession(options: new SessionOptions { Threads = Threads });
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        Session.Dispose();
        Model.Dispose();
        Team.Dispose();
    }

    public abstract Work WorkOf(string method);
}

/// <summary>A prompt, beside the FMA peak.</summary>
public class PrefillBenchmarks : ForwardRun
{
    private int[] _ids = [];

    [Params(128, 512)]
    public int Tokens { get; set; }

    [Benchmark(Description = "FMA peak")]
    public void Peak() => FmaPeak.Run(KernelTiers.Resolve(KernelTier.Auto), Team);

    [Benchmark(Baseline = true, Description = "prefill")]
    public float Prefill()
    {
        if (_ids.Length == 0)
            _ids = Shapes.Ids(Config, Tokens);
        return Session.Forward(_ids)[0];
    }

    public override Work WorkOf(string method) => method == nameof(Peak)
        ? new(Flops: FmaPeak.Flops(KernelTiers.Resolve(KernelTier.Auto), Threads))
        : new(Flops: ModelWork.PrefillFlops(Config, Tokens), Tokens: Tokens);
}

/// <summary>One token after another, beside the read bandwidth. Bytes are those of the weights.</summary>
public class DecodeBenchmarks : ForwardRun
{
    private const int LongestSequence = 64;

    private static readonly int[] s_ids = Shapes.Ids(Shapes.SmolLM(), LongestSequence);

    [Benchmark(Description = "reading memory")]
    public void Read() => ReadBandwidth.Run(Team);

    [Benchmark(Baseline = true, Description = "decode")]
    public float Decode()
    {
        int position = Session.Position % LongestSequence;
        ReadOnlySpan<int> id = s_ids.AsSpan(position, 1);
        return position == 0 ? Session.Forward(id)[0] : Session.Append(id)[0];
    }

    public override Work WorkOf(string method) => method == nameof(Read)
        ? new(Bytes: ReadBandwidth.BytesAtOnce)
        : new(Bytes: ModelWork.DecodeBytes(Config, Type), Tokens: 1);
}
