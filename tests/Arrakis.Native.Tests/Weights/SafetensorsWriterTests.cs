using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;
using CsCheck;

namespace Arrakis.Native.Tests.Weights;

public class SafetensorsWriterTests
{
    [Fact]
    public void What_is_written_is_read()
    {
        Gen<long[]> shapes = Gen.Long[0, 5].Array[0, 4];
        Gen.Select(shapes.Array[0, 6], Gen.String.Array[0, 3]).Sample((tensors, notes) =>
        {
            using var folder = new TemporaryFolder();
            var writer = new SafetensorsWriter();
            for (int i = 0; i < notes.Length; i++)
                writer.Metadata[$"note {i}"] = Unicode(notes[i]);
            for (int i = 0; i < tensors.Length; i++)
                Assert.Equal(i, writer.Add($"tensor \"{i}\"", tensors[i]));
            writer.Write(folder.File("a.safetensors"), index => Numbers(index, tensors[index]));

            using var file = SafetensorsFile.Open(folder.File("a.safetensors"));
            Assert.Equal(writer.Metadata, file.Metadata);
            Assert.Equal(tensors.Length, file.Tensors.Count);
            for (int i = 0; i < tensors.Length; i++)
            {
                Assert.Equal(tensors[i], file.Get($"tensor \"{i}\"").Shape);
                Assert.Equal(Numbers(i, tensors[i]), file.Floats($"tensor \"{i}\"").ToArray());
            }

            Assert.Single(Directory.GetFiles(folder.Path));
        }, iter: 50, seed: "0000KOIPe000");
    }

    [Fact]
    public void Data_begins_at_a_multiple_of_64()
    {
        using var folder = new TemporaryFolder();
        for (int length = 1; length < 70; length++)
        {
            var writer = new SafetensorsWriter();
            writer.Add(new string('x', length), 1);
            writer.Write(folder.File("a.safetensors"), _ => [1]);
            using var file = SafetensorsFile.Open(folder.File("a.safetensors"));
            Assert.Equal(0, file.Get(new string('x', length)).Offset % 64);
        }
    }

    [Fact]
    public void An_older_file_is_replaced()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.safetensors", new byte[10_000]);
        One().Write(path, _ => [7]);
        using var file = SafetensorsFile.Open(path);
        Assert.Equal(7, file.Floats("a")[0]);
    }

    [Fact]
    public void A_path_that_cannot_be_written_is_refused_and_nothing_is_left()
    {
        using var folder = new TemporaryFolder();
        folder.Write("file", "x");
        Directory.CreateDirectory(folder.File("folder"));
        Refuses(folder.File("absent/a.safetensors"), "its folder does not exist");
        Refuses(folder.File("file/a.safetensors"), "is a file, not a folder");
        Refuses(folder.File("folder"), "it is a folder");
        Refuses(folder.File("new/"), "it is a folder");
        Refuses(folder.File(new string('x', 300)), "");
        Refuses("", "it is not a path");
        Refuses("a\0b", "it is not a path");
        Refuses("/dev/null", "it is a device");
        if (Directory.Exists("/proc/self"))
            Refuses("/proc/self/a.safetensors", "");
        Assert.Equal(folder.File("file"), Assert.Single(Directory.GetFiles(folder.Path)));
        Assert.Empty(Directory.GetFiles(folder.File("folder")));
    }

    [Fact]
    public void A_disk_that_is_too_small_is_refused_and_nothing_is_left()
    {
        using var folder = new TemporaryFolder();
        var writer = new SafetensorsWriter();
        for (int i = 0; i < 4_000; i++)
            writer.Add($"{i}", int.MaxValue / 2);
        // Where the file system can reserve room, it refuses before it comes to this.
        ArrakisException refusal = Assert.Throws<ArrakisException>(() => writer.Write(folder.File("a"), _ => throw new IOException("No space left on device")));
        Assert.StartsWith($"cannot write {folder.File("a")}: ", refusal.Message, StringComparison.Ordinal);
        Refusal.IsOneLine(refusal.Message);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Whatever_the_data_throws_nothing_is_left()
    {
        using var folder = new TemporaryFolder();
        Assert.Throws<OperationCanceledException>(() => One().Write(folder.File("a"), _ => throw new OperationCanceledException()));
        Assert.Throws<InvalidOperationException>(() => One().Write(folder.File("a"), _ => [1, 2]));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Cancelled_at_any_tensor_it_leaves_what_stood_there(int tensor)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a", "before");
        SafetensorsWriter writer = One();
        writer.Add("b", 1);
        writer.Add("c", 1);
        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => writer.Write(
            path,
            index =>
            {
                if (index == tensor)
                    source.Cancel();
                return [1];
            },
            source.Token));
        Assert.Equal(["a"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));
        Assert.Equal("before", File.ReadAllText(path));
        writer.Write(path, _ => [1], CancellationToken.None);
        using SafetensorsFile saved = SafetensorsFile.Open(path);
        Assert.Equal(3, saved.Tensors.Count);
    }

    [Fact]
    public void A_recording_whose_saving_is_cancelled_can_be_saved_again()
    {
        using var folder = new TemporaryFolder();
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward([1, 2, 3]);
        Assert.Throws<OperationCanceledException>(() => session.Cache.Save(folder.File("a"), new CancellationToken(canceled: true)));
        Assert.Empty(Directory.GetFiles(folder.Path));
        session.Cache.Save(folder.File("a"));
        Assert.Equal(session.Cache.Names.Count, ActivationCache.Load(folder.File("a")).Names.Count);
    }

    [Fact]
    public void Names_are_given_once()
    {
        SafetensorsWriter writer = One();
        Assert.Throws<ArgumentException>(() => writer.Add("a", 2));
        Assert.Throws<ArgumentException>(() => writer.Add("__metadata__", 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add("b", 1L << 40, 1L << 40));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.Add("b", -1));
    }

    private static SafetensorsWriter One()
    {
        var writer = new SafetensorsWriter();
        writer.Add("a", 1);
        return writer;
    }

    private static void Refuses(string path, string why)
    {
        ArrakisException refusal = Assert.Throws<ArrakisException>(() => One().Write(path, _ => [1]));
        Assert.StartsWith("cannot write ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(".tmp", refusal.Message, StringComparison.Ordinal);
        Refusal.IsOneLine(refusal.Message);
    }

    private static float[] Numbers(int index, long[] shape) => ModelFiles.Numbers($"{index}", (int)StoredTensor.CountElements(shape)!.Value);

    /// <summary>Generated text may hold half a surrogate pair, which no file can.</summary>
    private static string Unicode(string text) => System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text));
}
