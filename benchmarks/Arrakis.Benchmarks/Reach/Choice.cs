using System.CommandLine;
using Arrakis.Benchmarks.Measuring;

namespace Arrakis.Benchmarks.Reach;

/// <summary>The options that say what is measured and for how long.</summary>
internal sealed class Choice
{
    private readonly Option<string> _only = new("--only") { Description = "Only what has this in its name", HelpName = "PATTERN", DefaultValueFactory = _ => "" };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Rounds of a group of claims at the most", HelpName = "N", DefaultValueFactory = _ => 60 };
    private readonly Option<double> _seconds = new("--seconds")
    {
        Description = "After which a group begins no further round; a few take a multiple of it, and none fewer than 5 rounds unless --rounds is less",
        HelpName = "S",
        DefaultValueFactory = _ => 10,
    };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _only, _rounds, _seconds })
            command.Add(option);
        _rounds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1)
                result.AddError("--rounds takes a number of at least 1");
        });
    }

    public Func<string, bool> Only(ParseResult call)
    {
        string pattern = call.GetValue(_only)!;
        return name => name.Contains(pattern, StringComparison.OrdinalIgnoreCase);
    }

    public Effort Effort(ParseResult call) => new(call.GetValue(_rounds), call.GetValue(_seconds));
}
