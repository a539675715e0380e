using System.Text.Json;
using Arrakis.Native.Weights;

namespace Arrakis.Native;

/// <summary>Reads a saved cache, and believes nothing in it: every tensor must have the name of a hook point and the shape that the others imply.</summary>
internal static class CacheFile
{
    // No model comes near it, and what goes through all layers of a file's run is soon through.
    private const int MostLayers = 1 << 20;

    public static ActivationCache Load(string path, string format, string version)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path, WeightMemory.Copied);
        if (Meta(file, "format") != format || Meta(file, "version") != version)
            throw Said.Fault(path, $"format '{Said.Name(Meta(file, "format"))}' version '{Said.Name(Meta(file, "version"))}' is no {format} of version {version}");
        int[] ids = ReadIds(path, Meta(file, "ids"));
        int past = 0;
        if (file.Metadata.ContainsKey("past") && !(int.TryParse(Meta(file, "past"), out past) && past is >= 0 and < int.MaxValue / 2))
            throw Said.Fault(path, $"past is '{Said.Name(Meta(file, "past"))}', which is not a number of tokens");

        var tensors = new List<(HookPoint Point, int Layer, StoredTensor Tensor)>();
        foreach (StoredTensor tensor in file.Tensors)
        {
            if (!HookNames.TryParse(tensor.Name, out HookPoint point, out int layer))
                throw Said.Fault(path, $"tensor {Said.Name(tensor.Name)} has no hook point's name");
            if (layer >= MostLayers)
                throw Said.Fault(path, $"tensor {Said.Name(tensor.Name)} is of layer {layer}, and at most {MostLayers} layers are read");
            if (tensor.Type != ElementType.F32)
                throw Said.Fault(path, $"tensor {Said.Name(tensor.Name)} is {Said.Name(tensor.TypeName)}, and a cache is F32");
            tensors.Add((point, layer, tensor));
        }

        tensors.Sort((a, b) => (a.Layer, a.Point).CompareTo((b.Layer, b.Point)));
        LlamaConfig config = Imply(tensors.Select(t => (t.Point, t.Layer, t.Tensor.Shape)), Meta(file, "rope_layout"));
        foreach ((HookPoint point, _, StoredTensor tensor) in tensors)
        {
            (int a, int b, int c) = point.Shape(config, ids.Length, past + ids.Length);
            long[] expected = c == 0 ? [a, b] : [a, b, c];
            if (!tensor.Shape.AsSpan().SequenceEqual(expected))
                throw Said.Fault(path, $"tensor {Said.Name(tensor.Name)} has shape {Said.Shape(tensor.Shape)}, and the ids and the other tensors imply {Said.Shape(expected)}");
        }

        float[][] values = [.. tensors.Select(t => file.Floats(t.Tensor.Name).ToArray())];
        var slots = tensors.Select((t, i) => ((t.Point, t.Layer), i)).ToDictionary(p => p.Item1, p => p.i);
        var cache = new ActivationCache(config, [.. tensors.Select(t => (t.Point, t.Layer))], (point, layer) => slots[(point, layer)], values.Length)
        {
            Model = Meta(file, "model"),
            Fingerprint = Meta(file, "weights") is { Length: > 0 } fingerprint ? fingerprint : null,
            Changed = ReadChanged(path, Meta(file, "changed")),
        };
        cache.Fill(ids, past, slot => values[slot]);
        return cache;
    }

    private static string Meta(SafetensorsFile file, string key) => file.Metadata.TryGetValue(key, out string? value) ? value : "";

    private static int[] ReadIds(string path, string text)
    {
        int[] ids;
        try
        {
            using var document = JsonDocument.Parse(text);
            ids = [.. document.RootElement.EnumerateArray().Select(id => id.GetInt32())];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw Said.Fault(path, $"ids is '{Said.Name(text)}', which is not a list of token ids", e);
        }

        if (ids.Length == 0 || ids.Any(id => id < 0))
            throw Said.Fault(path, $"ids is '{Said.Name(text)}', which is not a list of token ids: a run has at least one, and none is negative");
        return ids;
    }

    private static string[] ReadChanged(string path, string text)
    {
        string[] names = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        foreach (string name in names)
        {
            if (!HookNames.TryParse(name, out _, out _))
                throw Said.Fault(path, $"changed names '{Said.Name(name)}', which is no hook point's name");
        }

        return names;
    }

    // The first tensor that shows a size decides it; a later one that disagrees is refused by its shape.
    private static LlamaConfig Imply(IEnumerable<(HookPoint Point, int Layer, long[] Shape)> tensors, string layout)
    {
        int d = 1, f = 1, h = 1, g = 1, k = 2, v = 1, layers = 1;
        foreach ((HookPoint point, int layer, long[] shape) in tensors)
        {
            layers = Math.Max(layers, layer + 1);
            int Size(int axis) => axis < shape.Length && shape[axis] is > 0 and <= int.MaxValue ? (int)shape[axis] : 1;
            switch (point)
            {
                case HookPoint.Q or HookPoint.RotQ or HookPoint.Z: (h, k) = (Size(1), Size(2)); break;
                case HookPoint.K or HookPoint.V or HookPoint.RotK: (g, k) = (Size(1), Size(2)); break;
                case HookPoint.AttnScores or HookPoint.Pattern: h = Size(0); break;
                case HookPoint.Result: (h, d) = (Size(1), Size(2)); break;
                case HookPoint.MlpPre or HookPoint.MlpPreLinear or HookPoint.MlpPost: f = Size(1); break;
                case HookPoint.Logits: v = Size(1); break;
                case HookPoint.Ln1Scale or HookPoint.Ln2Scale or HookPoint.LnFinalScale: break;
                default: d = Size(1); break;
            }
        }

        return new LlamaConfig
        {
            HiddenSize = d,
            IntermediateSize = f,
            NumHiddenLayers = layers,
            NumAttentionHeads = h,
            NumKeyValueHeads = g,
            HeadDim = k,
            VocabSize = v,
            RotaryLayout = layout == "pairs" ? RotaryLayout.Pairs : RotaryLayout.Halves,
        };
    }
}
