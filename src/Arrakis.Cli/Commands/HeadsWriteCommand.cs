using System.CommandLine;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis heads write</c>: the heads of a layer that put the most into the residual stream.</summary>
internal sealed class HeadsWriteCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly SelectionOptions _selection = new();
    private readonly Option<int> _layer = OptionOf.Integer("--layer", "The layer, from 0");
    private readonly Option<bool> _weightsOnly = new("--weights-only") { Description = "From the weights alone, by OV norm; needs no input" };

    public HeadsWriteCommand(Terminal terminal, Input input)
        : base("write", "The heads of a layer that put the most into the residual stream")
    {
        (_terminal, _input) = (terminal, input);
        Add(_layer);
        _selection.AddTo(this);
        Add(_weightsOnly);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        int layer = call.GetValue(_layer);
        Selection selection = _selection.Of(call);
        using LlamaModel model = _input.OpenModel(call);
        Requirements.Layer(model.Config, layer);
        Tokens tokens = _input.Tokens(call);
        int[] ids = [];
        HeadWrites writes;
        if (call.GetValue(_weightsOnly))
        {
            _input.WarnIfGiven(call, _terminal, "--weights-only");
            writes = _terminal.Work("heads", _ => HeadWrites.FromWeights(model, layer, _input.Analysis(call)));
        }
        else
        {
            ids = _input.ReadIds(call, model.Config);
            using LlamaSession session = model.CreateSession(RecordingPlan.Heads.ForLayers(layer, layer), _input.Session(call));
            _terminal.Forward(session, ids);
            writes = _terminal.Work("heads", _ => HeadWrites.Measure(model, session.Cache, layer, _input.Analysis(call)));
        }

        if (call.GetValue(_input.Json))
            _terminal.Write(WritesView.Document(writes, selection, tokens.Of(ids)));
        else
            WritesView.Tables(_terminal, writes, selection, ids, tokens);
    }
}
