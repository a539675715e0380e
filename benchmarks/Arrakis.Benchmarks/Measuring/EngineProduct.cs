using Arrakis.Native;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>y [tokens, outputs] = x [tokens, inputs] · wᵀ as the engine computes it: with all the packing that a forward pass would do for it.</summary>
internal abstract unsafe class EngineProduct : IDisposable
{
    // Work that is too short for the clock, or for what surrounds it, is done again until it is about this long: the first time finds what it reads in no cache.
    private const double FlopsAtOnce = 2e9;

    private readonly LlamaModel _weights;

    protected EngineProduct(WorkerTeam team, int tokens, int inputs, int outputs, ElementType type)
    {
        (Team, Tokens, Inputs, Outputs) = (team, tokens, inputs, outputs);
        // A block's gate is an [outputs, inputs] matrix with random numbers in every element type.
        _weights = LlamaModel.CreateRandom(
            new LlamaConfig
            {
                HiddenSize = inputs, IntermediateSize = outputs, NumHiddenLayers = 1, NumAttentionHeads = 1, NumKeyValueHeads = 1, HeadDim = 32, VocabSize = 1,
            },
            seed: 1, type);
        W = _weights.Weights.Layers[0].Gate;
        Memory.Reset(Arena.Footprint((long)tokens * inputs) + Arena.Footprint((long)tokens * outputs));
        X = Memory.Take((long)tokens * inputs);
        Y = Memory.Take((long)tokens * outputs);
        var random = new Random(1);
        for (long i = 0; i < (long)tokens * inputs; i++)
            X[i] = random.NextSingle() - 0.5f;
        Repeats = Math.Max(1, (int)(FlopsAtOnce / Flops));
    }

    public WorkerTeam Team { get; }

    public int Tokens { get; }

    public int Inputs { get; }

    public int Outputs { get; }

    public float* X { get; }

    public float* Y { get; }

    public WeightMatrix W { get; }

    /// <summary>Floating-point operations of one product.</summary>
    public double Flops => 2.0 * Tokens * Inputs * Outputs;

    /// <summary>How often a measurement does it.</summary>
    public int Repeats { get; }

    protected Arena Memory { get; } = new();

    public static EngineProduct Create(KernelTier tier, WorkerTeam team, int tokens, int inputs, int outputs, ElementType type = ElementType.F32) => tier switch
    {
        KernelTier.Scalar => new Of<ScalarKernels>(team, tokens, inputs, outputs, type),
        KernelTier.Vector => new Of<VectorKernels>(team, tokens, inputs, outputs, type),
        KernelTier.Avx2 => new Of<Avx2Kernels>(team, tokens, inputs, outputs, type),
        KernelTier.Avx512 => new Of<Avx512Kernels>(team, tokens, inputs, outputs, type),
        _ => throw new ArgumentOutOfRangeException(nameof(tier), tier, null),
    };

    /// <summary>One product.</summary>
    public abstract void Run();

    /// <summary>GFLOP/s of whatever computes this product.</summary>
    public double Rate(Action product)
    {
        double seconds = Clock.Seconds(() =>
        {
            for (int i = 0; i < Repeats; i++)
                product();
        });
        return Repeats * Flops / seconds / 1e9;
    }

    public void Dispose() => _weights.Dispose();

    private sealed class Of<TKernels> : EngineProduct where TKernels : struct, IKernels
    {
        private readonly Arena _scratch = new();
        private readonly float* _packed;
        private readonly WorkerScratch _workers;

        public Of(WorkerTeam team, int tokens, int inputs, int outputs, ElementType type)
            : base(team, tokens, inputs, outputs, type)
        {
            long packed = MatrixProduct<TKernels>.PackedLength(tokens, inputs), perWorker = Arena.Footprint(MatrixProduct<TKernels>.ScratchLength(tokens));
            _scratch.Reset(Arena.Footprint(packed) + Arena.Footprint(perWorker * team.Size));
            _packed = _scratch.Take(packed);
            _workers = new WorkerScratch(_scratch.Take(perWorker * team.Size), (nint)perWorker);
        }

        public override void Run()
        {
            if (Tokens == 1)
            {
                MatrixProduct<TKernels>.MultiplyOne(Team, X, [new(W, Y, Outputs)]);
                return;
            }

            Panels panels = MatrixProduct<TKernels>.Pack(Team, X, Inputs, Tokens, Inputs, _packed);
            MatrixProduct<TKernels>.Multiply(Team, panels, [new(W, Y, Outputs)], _workers);
        }
    }
}
