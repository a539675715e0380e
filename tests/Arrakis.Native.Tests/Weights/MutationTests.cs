using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

/// <summary>Small valid files, spoiled at random places: each opens or is refused on one line, and nothing else ever happens.</summary>
public class MutationTests
{
    private const int Times = 2000;

    private static readonly LlamaConfig Tiny = new()
    {
        HiddenSize = 32, IntermediateSize = 32, NumHiddenLayers = 1, NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 16, VocabSize = 4, MaxPositionEmbeddings = 4,
    };

    [Fact]
    public void Safetensors() => Spoil(ModelFiles.Safetensors(ModelFiles.Tensors(Tiny)), "model.safetensors", headBytes: 1400, 1);

    [Fact]
    public void Gguf() => Spoil(ModelFiles.Gguf(Tiny, ElementType.Q8_0).Texts("tokenizer.ggml.tokens", "a", "b", "c", "d").Build(), "a.gguf", headBytes: 1500, 2);

    [Fact]
    public void Llama2c() => Spoil(ModelFiles.Llama2c(Tiny), "a.bin", headBytes: 28, 3);

    [Fact]
    public void Configuration() => Spoil(System.Text.Encoding.UTF8.GetBytes(ModelFiles.ConfigJson(Tiny).ToJsonString()), "config.json", headBytes: 400, 4);

    [Fact]
    public void Index()
    {
        var map = new System.Text.Json.Nodes.JsonObject();
        foreach (NeededTensor needed in LlamaTensors.NeededBy(Tiny))
            map[needed.Name] = "shard.safetensors";
        string text = new System.Text.Json.Nodes.JsonObject { ["weight_map"] = map }.ToJsonString();
        Spoil(System.Text.Encoding.UTF8.GetBytes(text), "model.safetensors.index.json", headBytes: text.Length, 5);
    }

    [Fact]
    public void Saved_cache()
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(Tiny, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward([1, 2, 3]);
        session.Cache.Save(folder.File("cache"));
        byte[] good = File.ReadAllBytes(folder.File("cache"));
        int headBytes = 8 + BitConverter.ToInt32(good), refused = 0;
        var random = new Random(6);
        for (int i = 0; i < Times; i++)
        {
            string path = folder.Write("cache", Mutate(good, headBytes, random));
            try
            {
                ActivationCache cache = ActivationCache.Load(path);
                foreach (string name in cache.Names)
                    Assert.Equal(cache.Flat(name).Length, cache[name].FlattenedLength);
            }
            catch (ArrakisException refusal)
            {
                refused++;
                Refusal.IsOneLine(refusal.Message);
            }
        }

        IsMixed(refused);
    }

    private static void Spoil(byte[] good, string name, int headBytes, int seed)
    {
        using var folder = new TemporaryFolder();
        if (name.EndsWith("on", StringComparison.Ordinal) || name.EndsWith("ors", StringComparison.Ordinal))
        {
            bool sharded = name.StartsWith("model.safetensors.", StringComparison.Ordinal);
            folder.Write("config.json", ModelFiles.ConfigJson(Tiny).ToJsonString());
            folder.Write(sharded ? "shard.safetensors" : "model.safetensors", ModelFiles.Safetensors(ModelFiles.Tensors(Tiny)));
        }

        string path = folder.Write(name, good);
        string model = Path.GetExtension(name) is ".gguf" or ".bin" ? path : folder.Path;
        ModelSource.Open(model).Dispose();
        var random = new Random(seed);
        int refused = 0;
        for (int i = 0; i < Times; i++)
        {
            folder.Write(name, Mutate(good, headBytes, random));
            try
            {
                using var source = ModelSource.Open(model);
                foreach (NeededTensor needed in LlamaTensors.NeededBy(source.Config))
                    Touch(source, needed);
            }
            catch (ArrakisException refusal)
            {
                refused++;
                Refusal.IsOneLine(refusal.Message);
            }
        }

        IsMixed(refused);
    }

    // Were everything or nothing refused, the mutations would be testing little.
    private static void IsMixed(int refused) => Assert.InRange(refused, Times / 10, Times - 1);

    private static byte[] Mutate(byte[] good, int headBytes, Random random)
    {
        var bytes = new List<byte>(good);
        int changes = 1 + random.Next(3);
        for (int change = 0; change < changes; change++)
        {
            int at = random.Next(Math.Min(headBytes, bytes.Count));
            switch (random.Next(5))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2: bytes[at] = random.Next(2) == 0 ? (byte)0xFF : (byte)0; break;
                case 3: bytes.Insert(at, (byte)random.Next(256)); break;
                default:
                    int cut = random.Next(4) == 0 ? random.Next(bytes.Count) : bytes.Count - 1 - random.Next(8);
                    bytes.RemoveRange(Math.Max(1, cut), bytes.Count - Math.Max(1, cut));
                    break;
            }
        }

        return [.. bytes];
    }

    /// <summary>Reads every byte that the model would, so that one outside the map would show.</summary>
    private static unsafe void Touch(ModelSource source, NeededTensor needed)
    {
        if (needed.IsVector)
        {
            source.Vector(needed.Name, needed.Rows);
            return;
        }

        WeightMatrix matrix = source.Matrix(needed.Name, needed.Rows, needed.Columns);
        var row = new float[needed.Columns];
        for (int i = 0; i < needed.Rows; i++)
            BlockFormats.Widen(matrix.Type, new ReadOnlySpan<byte>(matrix.Row(i), (int)matrix.RowBytes), row);
    }
}
