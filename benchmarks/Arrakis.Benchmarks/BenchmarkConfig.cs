using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;

namespace Arrakis.Benchmarks;

/// <summary>How BenchmarkDotNet measures here.</summary>
internal static class BenchmarkConfig
{
    // Ratios and medians within one run are what counts: this runs on machines whose neighbours are noisy.
    public static IConfig Default { get; } = With(Job.Default.WithWarmupCount(3).WithIterationCount(15).AsDefault(), DefaultConfig.Instance);

    public static IConfig With(Job job, IConfig config) => config
        .AddJob(job)
        .AddDiagnoser(MemoryDiagnoser.Default)
        .AddColumn([StatisticColumn.Median, StatisticColumn.Min, .. WorkColumn.All])
        .HideColumns(Column.Error, Column.StdDev, Column.RatioSD, Column.Gen0, Column.Gen1, Column.Gen2);
}
