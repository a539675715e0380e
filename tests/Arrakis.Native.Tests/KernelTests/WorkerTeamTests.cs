using System.Runtime.InteropServices;
using Arrakis.Native.Memory;

namespace Arrakis.Native.Tests.KernelTests;

public sealed class WorkerTeamTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public unsafe void Every_item_is_done_once(int size)
    {
        using var team = new WorkerTeam(size);
        int[] done = new int[1000];
        fixed (int* counts = done)
        {
            for (int items = 0; items <= 1000; items = items < 40 ? items + 1 : items * 5)
            {
                Array.Clear(done);
                team.Run(new Count(counts), items);
                Assert.Equal(items, done.Sum());
                Assert.All(done[..items], count => Assert.Equal(1, count));
            }
        }
    }

    [Fact]
    public unsafe void Who_is_done_helps_who_is_not()
    {
        using var team = new WorkerTeam(2);
        int* workers = stackalloc int[8];
        // The first item begins before all others, and does not end before they have: its worker's other items can only be done by the other.
        using var begun = new ManualResetEventSlim();
        using var others = new SemaphoreSlim(0);
        GCHandle handle = GCHandle.Alloc((begun, others));
        team.Run(new Wait(handle, workers, 7), 8);
        handle.Free();
        Assert.Equal(1, new Span<int>(workers, 8).Count(workers[0]));
    }

    [Fact]
    public void An_item_that_fails_fails_the_job_and_not_the_team()
    {
        using var team = new WorkerTeam(3);
        for (int i = 0; i < 3; i++)
            Assert.Throws<TimeoutException>(() => team.Run(new Fail(), 9));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public unsafe void Every_item_of_every_strand_is_done_once(int size)
    {
        using var team = new WorkerTeam(size, leastShared: 0);
        const int Jobs = 200;
        int[] done = new int[size * Jobs];
        fixed (int* counts = done)
        {
            int* all = counts;
            team.RunMembers(worker =>
            {
                // Strands as unequal as can be, so that there is somebody to help; and the items of a job are done when it is.
                for (int job = 0; job < Jobs / (worker + 1); job++)
                {
                    var count = new Count(all + worker * Jobs);
                    team.Members[worker].Run(count, job);
                    Assert.All(Enumerable.Range(0, Jobs), item => Assert.Equal(Math.Max(0, job - item), all[worker * Jobs + item]));
                }
            });
        }

        for (int worker = 0; worker < size; worker++)
            Assert.Equal(Enumerable.Range(0, Jobs / (worker + 1)).Sum(), done.AsSpan(worker * Jobs, Jobs).ToArray().Sum());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public unsafe void Who_has_ended_its_strand_or_waits_in_it_helps_who_has_not(bool waits)
    {
        using var team = new WorkerTeam(2);
        int* workers = stackalloc int[7];
        int* done = workers;
        // The first item does not end before all others but one have; that one is left to the worker that the job is of.
        using var begun = new ManualResetEventSlim();
        using var others = new SemaphoreSlim(0);
        GCHandle handle = GCHandle.Alloc((begun, others));
        bool over = false;
        team.RunMembers(worker =>
        {
            try
            {
                if (worker == 1)
                    team.Members[1].Run(new Wait(handle, done, 5), 7);
            }
            finally
            {
                if (worker == 1)
                    Volatile.Write(ref over, true);
            }

            while (waits && worker == 0 && !Volatile.Read(ref over))
                team.Members[0].Help();
        });
        handle.Free();
        Assert.Equal([1, 1, 0, 0, 0, 0, 0], new Span<int>(workers, 7).ToArray());
    }

    [Fact]
    public void A_strand_that_fails_fails_the_call_and_not_the_team()
    {
        using var team = new WorkerTeam(3);
        for (int failing = 0; failing < 3; failing++)
        {
            // By itself, or by an item of its, which a helper may have been doing.
            Assert.Throws<TimeoutException>(() => team.RunMembers(worker =>
            {
                if (worker == failing)
                    throw new TimeoutException();
            }));
            Assert.Throws<TimeoutException>(() => team.RunMembers(worker => team.Members[worker].Run(new Fail(), 9)));
        }

        int[] ended = new int[3];
        team.RunMembers(worker => ended[worker]++);
        Assert.Equal([1, 1, 1], ended);
    }

    private readonly unsafe struct Count(int* counts) : IJob<Count>
    {
        private readonly int* _counts = counts;

        public static void Run(in Count job, int item, int worker) => Interlocked.Increment(ref job._counts[item]);
    }

    private readonly unsafe struct Wait(GCHandle events, int* workers, int items) : IJob<Wait>
    {
        private readonly GCHandle _events = events;
        private readonly int* _workers = workers;
        private readonly int _items = items;

        public static void Run(in Wait job, int item, int worker)
        {
            var (begun, others) = ((ManualResetEventSlim, SemaphoreSlim))job._events.Target!;
            job._workers[item] = worker;
            if (item == 0)
            {
                begun.Set();
                for (int i = 0; i < job._items; i++)
                    Assert.True(others.Wait(TimeSpan.FromMinutes(1)));
            }
            else
            {
                Assert.True(begun.Wait(TimeSpan.FromMinutes(1)));
                others.Release();
            }
        }
    }

    private readonly struct Fail : IJob<Fail>
    {
        public static void Run(in Fail job, int item, int worker) => throw new TimeoutException();
    }
}
