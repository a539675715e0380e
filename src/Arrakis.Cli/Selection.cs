using System.CommandLine;
using Arrakis.Analysis;

namespace Arrakis.Cli;

/// <summary>How heads are selected by strength.</summary>
internal readonly record struct Selection(SelectionRule Rule, double Threshold)
{
    /// <summary>The rule's name as the command line writes it.</summary>
    public string RuleName => Rule switch
    {
        SelectionRule.Share => "share",
        SelectionRule.Top => "top",
        _ => "max",
    };

    /// <summary>What the rule means, for people.</summary>
    /// <param name="what">What the strengths measure: writing, reading.</param>
    public string Explain(string what) => Rule switch
    {
        SelectionRule.Share => $"the fewest heads that make up {Figures.Percent(Threshold, "0.##")} of the layer's {what}",
        SelectionRule.Top => $"the strongest {Figures.Percent(Threshold, "0.##")} of the layer's heads",
        _ => $"the heads at least {Figures.Percent(Threshold, "0.##")} as strong as the strongest",
    };
}

/// <summary>The options that select heads.</summary>
internal sealed class SelectionOptions
{
    private readonly Option<double> _threshold = OptionOf.Number("--threshold", "How much the selected heads make up", 0.8, value => value is > 0 and <= 1, "a number above 0, up to 1");
    private readonly Option<SelectionRule?> _rule = OptionOf.Choice(
        "--rule", "share: the fewest heads that make up the threshold of the layer; top: that part of the heads; max: those that strong beside the strongest",
        ("share", SelectionRule.Share), ("top", SelectionRule.Top), ("max", SelectionRule.Max));

    public void AddTo(Command command)
    {
        command.Add(_threshold);
        command.Add(_rule);
    }

    public Selection Of(ParseResult call) => new(call.GetValue(_rule) ?? SelectionRule.Share, call.GetValue(_threshold));
}
