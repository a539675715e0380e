using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class MappedFileTests
{
    [Fact]
    public void Spans_are_held_to_the_file()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a", [1, 2, 3, 4]);
        using var file = MappedFile.Open(path);
        Assert.Equal(4, file.Length);
        Assert.Equal([2, 3], file.Span(1, 2).ToArray());
        Assert.True(file.Span(4, 0).IsEmpty);
        Refusal.Of(path, () => file.Span(3, 2), "2 bytes at 3 reach past its end at 4");
        Refusal.Of(path, () => file.Span(-1, 2), "2 bytes at -1");
        Refusal.Of(path, () => file.Span(5, 0), "0 bytes at 5");
        Refusal.Of(path, () => file.Span(0, -1), "-1 bytes at 0");
        Refusal.Of(path, () => file.Pointer(long.MaxValue, long.MaxValue), "reach past its end");
    }

    [Fact]
    public void What_is_no_file_is_refused()
    {
        using var folder = new TemporaryFolder();
        Refusal.Of(folder.Path, () => MappedFile.Open(folder.Path), "is a folder, where a file is wanted");
        Refusal.Of(folder.File("absent"), () => MappedFile.Open(folder.File("absent")), "does not exist");
        Refusal.Of(folder.Write("empty", ""), () => MappedFile.Open(folder.File("empty")), "is empty");
        File.CreateSymbolicLink(folder.File("loose"), folder.File("nowhere"));
        Refusal.IsOneLine(Assert.Throws<ModelFormatException>(() => MappedFile.Open(folder.File("loose"))).Message);
    }

    [Fact]
    public void A_file_that_is_disposed_hands_out_nothing()
    {
        using var folder = new TemporaryFolder();
        var file = MappedFile.Open(folder.Write("a", [1, 2, 3, 4]));
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Span(0, 1));
    }

    [Fact]
    public void A_file_that_nobody_disposed_is_collected()
    {
        using var folder = new TemporaryFolder();
        WeakReference file = OpenAndForget(folder.Write("a", [1, 2, 3, 4]));
        for (int i = 0; i < 10 && file.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(file.IsAlive);
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static WeakReference OpenAndForget(string path) => new(MappedFile.Open(path));
}
