using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Support;

/// <summary>Every reader of the engine.</summary>
internal static class Readers
{
    private static readonly LlamaConfig s_tiny = new()
    {
        HiddenSize = 8, IntermediateSize = 8, NumHiddenLayers = 1, NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 4, VocabSize = 4, MaxPositionEmbeddings = 4,
    };

    private static readonly LlamaConfig s_blocks = s_tiny with { HiddenSize = 32, IntermediateSize = 32, HeadDim = 16 };

    public static IReadOnlyList<Reader> All { get; } =
    [
        new("safetensors", [ModelFiles.Safetensors(ModelFiles.Tensors(s_tiny))],
            [.. Reader.Json, "F32", "F16", "BF16", "I64", "F8_E4M3", "\"dtype\"", "\"shape\"", "\"data_offsets\"", "__metadata__"], ReadSafetensors),
        new("gguf",
            [
                ModelFiles.Gguf(s_tiny, ElementType.F32).Texts("tokenizer.ggml.tokens", "a", "b", "c", "d").Build(),
                ModelFiles.Gguf(s_blocks, ElementType.Q8_0).Build(),
            ],
            ["GGUF", "llama.block_count", "general.architecture", "general.alignment", "tokenizer.ggml.tokens", "rope_freqs.weight", "output.weight"],
            (folder, bytes) => Read(folder.Write("model.gguf", bytes))),
        new("llama2.c", [ModelFiles.Llama2c(s_tiny), ModelFiles.Llama2c(s_tiny with { TieWordEmbeddings = true })], ["ak42"],
            (folder, bytes) => Read(folder.Write("model.bin", bytes))),
        new("config", [Encoding.UTF8.GetBytes(Config().ToJsonString())],
            [.. Reader.Json, "\"rope_scaling\"", "\"rope_type\"", "\"llama3\"", "\"linear\"", "\"factor\"", "\"model_type\"", "\"head_dim\"", "\"attention_bias\"", "\"eos_token_id\""], ReadConfig),
        new("index", [Encoding.UTF8.GetBytes(Index())], [.. Reader.Json, "\"weight_map\"", "shard.safetensors", "../", "/", "lm_head.weight"], ReadIndex),
        new("cache", [SavedCache(RecordingPlan.All), SavedCache(RecordingPlan.Heads)],
            [.. Reader.Json, "F32", "\"shape\"", "\"data_offsets\"", "__metadata__", "arrakis-cache", "\"ids\"", "\"past\"", "blocks.0.attn.hook_q", "blocks.9.hook_resid_pre", "logits"], ReadCache),
    ];

    private static JsonObject Config()
    {
        JsonObject config = ModelFiles.ConfigJson(s_tiny);
        config["rope_scaling"] = new JsonObject
        {
            ["rope_type"] = "llama3", ["factor"] = 8, ["low_freq_factor"] = 1, ["high_freq_factor"] = 4, ["original_max_position_embeddings"] = 2,
        };
        return config;
    }

    private static string Index()
    {
        var map = new JsonObject();
        foreach (NeededTensor needed in LlamaTensors.NeededBy(s_tiny))
            map[needed.Name] = "shard.safetensors";
        return new JsonObject { ["weight_map"] = map }.ToJsonString();
    }

    private static byte[] SavedCache(RecordingPlan plan)
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(s_tiny, 1);
        using LlamaSession session = model.CreateSession(plan, new SessionOptions { Threads = 1 });
        session.Forward([1, 2, 3]);
        session.Cache.Save(folder.File("cache.safetensors"));
        return File.ReadAllBytes(folder.File("cache.safetensors"));
    }

    private static void ReadSafetensors(TemporaryFolder folder, byte[] bytes)
    {
        Once(folder, "config.json", () => Encoding.UTF8.GetBytes(ModelFiles.ConfigJson(s_tiny).ToJsonString()));
        folder.Write("model.safetensors", bytes);
        Read(folder.Path);
    }

    private static void ReadConfig(TemporaryFolder folder, byte[] bytes)
    {
        Once(folder, "model.safetensors", () => ModelFiles.Safetensors(ModelFiles.Tensors(s_tiny)));
        folder.Write("config.json", bytes);
        Read(folder.Path);
    }

    private static void ReadIndex(TemporaryFolder folder, byte[] bytes)
    {
        Once(folder, "config.json", () => Encoding.UTF8.GetBytes(ModelFiles.ConfigJson(s_tiny).ToJsonString()));
        Once(folder, "shard.safetensors", () => ModelFiles.Safetensors(ModelFiles.Tensors(s_tiny)));
        folder.Write("model.safetensors.index.json", bytes);
        Read(folder.Path);
    }

    private static void ReadCache(TemporaryFolder folder, byte[] bytes)
    {
        ActivationCache cache = ActivationCache.Load(folder.Write("cache.safetensors", bytes));
        foreach (string name in cache.Names)
        {
            if (cache[name].FlattenedLength != cache.Flat(name).Length)
                throw new InvalidOperationException($"{name} has two lengths");
        }
    }

    private static void Once(TemporaryFolder folder, string name, Func<byte[]> bytes)
    {
        if (!File.Exists(folder.File(name)))
            folder.Write(name, bytes());
    }

    /// <summary>Opens a model and reads every byte that it would use, so that one outside its file would show.</summary>
    private static unsafe void Read(string path)
    {
        using ModelSource source = ModelSource.Open(path);
        foreach (NeededTensor needed in LlamaTensors.NeededBy(source.Config))
        {
            if (needed.IsVector)
            {
                source.Vector(needed.Name, needed.Rows);
                continue;
            }

            WeightMatrix matrix = source.Matrix(needed.Name, needed.Rows, needed.Columns);
            var row = new float[needed.Columns];
            for (int i = 0; i < needed.Rows; i++)
                BlockFormats.Widen(matrix.Type, new ReadOnlySpan<byte>(matrix.Row(i), (int)matrix.RowBytes), row);
        }
    }
}
