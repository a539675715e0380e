using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace Arrakis.Native.Memory;

/// <summary>Work that falls into independent items: item i writes what no other item writes, so any worker may do it and the bits are the same.</summary>
/// <typeparam name="TSelf">The job itself: a plain structure of pointers and sizes.</typeparam>
internal interface IJob<TSelf> where TSelf : unmanaged, IJob<TSelf>
{
    /// <summary>Does one item. <paramref name="worker"/> is below the team's size and picks that worker's scratch memory.</summary>
    static abstract void Run(in TSelf job, int item, int worker);
}

/// <summary>
/// A few threads that share the items of one job at a time, the caller among them. Each has a run of neighbouring items to do in order, and then takes the last ones
/// of those who are behind, so a slow core delays no one by more than an item. Starting a job allocates nothing: the job stays on the caller's stack.
/// Workers spin briefly between jobs, then sleep.
/// </summary>
/// <remarks>
/// Runs, and not one counter from which all draw: a worker then knows what it does next. What it fetches ahead of its item is its own next item's, where drawn items
/// alternate at random and half of what is fetched was for somebody else.
/// </remarks>
internal sealed unsafe class WorkerTeam : IDisposable
{
    // About 120 microseconds: a forward pass starts its next job well within that, and an idle session costs nothing after it.
    private const int SpinRounds = 400;

    /// <summary>
    /// Multiply-adds below which the caller works alone: some three microseconds of one core, about as long as it takes to hand work over and to learn that it is done.
    /// A small model's projection of one token is less.
    /// </summary>
    public const long LeastWorthSharing = 100_000;

    // A worker's share of the items begins a pair of cache lines of its own: 128 bytes.
    private const int ShareStride = 16;

    private readonly long _leastShared;
    private readonly long[] _shares;
    private Thread[] _threads;
    private readonly SemaphoreSlim[] _wake;
    private readonly int[] _asleep;
    private delegate*<void*, int, int, void> _run;
    private void* _job;
    private int _running;
    private volatile int _generation;
    private volatile bool _stop;
    private volatile Exception? _failure;

    /// <param name="size">Threads, with the caller.</param>
    /// <param name="leastShared">Multiply-adds of a job below which the caller works alone.</param>
    public WorkerTeam(int size, long leastShared = LeastWorthSharing)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        (Size, _leastShared) = (size, leastShared);
        _shares = new long[(size + 1) * ShareStride];
        _threads = new Thread[size - 1];
        _asleep = new int[size];
        _wake = [.. Enumerable.Range(0, size).Select(_ => new SemaphoreSlim(0))];
        int started = 0;
        try
        {
            for (; started < _threads.Length; started++)
            {
                int worker = started + 1;
                _threads[started] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"arrakis {worker}" };
                _threads[started].Start();
            }
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            Array.Resize(ref _threads, started);
            Dispose();
            throw new ArrakisException($"the machine starts no more than {started + 1} of {size} threads: use fewer", e);
        }
    }

    /// <summary>Threads, with the caller.</summary>
    public int Size { get; }

    /// <summary>Does items 0 … <paramref name="items"/> − 1 of the job, and returns when all are done.</summary>
    /// <param name="job">The job.</param>
    /// <param name="items">How many.</param>
    /// <param name="work">About how many multiply-adds that is; many, if nothing is said.</param>
    public void Run<TJob>(in TJob job, int items, long work = long.MaxValue) where TJob : unmanaged, IJob<TJob>
    {
        if (Size == 1 || items == 1 || work < _leastShared)
        {
            for (int item = 0; item < items; item++)
                TJob.Run(in job, item, 0);
            return;
        }

        fixed (TJob* pointer = &job)
        {
            _run = &Invoke<TJob>;
            _job = pointer;
            for (int worker = 0; worker < Size; worker++)
                Volatile.Write(ref ShareOf(worker), Share((long)items * worker / Size, (long)items * (worker + 1) / Size));
            Volatile.Write(ref _running, _threads.Length);
            Interlocked.Increment(ref _generation);
            WakeSleepers();
            DrainSafely(0);
            SpinWait spin = default;
            while (Volatile.Read(ref _running) != 0)
                spin.SpinOnce(sleep1Threshold: -1);
        }

        if (_failure is { } failure)
        {
            _failure = null;
            // As itself: who calls must not have to know how many threads there are.
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>Ends the threads.</summary>
    public void Dispose()
    {
        _stop = true;
        Interlocked.Increment(ref _generation);
        WakeSleepers();
        foreach (Thread thread in _threads)
            thread.Join();
        foreach (SemaphoreSlim wake in _wake)
            wake.Dispose();
    }

    private static void Invoke<TJob>(void* job, int item, int worker) where TJob : unmanaged, IJob<TJob> => TJob.Run(in Unsafe.AsRef<TJob>(job), item, worker);

    // Each worker has a semaphore of its own: a shared one would let a quick worker take the permit meant for a slow one.
    private void WakeSleepers()
    {
        for (int worker = 1; worker < Size; worker++)
        {
            if (Interlocked.Exchange(ref _asleep[worker], 0) != 0)
                _wake[worker].Release();
        }
    }

    private void DrainSafely(int worker)
    {
        try
        {
            int item;
            while ((item = Take(worker, last: false)) >= 0)
                _run(_job, item, worker);
            for (int i = 1; i < Size; i++)
            {
                int other = (worker + i) % Size;
                while ((item = Take(other, last: true)) >= 0)
                    _run(_job, item, worker);
            }
        }
        catch (Exception e)
        {
            // Thrown by Run once every worker is done: the job lies on the caller's stack, and the team stays usable.
            _failure = e;
        }
    }

    private ref long ShareOf(int worker) => ref _shares[(worker + 1) * ShareStride];

    // The first item of a share in the lower half, and where it ends in the upper: one word, so that its owner and who helps never take the same item.
    private static long Share(long first, long end) => (end << 32) | first;

    /// <summary>The next item of one's own share, or the last one of another's; -1 for none.</summary>
    private int Take(int worker, bool last)
    {
        ref long share = ref ShareOf(worker);
        while (true)
        {
            long seen = Volatile.Read(ref share);
            int first = (int)seen, end = (int)(seen >> 32);
            if (first >= end)
                return -1;
            if (Interlocked.CompareExchange(ref share, last ? Share(first, end - 1) : Share(first + 1, end), seen) == seen)
                return last ? end - 1 : first;
        }
    }

    private void Work(int worker)
    {
        int seen = 0;
        while (true)
        {
            AwaitGenerationAfter(seen, worker);
            seen++;
            if (_stop)
                return;
            DrainSafely(worker);
            Interlocked.Decrement(ref _running);
        }
    }

    /// <summary>Returns once a job newer than <paramref name="seen"/> was started.</summary>
    private void AwaitGenerationAfter(int seen, int worker)
    {
        for (int i = 0; i < SpinRounds; i++)
        {
            if (_generation != seen)
                return;
            Thread.SpinWait(8);
        }

        // Announce the sleep before the last look: a job started in between is seen here, or its starter sees the announcement and leaves a permit.
        // A starter that is slow to look may leave its permit for a worker that has long done its job and gone to sleep anew: hence the loop.
        while (_generation == seen)
        {
            Interlocked.Exchange(ref _asleep[worker], 1);
            if (_generation == seen || Interlocked.Exchange(ref _asleep[worker], 0) == 0)
                _wake[worker].Wait();
        }
    }
}
