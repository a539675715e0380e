using System.Runtime.InteropServices;
using Arrakis.Benchmarks;
using Arrakis.Benchmarks.Measuring;
using Arrakis.Benchmarks.Torch;
using Arrakis.Native;
using Arrakis.Native.Memory;
using TorchSharp;

// The engine and libtorch over the same weights of SmolLM-135M's shape, side by side in one process, round by round.
// Arguments: rounds at the most (20), and seconds after which no further round is begun (30).
var effort = new Effort(args.Length > 0 ? int.Parse(args[0], null) : 20, args.Length > 1 ? double.Parse(args[1], null) : 30);
LlamaConfig config = Shapes.SmolLM();
KernelTier tier = KernelTiers.Resolve(KernelTier.Auto);
if (WhyNot() is { } why)
{
    Console.Error.WriteLine($"libtorch does not load here (its native part wants the libstdc++ of GCC 13): {why}");
    return 1;
}

Console.WriteLine($"libtorch {torch.__version__}, {KernelTiers.Name(tier)} kernels");
using LlamaModel model = LlamaModel.CreateRandom(config, seed: 1);
(string Name, Kept Kept, RecordingPlan Plan)[] plans =
[
    ("none", Kept.Nothing, RecordingPlan.None),
    ("all but result and logits", Kept.AllButResultAndLogits, RecordingPlan.Of([.. HookNames.All.Except([HookPoint.Result, HookPoint.Logits])])),
    ("all", Kept.All, RecordingPlan.All),
];
Console.WriteLine("| tokens | threads | recorded | engine, tokens/s | of peak | libtorch, tokens/s | of peak | engine over libtorch |");
Console.WriteLine("|---|---|---|---|---|---|---|---|");
foreach (int tokens in new[] { 128, 512 })
{
    int[] ids = Shapes.Ids(config, tokens);
    long[] wide = [.. ids.Select(id => (long)id)];
    using var libtorch = new TorchLlama(config, model.Weights, tokens);
    foreach (int threads in Environment.ProcessorCount > 1 ? [1, 2] : new[] { 1 })
    {
        using var team = new WorkerTeam(threads);
        double Peak(bool whole) => FmaPeak.Measure(tier, team) * 1e9 * tokens / (whole ? ModelWork.WholePrefillFlops(config, tokens) : ModelWork.PrefillFlops(config, tokens));
        torch.set_num_threads(threads);
        var sessions = new List<LlamaSession>();
        var contestants = new List<Contestant>();
        foreach ((string name, Kept kept, RecordingPlan plan) in plans)
        {
            LlamaSession session = model.CreateSession(plan, new SessionOptions { Threads = threads });
            sessions.Add(session);
            Check(session.Forward(ids), libtorch.Forward(wide, kept), name);
            contestants.Add(new($"engine {name}", () => tokens / Clock.Seconds(() => session.Forward(ids)), () => Peak(whole: !plan.IsEmpty)));
            contestants.Add(new($"libtorch {name}", () =>
            {
                double rate = tokens / Clock.Seconds(() => libtorch.Forward(wide, kept));
                // OpenMP's workers spin for a while after their work, and would take a core from whoever is measured next.
                Thread.Sleep(20);
                return rate;
            }, () => Peak(whole: true)));
        }

        Contest contest = Contest.Run(contestants, effort);
        foreach ((string name, _, _) in plans)
        {
            string ours = $"engine {name}", theirs = $"libtorch {name}";
            Console.WriteLine(
                $"| {tokens} | {threads} | {name} | {contest.Rate(ours):F0} | {contest.Share(ours):F3} | {contest.Rate(theirs):F0} | {contest.Share(theirs):F3} | {contest.Ratio(ours, theirs):F2} |");
        }

        sessions.ForEach(session => session.Dispose());
    }
}

return 0;

// Tried before TorchSharp tries it, which prints a page of what it tried.
static string? WhyNot()
{
    string library = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "libLibTorchSharp.so");
    if (!OperatingSystem.IsLinux() || !File.Exists(library))
        return null;
    try
    {
        NativeLibrary.Load(library);
        return null;
    }
    catch (DllNotFoundException e)
    {
        return e.Message.Split('\n').FirstOrDefault(line => line.Contains("not found", StringComparison.Ordinal))?.Trim() ?? e.Message.Split('\n')[0];
    }
}

// Both compute in float32 and differ in the order of their sums: relative 2^-24 a rounding, through 30 layers of sums of up to 1,536 terms, which random
// weights neither damp nor amplify much. A hook, a mask or a rotation done differently is off by about the logits themselves.
static void Check(ReadOnlySpan<float> ours, float[] theirs, string plan)
{
    const double Tolerance = 1e-4;
    double largest = 0, off = 0;
    for (int i = 0; i < ours.Length; i++)
        (largest, off) = (Math.Max(largest, Math.Abs(ours[i])), Math.Max(off, Math.Abs(ours[i] - theirs[i])));
    if (!(off <= Tolerance * largest))
        throw new InvalidOperationException($"libtorch, recording {plan}, computes other logits: off by {off} of at most {largest}");
}
