using System.Globalization;
using System.Text.Json.Nodes;
using Arrakis.Native.Weights;
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
        IsTerminal = ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected;
        Tables = Create(output, IsTerminal);
    }

    /// <summary>Ctrl-C, or another signal to stop.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>The output, for tables.</summary>
    public IAnsiConsole Tables { get; }

    /// <summary>Whether the output is a terminal.</summary>
    public bool IsTerminal { get; }

    /// <summary>A line on the error stream. Where that is closed or full there is nobody to tell, which changes neither the result nor the exit code.</summary>
    public static void Say(TextWriter error, string line)
    {
        try
        {
            error.WriteLine(line);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>Says something beside the result, once there is one: a call that fails leaves a single line on the error stream.</summary>
    public void Warn(string warning) => _warnings.Add(warning);

    /// <summary>The result as JSON.</summary>
    public void Write(JsonObject document) => Write([Json.Text(document)]);

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
        if (part is Table table)
            AtLeast(Unbroken(table), () => Tables.Write(table));
        else
            Tables.Write(part);
    }

    /// <summary>A line of the result, for people, with markup.</summary>
    public void Line(string markup = "")
    {
        Flush();
        Tables.MarkupLine(markup);
    }

    /// <summary>A line of the result, for people, that is to be copied: never broken.</summary>
    public void WholeLine(string markup)
    {
        Flush();
        AtLeast(2 * markup.Length, () => Tables.MarkupLine(markup));
    }

    /// <summary>A part of the result that is text as it is, such as what a model writes; whoever reads it has it at once.</summary>
    public void Text(string text)
    {
        Flush();
        // Nobody's terminal is steered by what a model says.
        _output.Write(IsTerminal ? string.Concat(text.Select(c => char.IsControl(c) && c is not ('\n' or '\t') ? '\uFFFD' : c)) : text);
        _output.Flush();
    }

    /// <summary>Does work, with a bar on the error stream where that is a terminal and the work is long.</summary>
    /// <param name="what">What is done, for the bar.</param>
    /// <param name="work">Does it, and says what part is done, where it knows.</param>
    /// <param name="total">How much there is to do in all, for a rate; 0 where there is no saying.</param>
    /// <param name="unit">What it is counted in.</param>
    public T Work<T>(string what, Func<IProgress<double>?, T> work, long total = 0, string unit = "")
    {
        if (!ReferenceEquals(_error, Console.Error) || Console.IsErrorRedirected)
            return work(null);
        using var bar = new Bar(Create(_error, isTerminal: true), what, total, unit);
        return work(bar);
    }

    private static IAnsiConsole Create(TextWriter writer, bool isTerminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            // Never an escape code into a file or a pipe, whatever the environment claims to support.
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            // The library asks the standard output; a bar stands on the error stream.
            Interactive = isTerminal ? InteractionSupport.Yes : InteractionSupport.No,
            ColorSystem = isTerminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Enrichment = new ProfileEnrichment { UseDefaultEnrichers = isTerminal },
        });
        if (int.TryParse(Environment.GetEnvironmentVariable("COLUMNS"), NumberStyles.None, CultureInfo.InvariantCulture, out int columns) && columns > 0)
            console.Profile.Width = columns;
        else if (!isTerminal)
            console.Profile.Width = RedirectedWidth;
        return console;
    }

    /// <summary>How wide a table must be for no number to be broken over lines, which would make two of it: the library breaks them where it has no room, whatever it is told.</summary>
    private int Unbroken(Table table)
    {
        const int Any = 1 << 20;
        Measurement size = ((IRenderable)table).Measure(RenderOptions.Create(Tables, Tables.Profile.Capabilities), Any);
        return table.Columns.All(column => column.NoWrap) ? size.Max : size.Min;
    }

    /// <summary>Writes as if the terminal were at least that wide; one that is not shows long lines in its own way.</summary>
    private void AtLeast(int width, Action write)
    {
        int usual = Tables.Profile.Width;
        Tables.Profile.Width = Math.Max(usual, width);
        write();
        Tables.Profile.Width = usual;
    }

    private void Flush()
    {
        foreach (string warning in _warnings)
            Say(_error, $"arrakis: {Said.OneLine(warning.ReplaceLineEndings(" "))}");
        _warnings.Clear();
    }
}
