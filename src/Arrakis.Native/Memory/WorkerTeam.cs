using System.Runtime.CompilerServices;

namespace Arrakis.Native.Memory;

/// <summary>Work that falls into independent items: item i writes what no other item writes, so any worker may do it and the bits are the same.</summary>
/// <typeparam name="TSelf">The job itself: a plain structure of pointers and sizes.</typeparam>
internal interface IJob<TSelf> where TSelf : unmanaged, IJob<TSelf>
{
    /// <summary>Does one item. <paramref name="worker"/> is below the team's size and picks that worker's scratch memory.</summary>
    static abstract void Run(in TSelf job, int item, int worker);
}

/// <summary>
/// A few threads that share the items of one job at a time, the caller among them. Items are drawn from a counter, so a slow core delays no one
/// by more than an item. Starting a job allocates nothing: the job stays on the caller's stack. Workers spin briefly between jobs, then sleep.
/// </summary>
internal sealed unsafe class WorkerTeam : IDisposable
{
    // About 20 microseconds: a forward pass starts its next job well within that, and an idle session costs nothing after it.
    private const int SpinRounds = 400;

    /// <summary>
    /// Multiply-adds below which the caller works alone: some three microseconds of one core, about as long as it takes to hand work over and to learn that it is done.
    /// A small model's projection of one token is less.
    /// </summary>
    public const long LeastWorthSharing = 100_000;

    private readonly long _leastShared;
    private Thread[] _threads;
    private readonly SemaphoreSlim[] _wake;
    private readonly int[] _asleep;
    private delegate*<void*, int, int, void> _run;
    private void* _job;
    private int _items;
    private int _next;
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
            _items = items;
            _next = 0;
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
            throw new InvalidOperationException("a worker failed", failure);
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
            while ((item = Interlocked.Increment(ref _next) - 1) < _items)
                _run(_job, item, worker);
        }
        catch (Exception e)
        {
            // Thrown by Run once every worker is done: the job lies on the caller's stack, and the team stays usable.
            _failure = e;
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
