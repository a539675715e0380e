using System.CommandLine;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis compose</c>: which heads read what which other heads write, by the weights alone.</summary>
internal sealed class ComposeCommand : Command
{
    private const int TableRows = 20;

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<(int First, int Last)?> _layers = OptionOf.Layers("Only heads of these layers");
    // Keys first: it is through them that an induction head finds what a previous token head wrote.
    private readonly Option<CompositionKind?> _kind = OptionOf.Choice(
        "--kind", "Through which input the later head reads", ("k", CompositionKind.K), ("q", CompositionKind.Q), ("v", CompositionKind.V));
    private readonly Option<int?> _top = OptionOf.OptionalInteger("--top", $"Only the highest scores; {TableRows} in tables and all in JSON if left out", least: 1);
    private readonly Option<int> _offset = OptionOf.Integer("--offset", "How many tokens the query comes after the key, for q and k", standard: 0);

    public ComposeCommand(Terminal terminal, Input input)
        : base("compose", "Composition scores of every pair of heads, from the weights alone; needs no input")
    {
        (_terminal, _input) = (terminal, input);
        foreach (Option option in new Option[] { _layers, _kind, _top, _offset })
            Add(option);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        CompositionKind kind = call.GetValue(_kind) ?? CompositionKind.K;
        int offset = call.GetValue(_offset);
        bool json = call.GetValue(_input.Json);
        using LlamaModel model = _input.OpenModel(call);
        _input.WarnIfGiven(call, _terminal, "compose");
        (int first, int last) = call.GetValue(_layers) ?? (0, model.Config.NumHiddenLayers - 1);
        IReadOnlyList<CompositionScore> scores = _terminal.Work(
            "composition", progress => HeadComposition.Measure(model, kind, first, last, offset, _input.Analysis(call), progress, _terminal.Cancellation),
            Pairs(model.Config, first, last), "pairs");
        int top = call.GetValue(_top) ?? (json ? scores.Count : TableRows);
        if (json)
            _terminal.Write(ComposeView.Pieces(kind, offset, scores, top));
        else
            ComposeView.Tables(_terminal, kind, offset, scores, top);
    }

    /// <summary>How many pairs of heads there are of which one is in a layer above the other's.</summary>
    private static long Pairs(LlamaConfig config, int first, int last)
    {
        long layers = Math.Max(0, last - first + 1);
        return layers * (layers - 1) / 2 * config.NumAttentionHeads * config.NumAttentionHeads;
    }
}
