using System.Diagnostics;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli;

/// <summary>
/// Shows how far work is and how fast it goes, once it has taken long enough for somebody to wonder; gone without a trace when it is done.
/// The work runs on the caller's thread, the bar on one of its own.
/// </summary>
internal sealed class Bar : IProgress<double>, IDisposable
{
    private const int BarWidth = 24;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(0.7), s_between = TimeSpan.FromSeconds(0.1);

    private readonly ManualResetEventSlim _isDone = new();
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Thread _thread;
    private readonly string _unit;
    private readonly long _total;
    private double _part;

    /// <param name="console">The terminal.</param>
    /// <param name="what">What is done.</param>
    /// <param name="total">How much there is to do in all, for a rate; 0 where there is no saying.</param>
    /// <param name="unit">What it is counted in.</param>
    public Bar(IAnsiConsole console, string what, long total, string unit)
    {
        (_total, _unit) = (total, unit);
        _thread = new Thread(() => Show(console, what)) { IsBackground = true };
        _thread.Start();
    }

    /// <inheritdoc/>
    public void Report(double value) => Volatile.Write(ref _part, value);

    /// <summary>Takes the bar away.</summary>
    public void Dispose()
    {
        _isDone.Set();
        _thread.Join();
        _isDone.Dispose();
    }

    private void Show(IAnsiConsole console, string what)
    {
        // Where nothing can be taken back, a bar would be a heap of lines.
        if (_isDone.Wait(s_patience) || !console.Profile.Capabilities.Ansi)
            return;
        ProgressColumn[] columns =
            [new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = BarWidth }, new SpinnerColumn(Spinner.Known.Line), new ElapsedTimeColumn()];
        console.Progress().AutoClear(true).Columns(columns).Start(context =>
        {
            ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: 1).IsIndeterminate();
            do
            {
                double part = Volatile.Read(ref _part);
                if (part <= 0)
                    continue;
                task.IsIndeterminate = false;
                task.Value = part;
                task.Description = Markup.Escape($"{what}  {Percent(part, "0")}{Rate(part)}");
            }
            while (!_isDone.Wait(s_between));
        });
    }

    private string Rate(double part)
    {
        if (_total == 0)
            return "";
        double rate = part * _total / Stopwatch.GetElapsedTime(_start).TotalSeconds;
        return $"  {(rate < 10 ? Size(rate) : Whole((long)rate))} {_unit}/s";
    }
}
