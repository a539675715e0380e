using System.Diagnostics;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>Seconds that something takes.</summary>
internal static class Clock
{
    public static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
