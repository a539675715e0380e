using Arrakis.Benchmarks.Measuring;
using Arrakis.Benchmarks.Peers;
using Arrakis.Native;
using Arrakis.Native.Memory;
using BenchmarkDotNet.Attributes;

namespace Arrakis.Benchmarks;

/// <summary>
/// One matrix product of float32 in every tier, beside the FMA peak of that tier's instructions; and the peers, which choose their instructions themselves.
/// </summary>
public unsafe class ProductBenchmarks : IKnowsWork
{
    // SmolLM-135M's gate and 128 tokens: small enough for the scalar tier, whose loops are a specification. Larger ones are among the claims of `reach`.
    private const int Threads = 1, Tokens = 128, Inputs = 576, Outputs = 1536;

    internal WorkerTeam Team { get; private set; } = null!;

    internal EngineProduct Product { get; private set; } = null!;

    [ParamsSource(nameof(Tiers))]
    public KernelTier Tier { get; set; }

    public static IEnumerable<KernelTier> Tiers => KernelTiers.Supported;

    [GlobalSetup]
    public void Setup()
    {
        Team = new WorkerTeam(Threads);
        Product = EngineProduct.Create(Tier, Team, Tokens, Inputs, Outputs);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        Product.Dispose();
        Team.Dispose();
    }

    [Benchmark(Description = "FMA peak")]
    public void Peak() => FmaPeak.Run(Tier, Team);

    [Benchmark(Baseline = true, Description = "the engine's product")]
    public void Engine() => Product.Run();

    [Benchmark(Description = "OpenBLAS sgemm")]
    public void Sgemm()
    {
        OpenBlas.Require();
        OpenBlas.Multiply(Threads, Product.X, (float*)Product.W.Data, Product.Y, Product.Tokens, Product.Inputs, Product.Outputs);
    }

    [Benchmark(Description = "TensorPrimitives.Dot")]
    public void Dot() => DotProducts.Multiply(Product.X, (float*)Product.W.Data, Product.Y, Product.Tokens, Product.Inputs, Product.Outputs);

    public Work WorkOf(string method) => new(Flops: method == nameof(Peak) ? FmaPeak.Flops(Tier, Threads) : 2.0 * Tokens * Inputs * Outputs);
}
