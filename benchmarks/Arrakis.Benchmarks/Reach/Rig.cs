using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;
using Arrakis.Native.Memory;

namespace Arrakis.Benchmarks.Reach;

/// <summary>What the claims are measured with: the yardsticks, a team for each number of threads, and the models, made when they are first wanted.</summary>
internal sealed class Rig : IDisposable
{
    // Enough for a pass that every thread has a part in.
    private const int TokensToWake = 32;

    private readonly Effort _effort;
    private readonly WorkerTeam[] _teams;
    private readonly Dictionary<ElementType, LlamaModel> _models = [];

    public Rig(Effort effort)
    {
        _effort = effort;
        Threads = Environment.ProcessorCount > 1 ? [1, 2] : [1];
        _teams = [.. Threads.Select(threads => new WorkerTeam(threads))];
    }

    /// <summary>The tier that is measured: the one that a program gets which asks for none.</summary>
    public KernelTier Tier { get; } = KernelTiers.Resolve(KernelTier.Auto);

    /// <summary>One thread, and two where the machine has them.</summary>
    public IReadOnlyList<int> Threads { get; }

    public static LlamaConfig SmolLM { get; } = Shapes.SmolLM();

    public WorkerTeam Team(int threads) => _teams[threads - 1];

    /// <summary>The FMA peak in GFLOP/s.</summary>
    public double Peak(int threads) => FmaPeak.Measure(Tier, Team(threads));

    /// <summary>The read bandwidth in GB/s.</summary>
    public double Read(int threads)
    {
        FmaPeak.Wake(Tier, Team(threads));
        return ReadBandwidth.Measure(Team(threads));
    }

    /// <summary>A random model of SmolLM-135M's shape.</summary>
    public LlamaModel Model(ElementType type)
    {
        if (!_models.TryGetValue(type, out LlamaModel? model))
            _models.Add(type, model = LlamaModel.CreateRandom(SmolLM, seed: 1, type));
        return model;
    }

    /// <summary>A session on the best kernels.</summary>
    public static LlamaSession Session(LlamaModel model, int threads, RecordingPlan? plan = null) =>
        model.CreateSession(plan, new SessionOptions { Threads = threads });

    /// <summary>
    /// Tokens a second of a prompt, of a session that is at work: its other threads have slept through the turns of the other contestants, and would wake beside the
    /// yardstick's, which are not asleep yet.
    /// </summary>
    public static double Prefill(LlamaSession session, int[] ids)
    {
        session.Forward(ids.AsSpan(0, TokensToWake));
        return ids.Length / Clock.Seconds(() => session.Forward(ids));
    }

    /// <summary>Measures contestants side by side; groups that take long may take a multiple of the time.</summary>
    public Contest Contest(IReadOnlyList<Contestant> contestants, double patience = 1) =>
        Measuring.Contest.Run(contestants, _effort with { Seconds = _effort.Seconds * patience });

    public static string Plural(int threads) => threads == 1 ? "1 thread" : $"{threads} threads";

    public void Dispose()
    {
        foreach (WorkerTeam team in _teams)
            team.Dispose();
        foreach (LlamaModel model in _models.Values)
            model.Dispose();
    }
}
