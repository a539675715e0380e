using System.Runtime.InteropServices;
using Arrakis.Native.Model;

namespace Arrakis.Native.Weights;

/// <summary>
/// Brings mapped weights into memory, in the order of a pass, while the first pass runs: a pass that meets page after page which is not there yet waits for the disk, or,
/// where the file is in the page cache, for the system to enter sixteen pages at a time. Linux alone can be asked (from 5.14 on); elsewhere, and where it
/// refuses, the pass fetches its pages itself.
/// </summary>
internal static partial class ReadAhead
{
    /// <summary>Bytes of weights below which a thread of its own is not worth starting.</summary>
    public const long LeastBytes = 64L << 20;

    private const long BytesAtOnce = 8L << 20;

    /// <summary>A thread that reads until it is done or told to stop. Nothing is lost if it fails.</summary>
    /// <param name="weights">What to read; in place until <paramref name="done"/> is called.</param>
    /// <param name="stop">Whether to end early.</param>
    /// <param name="done">Called at the end, also of a thread that never starts.</param>
    public static void Start(LlamaWeights weights, Func<bool> stop, Action done)
    {
        var thread = new Thread(() =>
        {
            try
            {
                Read(weights, stop);
            }
            finally
            {
                done();
            }
        })
        {
            IsBackground = true, Name = "arrakis reads ahead",
        };
        try
        {
            thread.Start();
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            done();
        }
    }

    /// <summary>Reads what a pass reads; false where the system cannot, or was told to stop.</summary>
    public static bool Read(LlamaWeights weights, Func<bool> stop)
    {
        foreach (LlamaLayer w in weights.Layers)
        {
            foreach (WeightMatrix matrix in new[] { w.Query, w.Key, w.Value, w.Output, w.Gate, w.Up, w.Down })
            {
                if (!Read(matrix, stop))
                    return false;
            }
        }

        return Read(weights.Unembedding, stop);
    }

    private static bool Read(in WeightMatrix matrix, Func<bool> stop)
    {
        nint end = matrix.Data + matrix.Rows * matrix.RowBytes;
        for (nint at = matrix.Data / Environment.SystemPageSize * Environment.SystemPageSize; at < end; at += (nint)BytesAtOnce)
        {
            if (stop() || !Populate(at, (nint)Math.Min(BytesAtOnce, end - at)))
                return false;
        }

        return true;
    }

    private static bool Populate(nint start, nint bytes)
    {
        const int PopulateRead = 22; // MADV_POPULATE_READ: fails, and raises no signal, where a file has become shorter.
        try
        {
            return OperatingSystem.IsLinux() && Advise(start, (nuint)bytes, PopulateRead) == 0;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // A C library of another name: as on a system that cannot.
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint start, nuint length, int advice);
}
