using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Memory;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>
/// How fast memory can be read: every byte of a buffer far larger than any cache, once, in order, into eight independent sums. Half a gigabyte is what a
/// float32 SmolLM-135M reads a token. Huge pages are asked for where the system gives them, and prefetched is as far ahead as suits the machine best, or not
/// at all: the yardstick is what the machine can do at most.
/// </summary>
internal static unsafe partial class ReadBandwidth
{
    private const long BufferBytes = 512L << 20;

    private const int BytesPerItem = 1 << 20;

    /// <summary>A measurement reads a quarter of the buffer, the next one the next quarter: no cache holds what is read next.</summary>
    public const long BytesAtOnce = BufferBytes / 4;

    private static readonly byte* s_buffer = Allocate();
    private static readonly int[] s_distances = [0, 1024, 2048, 4096, 8192];
    private static readonly Dictionary<int, int> s_ahead = [];
    private static long s_next;
    private static float s_sink;

    /// <summary>GB/s (10⁹ bytes) read by all threads of a team together.</summary>
    public static double Measure(WorkerTeam team) => BytesAtOnce / Clock.Seconds(() => Run(team)) / 1e9;

    /// <summary>Reads <see cref="BytesAtOnce"/>.</summary>
    public static void Run(WorkerTeam team)
    {
        if (!s_ahead.TryGetValue(team.Size, out int ahead))
            s_ahead.Add(team.Size, ahead = BestAhead(team));
        Run(team, ahead);
    }

    private static void Run(WorkerTeam team, int ahead)
    {
        byte* start = s_buffer + s_next;
        s_next = (s_next + BytesAtOnce) % BufferBytes;
        team.Run(new Job(start, ahead), (int)(BytesAtOnce / BytesPerItem));
    }

    /// <summary>How many bytes ahead to prefetch, for so many threads: the distance that was fastest once.</summary>
    private static int BestAhead(WorkerTeam team)
    {
        const int Tries = 8;
        (double Seconds, int Ahead)[] distances = [.. s_distances.Select(ahead => (double.MaxValue, ahead))];
        for (int i = 0; i < Tries; i++)
        {
            foreach (ref (double Seconds, int Ahead) distance in distances.AsSpan())
            {
                int ahead = distance.Ahead;
                distance.Seconds = Math.Min(distance.Seconds, Clock.Seconds(() => Run(team, ahead)));
            }
        }

        return distances.Min().Ahead;
    }

    private static byte* Allocate()
    {
        byte* buffer = (byte*)NativeMemory.AlignedAlloc((nuint)BufferBytes, 2 << 20);
        if (OperatingSystem.IsLinux())
        {
            const int HugePage = 14; // MADV_HUGEPAGE; where it is refused, small pages serve too.
            _ = Advise((nint)buffer, (nuint)BufferBytes, HugePage);
        }

        // Written, because pages that nobody wrote are all the same page of zeros.
        for (long at = 0; at < BufferBytes; at += BytesPerItem)
            new Span<float>(buffer + at, BytesPerItem / sizeof(float)).Fill(1e-3f);
        return buffer;
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Sum512(float* x, float* end, int ahead)
    {
        Vector512<float> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        for (; x < end; x += 128)
        {
            if (ahead > 0)
                Prefetch((byte*)x + ahead, 128 * sizeof(float));
            c0 += Vector512.Load(x);
            c1 += Vector512.Load(x + 16);
            c2 += Vector512.Load(x + 32);
            c3 += Vector512.Load(x + 48);
            c4 += Vector512.Load(x + 64);
            c5 += Vector512.Load(x + 80);
            c6 += Vector512.Load(x + 96);
            c7 += Vector512.Load(x + 112);
        }

        return Vector512.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Sum256(float* x, float* end, int ahead)
    {
        Vector256<float> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        for (; x < end; x += 64)
        {
            if (ahead > 0)
                Prefetch((byte*)x + ahead, 64 * sizeof(float));
            c0 += Vector256.Load(x);
            c1 += Vector256.Load(x + 8);
            c2 += Vector256.Load(x + 16);
            c3 += Vector256.Load(x + 24);
            c4 += Vector256.Load(x + 32);
            c5 += Vector256.Load(x + 40);
            c6 += Vector256.Load(x + 48);
            c7 += Vector256.Load(x + 56);
        }

        return Vector256.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7);
    }

    // Prefetching past the end of the buffer is no error: an address that is not there is passed over.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* address, int bytes)
    {
        for (int line = 0; line < bytes && Sse.IsSupported; line += 64)
            Sse.Prefetch0(address + line);
    }

    private readonly struct Job(byte* start, int ahead) : IJob<Job>
    {
        private readonly byte* _start = start;
        private readonly int _ahead = ahead;

        public static void Run(in Job job, int item, int worker)
        {
            float* x = (float*)(job._start + (long)item * BytesPerItem), end = x + BytesPerItem / sizeof(float);
            s_sink = Vector512.IsHardwareAccelerated ? Sum512(x, end, job._ahead) : Sum256(x, end, job._ahead);
        }
    }
}
