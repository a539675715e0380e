using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Parameters;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Arrakis.Benchmarks;

/// <summary>What one call of a benchmark does; 0 for what does not apply.</summary>
/// <param name="Flops">Floating-point operations.</param>
/// <param name="Bytes">Bytes read from memory.</param>
/// <param name="Tokens">Tokens.</param>
public sealed record Work(double Flops = 0, double Bytes = 0, double Tokens = 0);

/// <summary>A benchmark class that knows the work of its methods, given its parameters; its setup has not run.</summary>
public interface IKnowsWork
{
    /// <summary>The work of one call.</summary>
    /// <param name="method">The benchmark method's name.</param>
    Work WorkOf(string method);
}

/// <summary>A rate, or a share of the rate of the yardstick: the method of the same class and parameters that shows what the machine can do at most.</summary>
/// <param name="name">The column's head.</param>
/// <param name="amount">What of the work it counts.</param>
/// <param name="yardstick">The yardstick's method, for a share.</param>
internal sealed class WorkColumn(string name, Func<Work, double> amount, string? yardstick = null) : IColumn
{
    /// <summary>GFLOP/s and the share of the peak, GB/s and the share of the read bandwidth, tokens a second.</summary>
    public static WorkColumn[] All { get; } =
    [
        new WorkColumn("GFLOP/s", work => work.Flops / 1e9), new WorkColumn("of peak", work => work.Flops, "Peak"),
        new WorkColumn("GB/s", work => work.Bytes / 1e9), new WorkColumn("of read", work => work.Bytes, "Read"),
        new WorkColumn("tokens/s", work => work.Tokens),
    ];

    public string Id => $"{nameof(WorkColumn)}.{ColumnName}";

    public string ColumnName => name;

    public bool AlwaysShow => false;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => yardstick is null ? $"{name} at the median time" : $"share of what the {yardstick} benchmark reaches with the same parameters";

    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(benchmark => WorkOf(benchmark) is { } work && amount(work) > 0);

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        Value(summary, benchmarkCase) is { } value ? value.ToString(yardstick is not null ? "F3" : value < 100 ? "F1" : "F0", CultureInfo.InvariantCulture) : "";

    /// <summary>The figure, where there is one.</summary>
    public double? Value(Summary summary, BenchmarkCase benchmarkCase)
    {
        double? rate = Rate(summary, benchmarkCase);
        if (yardstick is null || rate is null)
            return rate;
        BenchmarkCase? beside = summary.BenchmarksCases.FirstOrDefault(other =>
            other.Descriptor.Type == benchmarkCase.Descriptor.Type && other.Descriptor.WorkloadMethod.Name == yardstick
            && other.Job.Equals(benchmarkCase.Job) && other.Parameters.DisplayInfo == benchmarkCase.Parameters.DisplayInfo);
        return beside is null ? null : rate / Rate(summary, beside);
    }

    private double? Rate(Summary summary, BenchmarkCase benchmarkCase)
    {
        double? nanoseconds = summary[benchmarkCase]?.ResultStatistics?.Median;
        return WorkOf(benchmarkCase) is { } work && amount(work) > 0 ? amount(work) / nanoseconds * 1e9 : null;
    }

    private static Work? WorkOf(BenchmarkCase benchmarkCase)
    {
        Type type = benchmarkCase.Descriptor.Type;
        if (Activator.CreateInstance(type) is not IKnowsWork benchmark)
            return null;
        foreach (ParameterInstance parameter in benchmarkCase.Parameters.Items)
            type.GetProperty(parameter.Name, BindingFlags.Public | BindingFlags.Instance)?.SetValue(benchmark, parameter.Value);
        return benchmark.WorkOf(benchmarkCase.Descriptor.WorkloadMethod.Name);
    }
}
