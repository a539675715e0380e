using System.CommandLine;
using Arrakis.Cli.Views;
using Arrakis.Experiments;
using Arrakis.Native.Weights;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis experiments</c>: what a bench logged into a folder.</summary>
internal sealed class ExperimentsCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Option<bool> _json;
    private readonly Argument<string> _folder = new("FOLDER") { Description = "The folder that a bench saved its runs in" };

    public ExperimentsCommand(Terminal terminal, Input input)
        : base("experiments", "Lists, shows and compares logged experiments")
    {
        (_terminal, _json) = (terminal, input.Json);
        Add(List());
        Add(Show());
        Add(Diff());
    }

    private Command List()
    {
        var experiment = new Option<string?>("--experiment") { Description = "Only the runs of this one", HelpName = "NAME" };
        var command = new Command("list", "The runs, oldest first") { _folder, experiment, _json };
        command.SetAction(call =>
        {
            ExperimentListing listing = Read(call, call.GetValue(experiment));
            if (call.GetValue(_json))
                _terminal.Write(ExperimentsView.Document(call.GetValue(_folder)!, listing));
            else
                ExperimentsView.Tables(_terminal, listing);
        });
        return command;
    }

    private Command Show()
    {
        Argument<string> version = Version("VERSION", "A version, or as many of its first digits as no other has");
        var command = new Command("show", "The latest run of a version, whole") { _folder, version, _json };
        command.SetAction(call =>
        {
            ExperimentListing listing = Read(call);
            ExperimentRecord record = Find(listing, call, version);
            int runs = listing.Runs.Count(run => run.Version == record.Version);
            if (call.GetValue(_json))
                _terminal.Write(ExperimentsView.Document(record, runs));
            else
                ExperimentsView.Tables(_terminal, record, runs);
        });
        return command;
    }

    private Command Diff()
    {
        Argument<string> before = Version("BEFORE", "A version, or its first digits"), after = Version("AFTER", "Another");
        Option<double> tolerance = OptionOf.Number(
            "--tolerance", "By how much two numbers may differ, relative to the larger, and still count as the same", 0, value => value >= 0 && double.IsFinite(value), "0 or more");
        var command = new Command("diff", "What differs between two versions: arguments, results, model, seed and code") { _folder, before, after, tolerance, _json };
        command.SetAction(call =>
        {
            ExperimentListing listing = Read(call);
            ExperimentDiff diff = ExperimentDiff.Of(Find(listing, call, before), Find(listing, call, after), call.GetValue(tolerance));
            if (call.GetValue(_json))
                _terminal.Write(ExperimentsView.Document(diff));
            else
                ExperimentsView.Tables(_terminal, diff);
        });
        return command;
    }

    /// <summary>Every run; of every file that is damaged a warning, since the others are as good as before.</summary>
    private ExperimentListing Read(ParseResult call, string? experiment = null)
    {
        ExperimentListing listing = new ExperimentLog(call.GetValue(_folder)!).Read(experiment);
        foreach (string fault in listing.Faults)
            _terminal.Warn(fault);
        return listing;
    }

    private static Argument<string> Version(string name, string description) => new(name) { Description = description };

    /// <summary>The latest run of the version that an argument names.</summary>
    private static ExperimentRecord Find(ExperimentListing listing, ParseResult call, Argument<string> version)
    {
        string digits = call.GetValue(version)!;
        if (digits.Length is 0 or > 64 || !digits.All(char.IsAsciiHexDigit))
            throw new UsageException($"{version.Name} is '{Said.Name(digits)}': use the first digits of a version, as list shows them");
        return ExperimentLog.Find(listing.Runs, digits);
    }
}
