using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Native.Tests;

/// <summary>What a session promises whatever the model: chunks, threads, saved recordings.</summary>
public sealed class SessionTests
{
    // Chunks may go through other kernels (one row or many) and sum in another order: single precision over three layers, relative to the largest logit
    // of the whole input, for those of one position may all be small.
    private const double Tolerance = 5e-5;

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Chunks_and_single_tokens_give_what_one_long_pass_gives(KernelTier tier) => RandomShapes.Inputs().Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        float[] expected = Engine.Record(model, input.Ids, Engine.Options(tier))["logits"];
        int vocabulary = input.Config.VocabSize, first = 1 + input.Seed % input.Ids.Length, second = first + (input.Ids.Length - first) / 2;
        double allowed = Tolerance * expected.Max(Math.Abs);

        using LlamaSession session = model.CreateSession(RecordingPlan.None, Engine.Options(tier));
        // Twice over one session: a new Forward must leave nothing of the old sequence.
        for (int repeat = 0; repeat < 2; repeat++)
        {
            SameLogits(session.Forward(input.Ids.AsSpan(0, first)), first);
            if (second > first)
                SameLogits(session.Append(input.Ids.AsSpan(first, second - first)), second);
            for (int t = second; t < input.Ids.Length; t++)
                SameLogits(session.Append(input.Ids.AsSpan(t, 1)), t + 1);
        }

        void SameLogits(ReadOnlySpan<float> logits, int position)
        {
            Assert.Equal(position, session.Position);
            Assert.Equal(vocabulary, logits.Length);
            for (int v = 0; v < vocabulary; v++)
            {
                float e = expected[(position - 1) * vocabulary + v];
                Assert.True(Math.Abs(logits[v] - e) <= allowed, $"{tier}, after {position} tokens: logit {v} is {logits[v]:R}, in one pass {e:R}; allowed {allowed:E1}");
            }
        }
    }, iter: 30, threads: 1);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Any_number_of_threads_gives_the_same_bits(KernelTier tier) => RandomShapes.Inputs().Sample(input =>
    {
        using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
        Dictionary<string, float[]> one = Engine.Record(model, input.Ids, Engine.Options(tier, threads: 1));
        foreach (int threads in new[] { 2, 3 })
            Engine.SameBits(one, Engine.Record(model, input.Ids, Engine.Options(tier, threads)), $"{tier}, {threads} threads");
    }, iter: 20, threads: 1);

    // What is recorded decides how far all tokens go through the last block; 530 tokens are two chunks, which two workers take in strands.
    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void What_of_the_last_block_nobody_reads_changes_no_bit_of_the_rest(KernelTier tier)
    {
        RandomShapes.Inputs().Sample(input => Check(input, 1 + input.Seed % 3), iter: 20, threads: 1);
        int[] ids = [.. Enumerable.Range(0, 530).Select(i => i * 7 % 29)];
        var config = new LlamaConfig { HiddenSize = 24, IntermediateSize = 20, NumHiddenLayers = 2, NumAttentionHeads = 2, NumKeyValueHeads = 1, HeadDim = 16, VocabSize = 29 };
        Check(new RandomInput(config, ids, Seed: 5), threads: 2);

        void Check(RandomInput input, int threads)
        {
            using LlamaModel model = LlamaModel.CreateRandom(input.Config, (ulong)input.Seed);
            // Later tokens show what is left in the cache of keys and values.
            int[] more = [.. input.Ids.Take(3)];
            Dictionary<string, float[]> whole = Run(RecordingPlan.All);
            foreach (HookPoint? point in HookNames.All.Select(p => (HookPoint?)p).Prepend(null))
            {
                string what = $"{tier}, {threads} threads, recording {point}, {input}";
                Dictionary<string, float[]> part = Run(point is { } one ? RecordingPlan.Of(one) : RecordingPlan.None);
                Engine.SameBits(whole.Where(w => part.ContainsKey(w.Key)).ToDictionary(), part, what);
            }

            Dictionary<string, float[]> Run(RecordingPlan plan)
            {
                using LlamaSession session = model.CreateSession(plan, Engine.Options(tier, threads));
                float[] first = session.Forward(input.Ids).ToArray();
                Dictionary<string, float[]> recorded = Engine.Values(session.Cache);
                float[] second = session.Append(more).ToArray();
                recorded["returned"] = [.. first, .. second, .. session.Append(more.AsSpan(0, 1))];
                return recorded;
            }
        }
    }

    [Fact]
    public void A_saved_recording_comes_back_with_the_same_bits_and_is_plain_safetensors()
    {
        GoldenCase golden = Golden.Load("gqa-f32");
        using LlamaModel model = LlamaModel.Load(golden.Folder);
        using LlamaSession session = model.CreateSession(RecordingPlan.All, Engine.Options());
        session.Forward(golden.Ids);
        string path = Path.Combine(Directory.CreateTempSubdirectory("arrakis-").FullName, "cache.safetensors");
        try
        {
            session.Cache.Save(path);
            Dictionary<string, float[]> recorded = Engine.Values(session.Cache);
            Engine.SameBits(recorded, Engine.Values(ActivationCache.Load(path)), "loaded");

            Dictionary<string, TestTensor> file = TestSafetensors.Read(path);
            Assert.Equal(golden.Hooks.Keys.Order(StringComparer.Ordinal), file.Keys.Order(StringComparer.Ordinal));
            foreach ((string name, TestTensor tensor) in file)
            {
                Assert.Equal(golden.Hooks[name].Shape, tensor.Shape);
                Assert.Equal(Engine.Widen(recorded[name]), tensor.Values);
            }

            Dictionary<string, string> metadata = TestSafetensors.ReadMetadata(path);
            Assert.Equal("arrakis-cache", metadata["format"]);
            Assert.Equal("1", metadata["version"]);
            Assert.Equal(golden.Ids, System.Text.Json.JsonSerializer.Deserialize<int[]>(metadata["ids"]));
            Assert.Equal(["cache.safetensors"], Directory.GetFiles(Path.GetDirectoryName(path)!).Select(f => Path.GetFileName(f)!));
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }
}
