using System.Globalization;
using System.Text.Json.Nodes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Arrakis.Cli;

/// <summary>Where a call speaks: its result on the output, as one JSON document or as tables; warnings and progress on the error stream.</summary>
internal sealed class Terminal
{
    // Wide enough for every table, narrow enough to read, where nobody says how wide it is.
    private const int RedirectedWidth = 100;

    private readonly TextWriter _output, _error;
    private readonly List<string> _warnings = [];

    public Terminal(TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        (_output, _error, Cancellation) = (output, error, cancellation);
        Tables = Create(output, ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected);
    }

    /// <summary>Ctrl-C.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>The output, for tables.</summary>
    public IAnsiConsole Tables { get; }

    /// <summary>Says something beside the result, once there is one: a call that fails leaves a single line on the error stream.</summary>
    public void Warn(string warning) => _warnings.Add(warning);

    /// <summary>The result as JSON.</summary>
    public void Write(JsonObject document) => Write([document.ToJsonString()]);

    /// <summary>The result as JSON that comes in pieces, for what is too large to hold at once.</summary>
    public void Write(IEnumerable<string> pieces)
    {
        Flush();
        foreach (string piece in pieces)
        {
            Cancellation.ThrowIfCancellationRequested();
            _output.Write(piece);
        }

        _output.WriteLine();
    }

    /// <summary>A part of the result, for people.</summary>
    public void Write(IRenderable part)
    {
        Flush();
        Tables.Write(part);
    }

    /// <summary>A line of the result, for people, with markup.</summary>
    public void Line(string markup = "")
    {
        Flush();
        Tables.MarkupLine(markup);
    }

    /// <summary>Does long work, with a bar on the error stream where that is a terminal and nowhere else.</summary>
    public T Work<T>(string what, Func<IProgress<double>?, T> work)
    {
        if (!ReferenceEquals(_error, Console.Error) || Console.IsErrorRedirected)
            return work(null);
        return Create(_error, isTerminal: true).Progress().AutoClear(true).Start(context =>
        {
            ProgressTask bar = context.AddTask(Markup.Escape(what), maxValue: 1).IsIndeterminate();
            return work(new Bar(bar));
        });
    }

    private static IAnsiConsole Create(TextWriter writer, bool isTerminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            // Never an escape code into a file or a pipe, whatever the environment claims to support.
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = isTerminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Enrichment = new ProfileEnrichment { UseDefaultEnrichers = isTerminal },
        });
        if (int.TryParse(Environment.GetEnvironmentVariable("COLUMNS"), NumberStyles.None, CultureInfo.InvariantCulture, out int columns) && columns > 0)
            console.Profile.Width = columns;
        else if (!isTerminal)
            console.Profile.Width = RedirectedWidth;
        return console;
    }

    private void Flush()
    {
        foreach (string warning in _warnings)
            _error.WriteLine($"arrakis: {warning}");
        _warnings.Clear();
    }

    // Progress<T> would post to the thread pool, and the last report might come after the bar is gone.
    private sealed class Bar(ProgressTask task) : IProgress<double>
    {
        public void Report(double value)
        {
            task.IsIndeterminate = false;
            task.Value = value;
        }
    }
}
