namespace Arrakis.Native.Weights;

/// <summary>A model as Hugging Face lays it out: <c>config.json</c> beside <c>model.safetensors</c>, or beside shards and an index of them.</summary>
internal static class SafetensorsFolder
{
    private const string ConfigName = "config.json";
    private const string SingleName = "model.safetensors";
    private const string IndexName = "model.safetensors.index.json";

    /// <summary>Opens a folder; files are added to <paramref name="files"/> as they are opened, for the caller to let go of.</summary>
    public static OpenedModel Open(string folder, List<IDisposable> files, WeightMemory memory, CancellationToken cancellation)
    {
        string single = Path.Combine(folder, SingleName), index = Path.Combine(folder, IndexName);
        string config = Path.Combine(folder, ConfigName);
        if (!File.Exists(config))
            throw Said.Fault(config, "does not exist: a model folder holds config.json and safetensors");
        LlamaConfig shape = HuggingFaceConfig.Read(config);
        if (File.Exists(single))
        {
            SafetensorsFile file = SafetensorsFile.Open(single, memory, cancellation);
            files.Add(file);
            return Single(shape, file);
        }

        if (File.Exists(index))
            return new OpenedModel("safetensors", index, shape, OpenShards(folder, index, files, memory, cancellation));
        throw Said.Fault(folder, $"holds neither {SingleName} nor {IndexName}");
    }

    /// <summary>Reads one safetensors file, which is open and stays the caller's to close, with the <c>config.json</c> beside it.</summary>
    public static OpenedModel OpenFile(MappedFile file)
    {
        string config = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(file.Path)) ?? ".", ConfigName);
        if (!File.Exists(config))
            throw Said.Fault(file.Path, "holds tensors, and there is no config.json beside it to say of what model");
        return Single(HuggingFaceConfig.Read(config), SafetensorsFile.Read(file));
    }

    private static OpenedModel Single(LlamaConfig config, SafetensorsFile file) =>
        new("safetensors", file.Path, config, file.Tensors.ToDictionary(tensor => tensor.Name));

    private static Dictionary<string, StoredTensor> OpenShards(string folder, string index, List<IDisposable> files, WeightMemory memory, CancellationToken cancellation)
    {
        Dictionary<string, string> shardOf = ReadIndex(index);
        var shards = new Dictionary<string, SafetensorsFile>();
        var tensors = new Dictionary<string, StoredTensor>();
        foreach ((string name, string shard) in shardOf)
        {
            if (!shards.TryGetValue(shard, out SafetensorsFile? file))
            {
                string path = PathOfShard(folder, index, name, shard);
                if (!File.Exists(path))
                    throw Said.Fault(index, $"tensor {Said.Name(name)} is in shard {Said.Name(shard)}, which does not exist");
                file = SafetensorsFile.Open(path, memory, cancellation);
                files.Add(file);
                shards.Add(shard, file);
            }

            if (!file.TryGet(name, out StoredTensor? tensor))
                throw Said.Fault(file.Path, $"tensor {Said.Name(name)} is missing, and {IndexName} says that it is here");
            tensors.Add(name, tensor);
        }

        return tensors;
    }

    private static Dictionary<string, string> ReadIndex(string path) => JsonFields.Read(path, json =>
    {
        JsonFields map = json.OptionalObject("weight_map") ?? throw json.Fault("weight_map", "is missing");
        var shardOf = new Dictionary<string, string>();
        foreach (string name in map.Keys)
            shardOf.Add(name, map.OptionalText(name) ?? throw map.Fault(name, "is null: supported is a string"));
        return shardOf;
    });

    /// <summary>A shard lies in the model's folder or below it; an index that points elsewhere is refused whatever is there.</summary>
    private static string PathOfShard(string folder, string index, string name, string shard)
    {
        bool inside = shard.Length > 0 && !Path.IsPathRooted(shard) && shard.AsSpan().IndexOfAny("\\:\0") < 0;
        foreach (string part in shard.Split('/'))
            inside &= part is not ("" or "." or "..");
        if (!inside)
            throw Said.Fault(index, $"tensor {Said.Name(name)} is in shard {Said.Name(shard)}: supported is a file in the folder of the index");
        return Path.Combine(folder, shard);
    }
}
