using Arrakis.Native;

namespace Arrakis.Drills.Faults;

/// <summary>A recording is saved where there is no room for it: what stood there before still does, and nothing else is left.</summary>
internal static class FullDisk
{
    public static int Run(string folder)
    {
        string path = Path.Combine(folder, "cache.safetensors");
        LlamaConfig config = new()
        {
            HiddenSize = 64, IntermediateSize = 96, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 16, VocabSize = 50,
        };
        using LlamaModel model = LlamaModel.CreateRandom(config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Of(HookPoint.Z).ForLayers(0, 0));
        session.Forward([1, 2, 3]);
        session.Cache.Save(path);
        byte[] saved = File.ReadAllBytes(path);

        using LlamaSession larger = model.CreateSession(RecordingPlan.All);
        larger.Forward([.. Enumerable.Range(0, 50)]);
        try
        {
            larger.Cache.Save(path);
            Console.WriteLine($"saved {new FileInfo(path).Length} bytes: there was room");
            return 1;
        }
        catch (ArrakisException refusal)
        {
            Console.WriteLine(refusal.Message);
        }

        bool isWhole = File.ReadAllBytes(path).AsSpan().SequenceEqual(saved);
        string[] left = Directory.GetFiles(folder);
        Console.WriteLine($"left: {string.Join(' ', left.Select(Path.GetFileName))}{(isWhole ? "" : ", damaged")}");
        ActivationCache.Load(path);
        return isWhole && left.Length == 1 ? 0 : 1;
    }
}
