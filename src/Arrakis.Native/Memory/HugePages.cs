using System.Runtime.InteropServices;

namespace Arrakis.Native.Memory;

/// <summary>
/// Asks the system to back memory with huge pages before it is first touched: a recording of a gigabyte is then 500 pages and not 250,000, with as many fewer
/// faults when it is new and misses of address translation ever after. Advice only: where there is no such call, or it is refused, nothing changes but speed.
/// </summary>
internal static unsafe partial class HugePages
{
    private const nuint Page = 2 << 20;
    private const int AdviseHugePage = 14;

    private static readonly bool s_possible = OperatingSystem.IsLinux();

    /// <summary>Advises for the whole huge pages within a run of bytes.</summary>
    public static void Advise(void* start, nuint bytes)
    {
        nuint first = ((nuint)start + Page - 1) & ~(Page - 1), end = ((nuint)start + bytes) & ~(Page - 1);
        if (!s_possible || end <= first)
            return;
        _ = Advise((void*)first, end - first, AdviseHugePage);
    }

    // A function of the system's own C library, which the runtime itself stands on.
    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* start, nuint length, int advice);
}
