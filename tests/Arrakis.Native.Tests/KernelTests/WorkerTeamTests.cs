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
        using var others = new CountdownEvent(7);
        GCHandle handle = GCHandle.Alloc((begun, others));
        team.Run(new Wait(handle, workers), 8);
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

    private readonly unsafe struct Count(int* counts) : IJob<Count>
    {
        private readonly int* _counts = counts;

        public static void Run(in Count job, int item, int worker) => Interlocked.Increment(ref job._counts[item]);
    }

    private readonly unsafe struct Wait(GCHandle events, int* workers) : IJob<Wait>
    {
        private readonly GCHandle _events = events;
        private readonly int* _workers = workers;

        public static void Run(in Wait job, int item, int worker)
        {
            var (begun, others) = ((ManualResetEventSlim, CountdownEvent))job._events.Target!;
            job._workers[item] = worker;
            if (item == 0)
            {
                begun.Set();
                Assert.True(others.Wait(TimeSpan.FromMinutes(1)));
            }
            else
            {
                Assert.True(begun.Wait(TimeSpan.FromMinutes(1)));
                others.Signal();
            }
        }
    }

    private readonly struct Fail : IJob<Fail>
    {
        public static void Run(in Fail job, int item, int worker) => throw new TimeoutException();
    }
}
