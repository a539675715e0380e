using Arrakis.Analysis;
using Arrakis.Native;
using Arrakis.Native.Memory;

namespace Arrakis.Drills.Faults;

/// <summary>
/// With a heap that is too small: a recording, a longer sequence and an analysis are refused, each in one line; the session goes on with the bits that it would have had,
/// and its arenas come back to the pool.
/// </summary>
internal static class RefusedMemory
{
    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 64, IntermediateSize = 96, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 16, VocabSize = 50, MaxPositionEmbeddings = 1 << 20,
    };

    public static int Run()
    {
        long limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (limit > 1L << 28)
            throw new InvalidOperationException($"the heap may take {limit} bytes: run with DOTNET_GCHeapHardLimit");
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        Arena first = model.Arenas.Get(), second = model.Arenas.Get();
        model.Arenas.Return(first);
        model.Arenas.Return(second);

        float[] expected = Expected(model);
        Recording(model, expected);
        Sequence(model, expected);
        Analysis();

        // The pool hands out what was first put in: no arena was lost on the way.
        var pooled = new HashSet<Arena> { model.Arenas.Get(), model.Arenas.Get() };
        Check(pooled.SetEquals([first, second]), "the pool has its arenas");
        return 0;
    }

    private static float[] Expected(LlamaModel model)
    {
        using LlamaSession session = model.CreateSession(null, Threads(1));
        session.Forward([1, 2, 3]);
        return session.Append([4]).ToArray();
    }

    private static void Recording(LlamaModel model, float[] expected)
    {
        // Patterns and scores of so many tokens take gigabytes, and the budget allows it: what refuses is the machine.
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Threads(1) with { RecordingBudgetBytes = long.MaxValue });
        session.Forward([1, 2, 3]);
        Refused("a recording", () => session.Forward(new int[20_000]));
        Check(session.Position == 0, "the refused pass left a sequence of no tokens");
        session.Forward([1, 2, 3]);
        Refused("a longer recording", () => session.Append(new int[20_000]));
        Check(session.Position == 3, "the refused pass left the sequence where it was");
        Check(session.Append([4]).SequenceEqual(expected), "the session goes on with the same bits");
    }

    private static void Sequence(LlamaModel model, float[] expected)
    {
        using LlamaSession session = model.CreateSession(null, Threads(1));
        session.Forward([1, 2, 3]);
        // Keys and values alone, 512 bytes a token: twice, while they are copied.
        Refused("a longer sequence", () => session.Append(new int[1_000_000]));
        Check(session.Append([4]).SequenceEqual(expected), "keys and values are still those of the sequence");
        Refused("a long sequence", () => session.Forward(new int[1_000_000]));
        session.Forward([1, 2, 3]);
        Check(session.Append([4]).SequenceEqual(expected), "and those of a new one");
    }

    private static void Analysis()
    {
        // A model of its own, whose pool has no memory yet.
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { HiddenSize = 256, HeadDim = 64 }, 1);
        var options = new AnalysisOptions { Threads = 1 };
        Arena arena = model.Arenas.Get();
        model.Arenas.Return(arena);
        List<float[]> ballast = Ballast();
        Refused("an analysis", () => HeadComposition.Measure(model, CompositionKind.V, options: options));
        ballast.Clear();
        Arena pooled = model.Arenas.Get();
        Check(ReferenceEquals(arena, pooled), "the refused analysis gave its arena back");
        model.Arenas.Return(pooled);
        Check(HeadComposition.Measure(model, CompositionKind.V, options: options).Count > 0, "and runs when there is memory again");
    }

    /// <summary>What is left of the heap, down to less than an analysis needs.</summary>
    private static List<float[]> Ballast()
    {
        List<float[]> ballast = [];
        for (int size = 1 << 22; size >= 1 << 14;)
        {
            try
            {
                ballast.Add(GC.AllocateUninitializedArray<float>(size, pinned: true));
            }
            catch (OutOfMemoryException)
            {
                size /= 2;
            }
        }

        return ballast;
    }

    private static SessionOptions Threads(int threads) => new() { Threads = threads };

    private static void Refused(string what, Action call)
    {
        try
        {
            call();
        }
        catch (ArrakisException refusal)
        {
            Check(!refusal.Message.Contains('\n', StringComparison.Ordinal), $"{what} is refused on one line");
            Console.WriteLine($"{what}: {refusal.Message}");
            return;
        }

        throw new InvalidOperationException($"{what} was not refused");
    }

    private static void Check(bool holds, string what) => Console.WriteLine(holds ? $"holds: {what}" : throw new InvalidOperationException($"does not hold: {what}"));
}
