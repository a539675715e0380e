using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;
using Arrakis.Native.Memory;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>The product of a matrix and one token's activations, which decoding consists of, beside the read bandwidth: a matrix that no cache holds.</summary>
public unsafe class DotsBenchmarks : IKnowsWork
{
    private const int Inputs = 2048, Outputs = 32768;

    internal WorkerTeam Team { get; private set; } = null!;

    internal EngineProduct Product { get; private set; } = null!;

    [ParamsSource(nameof(Tiers))]
    public KernelTier Tier { get; set; }

    [Params(ElementType.F32, ElementType.BF16, ElementType.F16, ElementType.Q8_0)]
    public ElementType Type { get; set; }

    [Params(1, 2)]
    public int Threads { get; set; } = 1;

    // The scalar tier is a specification, and slow.
    public static IEnumerable<KernelTier> Tiers => KernelTiers.Supported.Where(tier => tier != KernelTier.Scalar);

    [GlobalSetup]
    public void Setup()
    {
        Team = new WorkerTeam(Threads);
        Product = EngineProduct.Create(Tier, Team, tokens: 1, Inputs, Outputs, Type);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        Product.Dispose();
        Team.Dispose();
    }

    [Benchmark(Description = "reading memory")]
    public void Read() => ReadBandwidth.Run(Team);

    [Benchmark(Baseline = true, Description = "the engine's product")]
    public void Engine() => Product.Run();

    public Work WorkOf(string method) => new(Bytes: method == nameof(Read) ? ReadBandwidth.BytesAtOnce : Type.RowBytes(Inputs) * Outputs);
}
