using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Arrakis.Native.Memory;

/// <summary>Work that falls into independent items: item i writes what no other item writes, so any worker may do it and the bits are the same.</summary>
/// <typeparam name="TSelf">The job itself: a plain structure of pointers and sizes.</typeparam>
internal interface IJob<TSelf> where TSelf : unmanaged, IJob<TSelf>
{
    /// <summary>Does one item. <paramref name="worker"/> is below the whole team's size and picks that worker's scratch memory.</summary>
    static abstract void Run(in TSelf job, int item, int worker);
}

/// <summary>
/// A few threads that share the items of one job at a time, the caller among them. Each has a run of neighbouring items to do in order, and then takes the last ones
/// of those who are behind, so a slow core delays no one by more than an item or two. Starting a job allocates nothing: the job stays on the starter's stack.
/// Workers spin briefly between jobs, then sleep. Where work falls apart into as many strands as there are workers, each does its own (<see cref="RunMembers"/>), job after
/// job and without waiting for the others, and who is done helps those who are not.
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

    // No machine has so many cores, and each takes memory of its own.
    public const int Most = 1024;

    private readonly long _leastShared;
    private readonly Share[] _shares;
    private Thread[] _threads;
    private readonly SemaphoreSlim[] _wake;
    private readonly int[] _asleep;

    // Of a member: the team that it is one of, and which.
    private readonly WorkerTeam? _whole;
    private readonly int _worker;

    private Action<int>? _strands;
    private int _running;
    private int _ended;
    private volatile int _generation;
    private volatile bool _stop;
    private volatile Exception? _failure;

    /// <param name="size">Threads, with the caller.</param>
    /// <param name="leastShared">Multiply-adds of a job below which the caller works alone.</param>
    /// <exception cref="ArrakisException">More threads than a team may have, or than the machine starts.</exception>
    public WorkerTeam(int size, long leastShared = LeastWorthSharing)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        if (size > Most)
            throw new ArrakisException($"{size} threads are more than the {Most} that may share a pass: use fewer, or 0 for all cores");
        (Size, _leastShared) = (size, leastShared);
        _shares = new Share[size + 1];
        Members = [.. Enumerable.Range(0, size).Select(worker => new WorkerTeam(this, worker))];
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

    private WorkerTeam(WorkerTeam whole, int worker)
    {
        (Size, _whole, _worker, _leastShared) = (1, whole, worker, whole._leastShared);
        (_shares, Members, _threads, _wake, _asleep) = ([], [], [], [], []);
    }

    /// <summary>Threads, with the caller.</summary>
    public int Size { get; }

    /// <summary>Every worker as a team of one, for the jobs of its strand alone.</summary>
    public WorkerTeam[] Members { get; }

    /// <summary>Does items 0 … <paramref name="items"/> − 1 of the job, and returns when all are done.</summary>
    /// <param name="job">The job.</param>
    /// <param name="items">How many.</param>
    /// <param name="work">About how many multiply-adds that is; many, if nothing is said.</param>
    public void Run<TJob>(in TJob job, int items, long work = long.MaxValue) where TJob : unmanaged, IJob<TJob>
    {
        bool shared = items > 1 && work >= _leastShared;
        if (shared && _whole is not null)
        {
            _whole.RunAs(_worker, job, items);
            return;
        }

        if (!shared || Size == 1)
        {
            for (int item = 0; item < items; item++)
                TJob.Run(in job, item, _worker);
            return;
        }

        fixed (TJob* pointer = &job)
        {
            for (int worker = 0; worker < Size; worker++)
                ShareOf(worker).Offer(&Invoke<TJob>, pointer, (int)((long)items * worker / Size), (int)((long)items * (worker + 1) / Size));
            RunAll();
        }
    }

    /// <summary>
    /// Every worker w does strands(w), the caller the first one, and those who are done then help the others with the jobs that these run as <see cref="Members"/>[w].
    /// Returns when all are done. A strand may wait for another: all are under way at once.
    /// </summary>
    public void RunMembers(Action<int> strands)
    {
        (_strands, _ended) = (strands, 0);
        try
        {
            RunAll();
        }
        finally
        {
            _strands = null;
        }
    }

    /// <summary>Of a member: does an item of another member's job, if there is one to spare. For who waits.</summary>
    public bool Help() => _whole is not null && _whole.HelpAny(_worker, spare: 1);

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

    private void RunAll()
    {
        Volatile.Write(ref _running, _threads.Length);
        Interlocked.Increment(ref _generation);
        WakeSleepers();
        WorkSafely(0);
        SpinWait spin = default;
        while (Volatile.Read(ref _running) != 0)
            spin.SpinOnce(sleep1Threshold: -1);
        if (_failure is { } failure)
        {
            _failure = null;
            // Items that nobody did lie in a job that is about to be gone.
            foreach (ref Share share in _shares.AsSpan())
                share.Close();
            // As itself: who calls must not have to know how many threads there are.
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>A job of one worker's strand.</summary>
    private void RunAs<TJob>(int worker, in TJob job, int items) where TJob : unmanaged, IJob<TJob>
    {
        fixed (TJob* pointer = &job)
        {
            ref Share own = ref ShareOf(worker);
            own.Offer(&Invoke<TJob>, pointer, 0, items);
            try
            {
                int item;
                while ((item = own.Take()) >= 0)
                    TJob.Run(in job, item, worker);
            }
            finally
            {
                // The job lies on this stack: no helper may have it, or get it, beyond here.
                own.Close();
            }
        }
    }

    // Each worker has a semaphore of its own: a shared one would let a quick worker take the permit meant for a slow one.
    private void WakeSleepers()
    {
        for (int worker = 1; worker < Size; worker++)
        {
            if (Interlocked.Exchange(ref _asleep[worker], 0) != 0)
                _wake[worker].Release();
        }
    }

    private void WorkSafely(int worker)
    {
        try
        {
            if (_strands is { } strands)
                WorkStrand(worker, strands);
            else
                Drain(worker);
        }
        catch (Exception e)
        {
            // Thrown by the caller once every worker is done: jobs lie on their starters' stacks, and the team stays usable.
            _failure = e;
        }
    }

    private void Drain(int worker)
    {
        ref Share own = ref ShareOf(worker);
        int item;
        while ((item = own.Take()) >= 0)
            own.Run(item, worker);
        while (HelpAny(worker, spare: 0))
            continue;
    }

    private void WorkStrand(int worker, Action<int> strands)
    {
        try
        {
            strands(worker);
        }
        finally
        {
            Interlocked.Increment(ref _ended);
        }

        SpinWait spin = default;
        while (Volatile.Read(ref _ended) != Size)
        {
            if (!HelpAny(worker, spare: 1))
                spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>Does the last item of another worker's, if that leaves it <paramref name="spare"/>.</summary>
    private bool HelpAny(int worker, int spare)
    {
        for (int i = 1; i < Size; i++)
        {
            if (ShareOf((worker + i) % Size).Help(worker, spare))
                return true;
        }

        return false;
    }

    // Not the array's first element, which lies beside its length.
    private ref Share ShareOf(int worker) => ref _shares[worker + 1];

    private void Work(int worker)
    {
        int seen = 0;
        while (true)
        {
            AwaitGenerationAfter(seen, worker);
            seen++;
            if (_stop)
                return;
            WorkSafely(worker);
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

    /// <summary>A worker's items of a job: it takes the first of them, helpers the last. Two cache lines of its own.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 128)]
    private struct Share
    {
        // The first item in the lower half, and where they end in the upper: one word, so that owner and helpers never take the same item.
        private long _items;
        private int _helpers;
        private delegate*<void*, int, int, void> _run;
        private void* _job;

        /// <summary>Items <paramref name="first"/> … <paramref name="end"/> − 1 of a job.</summary>
        public void Offer(delegate*<void*, int, int, void> run, void* job, int first, int end)
        {
            _run = run;
            _job = job;
            Volatile.Write(ref _items, Pair(first, end));
        }

        public readonly void Run(int item, int worker) => _run(_job, item, worker);

        /// <summary>The next item; -1 for none.</summary>
        public int Take() => Take(last: false, spare: 0);

        /// <summary>Does the last item; false if there are no more than <paramref name="spare"/>.</summary>
        public bool Help(int worker, int spare)
        {
            long seen = Volatile.Read(ref _items);
            if ((int)(seen >> 32) - (int)seen <= spare)
                return false;
            // Before the item is taken, so that who then finds no items left finds this helper.
            Interlocked.Increment(ref _helpers);
            try
            {
                int item = Take(last: true, spare);
                if (item >= 0)
                    Run(item, worker);
                return item >= 0;
            }
            finally
            {
                Interlocked.Decrement(ref _helpers);
            }
        }

        /// <summary>The first item or the last; -1 if there are no more than <paramref name="spare"/>.</summary>
        private int Take(bool last, int spare)
        {
            while (true)
            {
                long seen = Volatile.Read(ref _items);
                int first = (int)seen, end = (int)(seen >> 32);
                if (end - first <= spare)
                    return -1;
                long left = last ? Pair(first, end - 1) : Pair(first + 1, end);
                if (Interlocked.CompareExchange(ref _items, left, seen) == seen)
                    return last ? end - 1 : first;
            }
        }

        /// <summary>Leaves no items, and waits for those who help.</summary>
        public void Close()
        {
            Interlocked.Exchange(ref _items, 0);
            SpinWait spin = default;
            while (Volatile.Read(ref _helpers) != 0)
                spin.SpinOnce(sleep1Threshold: -1);
        }

        private static long Pair(int first, int end) => ((long)end << 32) | (uint)first;
    }
}
