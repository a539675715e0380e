using System.Runtime.InteropServices;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

/// <summary>
/// Brings mapped weights into memory, in the order of a pass, while the first pass runs: a pass that meets page after page which is not there yet waits for the disk, or,
/// where the file is in the page cache, for the system to enter sixteen pages at a time. Linux alone can be asked (from 5.14 on); elsewhere, and where it
/// refuses, the pass fetches its pages itself.
/// </summary>
/// <param name="weights">What to read; in place until it is done.</param>
/// <param name="stop">Whether to end early.</param>
internal sealed partial class ReadAhead(LlamaWeights weights, Func<bool> stop)
{
    /// <summary>Bytes of weights below which a thread of its own is not worth starting.</summary>
    public const long LeastBytes = 64L << 20;

    private const long BytesAtOnce = 8L << 20;

    private readonly object _progress = new();
    private int _layers;

    /// <summary>A thread that reads until it is done or told to stop. Nothing is lost if it cannot start, or the system refuses.</summary>
    /// <param name="done">Called at the end, also of a thread that never starts.</param>
    public void Start(Action done)
    {
        var thread = new Thread(() =>
        {
            try
            {
                Read();
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
            Reached(int.MaxValue);
            done();
        }
    }

    /// <summary>Returns when a layer has been read, or will not be: two who read the same pages at once hold each other up.</summary>
    public void WaitFor(int layer)
    {
        lock (_progress)
        {
            while (_layers <= layer)
                Monitor.Wait(_progress);
        }
    }

    /// <summary>Reads what a pass reads; false where the system cannot, or was told to stop.</summary>
    public bool Read()
    {
        try
        {
            for (int layer = 0; layer < weights.Layers.Length; layer++)
            {
                LlamaLayer w = weights.Layers[layer];
                foreach (WeightMatrix matrix in w.Matrices)
                {
                    if (!Read(matrix))
                        return false;
                }

                Reached(layer + 1);
            }

            return Read(weights.Unembedding);
        }
        finally
        {
            Reached(int.MaxValue);
        }
    }

    private void Reached(int layers)
    {
        lock (_progress)
        {
            _layers = layers;
            Monitor.PulseAll(_progress);
        }
    }

    private bool Read(in WeightMatrix matrix)
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
