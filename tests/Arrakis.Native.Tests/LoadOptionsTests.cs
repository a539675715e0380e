using Arrakis.Native.Model;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>Mapped and copied weights, and what becomes of them when their file does not stay as it was.</summary>
public sealed class LoadOptionsTests
{
    private static readonly int[] s_ids = [1, 2, 3, 4];

    private static readonly LoadOptions s_copied = new() { Memory = WeightMemory.Copied };

    public static TheoryData<string> Formats => ["folder", "model.gguf", "model.bin"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Copied_weights_are_those_of_the_file_and_outlive_it(string format)
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, format);
        using LlamaModel mapped = LlamaModel.Load(path), copied = LlamaModel.Load(path, s_copied);
        float[] expected = Logits(mapped);
        Assert.Equal(expected, Logits(copied));
        mapped.Dispose();
        foreach (string file in Directory.GetFiles(folder.Path))
            Cut(file, 1);
        Assert.Equal(expected, Logits(copied));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void A_mapped_file_cut_short_is_refused_before_the_next_pass_and_the_session_goes_on_when_it_is_whole_again(string format)
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, format), file = Directory.GetFiles(folder.Path).MaxBy(name => new FileInfo(name).Length)!;
        byte[] whole = File.ReadAllBytes(file);
        using LlamaModel model = LlamaModel.Load(path);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        float[] expected = session.Forward(s_ids).ToArray();
        Cut(file, whole.Length - 5);
        ModelFormatException refusal = Assert.Throws<ModelFormatException>(() => session.Append([5]).Length);
        Assert.Equal($"{file}: was cut short to {whole.Length - 5} of its {whole.Length} bytes while it was open: load it anew, or with its weights copied", refusal.Message);
        Assert.Throws<ModelFormatException>(model.Hold);
        // What is computed of a recording reads the weights too.
        session.Cache.Save(folder.File("cache"));
        ActivationCache saved = model.LoadCache(folder.File("cache"));
        foreach (ActivationCache cache in new[] { session.Cache, saved })
            Assert.Equal(refusal.Message, Assert.Throws<ModelFormatException>(() => cache.Flat(HookPoint.Result, 1).Length).Message);
        // What was recorded is the session's own, and still there.
        Assert.Equal(4, session.Position);
        Assert.Equal(4, session.Cache.Tokens);
        using (var stream = new FileStream(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            stream.Write(whole);
        Assert.Equal(expected, session.Forward(s_ids).ToArray());
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Reading_ahead_goes_as_far_as_the_system_and_the_file_do(string format)
    {
        bool able = OperatingSystem.IsLinux() && Environment.OSVersion.Version >= new Version(5, 14);
        using var folder = new TemporaryFolder();
        string path = Write(folder, format), file = Directory.GetFiles(folder.Path).MaxBy(name => new FileInfo(name).Length)!;
        using LlamaModel model = LlamaModel.Load(path);
        var ahead = new ReadAhead(model.Weights, () => false);
        Assert.Equal(able, ahead.Read());
        ahead.WaitFor(model.Config.NumHiddenLayers);
        Assert.False(new ReadAhead(model.Weights, () => true).Read());
        // A hold keeps the file mapped over the end of its model, and the thread that reads ahead has one of its own: it gives back no other.
        using (LlamaModel closed = LlamaModel.Load(path))
        {
            LlamaWeights weights = closed.Weights;
            closed.Hold();
            closed.ReadAheadOnce(least: 0)!.WaitFor(closed.Config.NumHiddenLayers);
            closed.Dispose();
            Assert.Equal(able, new ReadAhead(weights, () => false).Read());
            closed.Release();
        }

        Cut(file, 1);
        Assert.False(new ReadAhead(model.Weights, () => false).Read());
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Loading_can_be_cancelled(string format)
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, format);
        Assert.Throws<OperationCanceledException>(() => LlamaModel.Load(path, s_copied, new CancellationToken(canceled: true)));
        Assert.Throws<OperationCanceledException>(() => LlamaModel.Load(path, null, new CancellationToken(canceled: true)));
        using LlamaModel model = LlamaModel.Load(path, s_copied, CancellationToken.None);
        Assert.NotEmpty(Logits(model));
    }

    [Fact]
    public void A_file_replaced_by_renaming_another_over_it_changes_nothing()
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, "model.bin");
        using LlamaModel model = LlamaModel.Load(path);
        float[] expected = Logits(model);
        File.Move(folder.Write("other", [1, 2, 3]), path, overwrite: true);
        Assert.Equal(expected, Logits(model));
    }

    [Fact]
    public void A_saved_recording_stands_by_itself_once_it_is_loaded()
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward(s_ids);
        session.Cache.Save(folder.File("cache"));
        ActivationCache loaded = ActivationCache.Load(folder.File("cache"));
        Cut(folder.File("cache"), 1);
        Engine.SameBits(Engine.Values(session.Cache), Engine.Values(loaded), "after the file is gone");
    }

    private static string Write(TemporaryFolder folder, string format) => format switch
    {
        "folder" => ModelFiles.WriteFolder(folder, ModelFiles.Small),
        "model.gguf" => folder.Write(format, ModelFiles.Gguf(ModelFiles.Small, ElementType.Q8_0).Build()),
        _ => folder.Write(format, ModelFiles.Llama2c(ModelFiles.Small)),
    };

    private static float[] Logits(LlamaModel model)
    {
        using LlamaSession session = model.CreateSession(null, Engine.Options());
        return session.Forward(s_ids).ToArray();
    }

    // As another program would: .NET's own locks are only asked for by those who open a file to have it to themselves.
    private static void Cut(string file, long length)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        stream.SetLength(length);
    }
}
