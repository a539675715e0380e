using System.Buffers.Binary;
using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary>A copy of a model in which some heads write nothing: their columns of o_proj are zero. In a temporary folder, removed at the end.</summary>
internal sealed class Ablation : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("arrakis-tales-");

    public Ablation(string folder, LlamaConfig config, IEnumerable<(int Layer, int Head)> heads)
    {
        File.Copy(Path.Combine(folder, "config.json"), Path.Combine(_folder.FullName, "config.json"));
        byte[] file = File.ReadAllBytes(Path.Combine(folder, "model.safetensors"));
        int header = checked((int)BinaryPrimitives.ReadInt64LittleEndian(file));
        JsonNode tensors = JsonNode.Parse(file.AsSpan(8, header))!;
        foreach ((int layer, int head) in heads)
        {
            JsonNode tensor = tensors[$"model.layers.{layer}.self_attn.o_proj.weight"]!;
            int begin = 8 + header + tensor["data_offsets"]![0]!.GetValue<int>(), end = 8 + header + tensor["data_offsets"]![1]!.GetValue<int>();
            int element = (end - begin) / (config.HiddenSize * config.NumAttentionHeads * config.HeadDim);
            int row = config.NumAttentionHeads * config.HeadDim * element, columns = config.HeadDim * element;
            for (int at = begin + head * columns; at < end; at += row)
                file.AsSpan(at, columns).Clear();
        }

        File.WriteAllBytes(Path.Combine(_folder.FullName, "model.safetensors"), file);
        Model = LlamaModel.Load(_folder.FullName);
    }

    public LlamaModel Model { get; }

    /// <summary>How far a score falls without the named heads, and without as many others, drawn at random again and again.</summary>
    public static Drops Compare(string folder, LlamaModel model, IReadOnlyCollection<(int Layer, int Head)> named, int draws, SeededRandom random, Func<LlamaModel, double> score)
    {
        LlamaConfig c = model.Config;
        double whole = score(model);
        (int, int)[] others = [.. Enumerable.Range(0, c.NumHiddenLayers).SelectMany(l => Enumerable.Range(0, c.NumAttentionHeads).Select(h => (l, h))).Except(named)];
        return new Drops(Without(named), [.. Enumerable.Range(0, draws).Select(_ => Without(random.PickDistinct(others, named.Count)))]);

        double Without(IEnumerable<(int Layer, int Head)> heads)
        {
            using var ablation = new Ablation(folder, c, heads);
            return whole - score(ablation.Model);
        }
    }

    public void Dispose()
    {
        Model.Dispose();
        _folder.Delete(recursive: true);
    }

    /// <summary>By how much a score fell.</summary>
    /// <param name="Named">Without the named heads.</param>
    /// <param name="Others">Without as many others, draw by draw.</param>
    public sealed record Drops(double Named, double[] Others);
}
