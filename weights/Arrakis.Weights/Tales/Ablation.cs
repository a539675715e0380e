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

    public void Dispose()
    {
        Model.Dispose();
        _folder.Delete(recursive: true);
    }
}
