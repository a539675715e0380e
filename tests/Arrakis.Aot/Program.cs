using System.Globalization;
using System.Runtime.InteropServices;
using Arrakis.Analysis;
using Arrakis.Native;

// tiers            what this build does with random models, by tier and stored type, as hashes of every bit
// model PATH TIER  what it does with a model on disk: the lines that the C and the Python program print through the C interface
switch (args)
{
    case ["tiers"]:
        Lines.Tiers(Console.Out);
        return 0;
    case ["model", var path, var tier]:
        Lines.Model(Console.Out, path, Enum.Parse<KernelTier>(tier, ignoreCase: true));
        return 0;
    default:
        Console.Error.WriteLine("usage: arrakis-aot tiers | model PATH TIER");
        return 2;
}

/// <summary>Everything computed, as lines of a name, how many numbers, and a hash of their bits.</summary>
internal static class Lines
{
    // Those of the C and the Python program too.
    private static readonly int[] s_ids = [1, 17, 4, 31, 17, 4, 9];

    // More than any tier has a way of its own for, so that these go through the register tiles; and than a vector holds, so that a second panel is not full.
    private static readonly int[] s_manyIds = [1, 17, 4, 31, 17, 4, 9, 22, 48, 3, 17, 4, 40, 12, 26, 35, 8, 9, 22, 49];

    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 96, IntermediateSize = 160, NumHiddenLayers = 3, NumAttentionHeads = 6, NumKeyValueHeads = 2, HeadDim = 16, VocabSize = 50,
    };

    public static void Tiers(TextWriter output)
    {
        output.WriteLine($"tiers {string.Join(' ', KernelTiers.Supported)}");
        using (LlamaModel model = LlamaModel.CreateRandom(s_config, 1))
        using (LlamaSession session = model.CreateSession())
            output.WriteLine($"auto {session.Kernels}");
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            foreach (ElementType type in Enum.GetValues<ElementType>())
            {
                using LlamaModel model = LlamaModel.CreateRandom(s_config, 7, type);
                output.WriteLine($"{tier} {type}");
                Print(output, model, tier, s_manyIds, source: 1, layers: 3);
            }
        }
    }

    public static void Model(TextWriter output, string path, KernelTier tier)
    {
        using LlamaModel model = LlamaModel.Load(path, new LoadOptions { Memory = WeightMemory.Copied });
        LlamaConfig c = model.Config;
        output.WriteLine($"shape {c.NumHiddenLayers} {c.NumAttentionHeads} {c.NumKeyValueHeads} {c.HeadDim} {c.HiddenSize} {c.IntermediateSize} {c.VocabSize} {c.MaxPositionEmbeddings}");
        Print(output, model, tier, s_ids, source: 1, layers: 2);
    }

    private static void Print(TextWriter output, LlamaModel model, KernelTier tier, ReadOnlySpan<int> ids, int source, int layers)
    {
        LlamaConfig c = model.Config;
        using LlamaSession session = model.CreateSession(RecordingPlan.All, new SessionOptions { Kernels = tier, Threads = 2 });
        output.WriteLine(Line("logits", session.Forward(ids[..^1])));
        output.WriteLine(Line("decoded", session.Append(ids[^1..])));
        session.Forward(ids);
        foreach (string name in session.Cache.Names)
            output.WriteLine(Line(name, session.Cache.Flat(name)));

        var options = new AnalysisOptions { Kernels = tier, Threads = 2 };
        HeadWrites writes = HeadWrites.Measure(model, session.Cache, 0, options);
        output.WriteLine(Line("norms", Joined(c.NumAttentionHeads, writes.Norms)));
        output.WriteLine(Line("shares", Joined(c.NumAttentionHeads, writes.Shares)));
        HeadReads reads = HeadReads.Measure(model, session.Cache, 1, ReadDirection.Dimension(7), options: options);
        output.WriteLine(Line<double>("weights", [.. reads.QWeights, .. reads.KWeights, .. reads.VWeights]));
        output.WriteLine(Line<float>("reads", [.. Joined(reads.Heads, reads.QShares), .. Joined(reads.Heads, reads.KShares), .. Joined(reads.Heads, reads.VShares)]));
        FlowTrace flow = FlowTracer.Trace(model, session.Cache, source, ids.Length - 1, new FlowOptions { Layers = layers, AllSources = true, Compute = options });
        FlowConservation conservation = flow.Conservation!.Value;
        output.WriteLine(Line("flow", [flow.Total, conservation.Sum, conservation.Expected]));
        output.WriteLine(Line<double>("through", [.. flow.PerLayer.SelectMany(layer => layer.Heads)]));
        output.WriteLine(Line<double>("sources", [.. flow.Sources!]));
    }

    private delegate ReadOnlySpan<float> OfHead(int head);

    private static float[] Joined(int heads, OfHead values)
    {
        var joined = new List<float>();
        for (int head = 0; head < heads; head++)
            joined.AddRange(values(head));
        return [.. joined];
    }

    private static string Line<T>(string name, ReadOnlySpan<T> values) where T : unmanaged
    {
        // FNV-1a, 64 bits: short in every language.
        ulong hash = 14695981039346656037;
        foreach (byte b in MemoryMarshal.AsBytes(values))
            hash = (hash ^ b) * 1099511628211;
        return string.Create(CultureInfo.InvariantCulture, $"{name} {values.Length} {hash:x16}");
    }
}
