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
    private const int Threads = 1;

    private static readonly (int Tokens, int Inputs, int Outputs)[] s_shapes = [(128, 576, 1536), (128, 2048, 5632)];

    internal WorkerTeam Team { get; private set; } = null!;

    internal EngineProduct Product { get; private set; } = null!;

    [ParamsSource(nameof(ShapeNames))]
    public string Shape { get; set; } = "";

    [ParamsSource(nameof(Tiers))]
    public KernelTier Tier { get; set; }

    public static IEnumerable<string> ShapeNames => s_shapes.Select(Name);

    public static IEnumerable<KernelTier> Tiers => KernelTiers.Supported;

    [GlobalSetup]
    public void Setup()
    {
        (int tokens, int inputs, int outputs) = Sizes;
        Team = new WorkerTeam(Threads);
        Product = EngineProduct.Create(Tier, Team, tokens, inputs, outputs);
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

    public Work WorkOf(string method)
    {
        (int tokens, int inputs, int outputs) = Sizes;
        return new Work(Flops: method == nameof(Peak) ? FmaPeak.Flops(Tier, Threads) : 2.0 * tokens * inputs * outputs);
    }

    private (int Tokens, int Inputs, int Outputs) Sizes => s_shapes.First(shape => Name(shape) == Shape);

    private static string Name((int Tokens, int Inputs, int Outputs) shape) => $"{shape.Tokens}x{shape.Inputs}x{shape.Outputs}";
}
