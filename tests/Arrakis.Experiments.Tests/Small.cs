using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Experiments.Tests;

/// <summary>A model small enough for every test, on one thread because test classes run beside each other.</summary>
internal static class Small
{
    public static HookedAutoConfig Config => new("llama") { VocabSize = 97, HiddenSize = 16, IntermediateSize = 24, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2 };

    public static HookedAutoModel Model(ulong seed = 7) => new(Config, seed, options: new SessionOptions { Threads = 1 });
}

/// <summary>A bench with nothing of its own.</summary>
internal sealed class Bench(HookedAutoModel model, string saveDir) : InterpretabilityBench(model, saveDir);

/// <summary>Tests that log what they do on a small model into a folder of their own.</summary>
public abstract class OnSmallModel : IDisposable
{
    internal TemporaryFolder Folder { get; } = new();

    internal HookedAutoModel Model { get; } = Small.Model();

    public void Dispose()
    {
        Model.Dispose();
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }
}
