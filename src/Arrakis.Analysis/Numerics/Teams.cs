using System.Collections.Concurrent;
using Arrakis.Native.Memory;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// Worker teams between two uses. A measure takes less time than starting threads does, so teams are kept, asleep; there are never more than were in use at once.
/// </summary>
internal static class Teams
{
    private static readonly ConcurrentDictionary<int, ConcurrentBag<WorkerTeam>> s_idle = new();

    public static WorkerTeam Rent(int threads)
    {
        int size = threads > 0 ? threads : Environment.ProcessorCount;
        return s_idle.TryGetValue(size, out ConcurrentBag<WorkerTeam>? idle) && idle.TryTake(out WorkerTeam? team) ? team : new WorkerTeam(size);
    }

    public static void Return(WorkerTeam team) => s_idle.GetOrAdd(team.Size, static _ => []).Add(team);
}
