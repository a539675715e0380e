using System.Runtime.InteropServices;
using Arrakis.Benchmarks.Measuring;
using Arrakis.Native;
using Microsoft.Win32.SafeHandles;

namespace Arrakis.Benchmarks.Reach;

/// <summary>
/// From nothing to the logits of a first token, of a model of 1.1 billion parameters in F16, beside reading its file once: from the disk, and from the
/// page cache, where reading is copying.
/// </summary>
internal static partial class LoadClaims
{
    public static IEnumerable<ClaimGroup> Groups() => [new("load", Measure)];

    private static IEnumerable<Claim> Measure(Rig rig)
    {
        using TemporaryModel made = TemporaryModel.Create(Shapes.TinyLlama, ElementType.F16);
        // What the model left on the heap while it was made is not to be swept while something is measured.
        GC.Collect();
        bool cold = Forget(made.File);
        var contestants = new List<Contestant>();
        foreach (bool warm in cold ? [true, false] : new[] { true })
        {
            contestants.Add(new(Name("read", warm, 1), () => Rate(made, warm, () => ReadOnce(made.File))));
            foreach (int threads in rig.Threads)
                contestants.Add(new(Name("first token", warm, threads), () => Rate(made, warm, () => FirstToken(made.Folder, threads))));
        }

        Contest contest = rig.Contest(contestants, patience: 2);
        double gigabytes = new FileInfo(made.File).Length / 1e9;
        foreach (bool warm in cold ? [true, false] : new[] { true })
        {
            string read = Name("read", warm, 1);
            foreach (int threads in rig.Threads)
            {
                string first = Name("first token", warm, threads);
                yield return new Claim(
                    $"load, {(warm ? "page cache warm" : "page cache dropped")}, {Rig.Plural(threads)}: first token over reading", contest.Ratio(read, first), Bound.AtMost, 1,
                    $"{1 / contest.Rate(first):F2} s beside {1 / contest.Rate(read):F2} s for {gigabytes:F2} GB, {contest.Rounds} rounds");
            }
        }
    }

    private static string Name(string what, bool warm, int threads) => $"{what} {(warm ? "warm" : "cold")} {threads}";

    /// <summary>
    /// Times a second; a cold measurement comes after the system was told to forget the file, a warm one after the same was done before: a virtual machine can take
    /// four times as long to touch what only its system has read.
    /// </summary>
    private static double Rate(TemporaryModel made, bool warm, Action action)
    {
        if (warm)
            action();
        else
            Forget(made.File);
        return 1 / Clock.Seconds(action);
    }

    private static void FirstToken(string folder, int threads)
    {
        using LlamaModel model = LlamaModel.Load(folder);
        using LlamaSession session = Rig.Session(model, threads);
        session.Forward([1]);
    }

    private static void ReadOnce(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 20, pinned: true);
        for (long at = 0, read; (read = RandomAccess.Read(file, buffer, at)) > 0; at += read)
        {
        }
    }

    /// <summary>Asks the system to drop the file from its page cache; only Linux can be asked.</summary>
    private static bool Forget(string path)
    {
        if (!OperatingSystem.IsLinux())
            return false;
        const int DontNeed = 4; // POSIX_FADV_DONTNEED
        using SafeFileHandle file = File.OpenHandle(path);
        return Advise(file, 0, 0, DontNeed) == 0;
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(SafeFileHandle file, nint offset, nint length, int advice);
}
