using System.CommandLine;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis patch</c>: activation patching, and path patching from one head.</summary>
internal sealed class PatchCommand : Command
{
    private const int TableRows = 20;

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly MetricOptions _metric = new();
    private readonly OtherInputs _source;
    private readonly Option<string?> _point = new("--point") { Description = "What is patched: a hook name as in --record, such as z, v, mlp_out or resid_pre; z if left out", HelpName = "NAME" };
    private readonly Option<bool> _allHeads = new("--all-heads") { Description = "All heads of a layer together" };
    private readonly Option<bool> _allPositions = new("--all-positions") { Description = "All positions together" };
    private readonly Option<(int First, int Last)?> _layers = OptionOf.Layers("Only these layers");
    private readonly Option<(int Layer, int Head)?> _sender = OptionOf.Parsed<(int Layer, int Head)>(
        "--sender", "Path patching: this head's output is the source's, and only one receiver at a time sees it", "L.H", HeadsReadCommand.ParseHead, "a layer and a head, such as 0.3");
    private readonly Option<bool> _holdMlps = new("--hold-mlps") { Description = "With --sender: MLPs on the way keep their outputs" };
    private readonly Option<bool> _frozen = new("--frozen") { Description = "With --sender: patterns, norm scales and gates stay as they ran, so that paths add up" };
    private readonly Option<int?> _top = OptionOf.OptionalInteger("--top", $"Only the largest effects; {TableRows} in tables and all in JSON if left out", least: 1);

    public PatchCommand(Terminal terminal, Input input)
        : base("patch", "What a run recovers when one place after the other is given what stood there in another run")
    {
        (_terminal, _input) = (terminal, input);
        _source = new OtherInputs(input, "--source", "The input whose activations are taken, as long as the input that is patched");
        _source.AddTo(this);
        _metric.AddTo(this);
        foreach (Option option in new Option[] { _point, _allHeads, _allPositions, _layers, _sender, _holdMlps, _frozen, _top })
            Add(option);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        _source.RequireOne(call);
        HookPoint point = ParsePoint(call.GetValue(_point) ?? "z");
        bool paths = call.GetValue(_sender) is not null, json = call.GetValue(_input.Json);
        if (!paths && (call.GetValue(_holdMlps) || call.GetValue(_frozen)))
            throw new UsageException("--hold-mlps and --frozen are for paths: name their --sender, or leave them out");
        if (paths && (call.GetValue(_point) is not null || call.GetValue(_allHeads) || call.GetValue(_allPositions) || call.GetValue(_layers) is not null))
            throw new UsageException("--point, --all-heads, --all-positions and --layers are for places: leave them out with --sender");
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        int[] source = _source.Read(call, asLongAs: ids.Length)[0];
        Tokens tokens = _input.Tokens(call);
        // A place recovers what the source's run does, so that is whose token is looked at; a sender's paths change what the input's run does.
        CausalMetric metric = _metric.Of(call, model.Config, ids, at => AblateCommand.Likeliest(model, paths ? ids : source, at, _input.Session(call), _terminal.Cancellation));
        int top = call.GetValue(_top) ?? (json ? int.MaxValue : TableRows);
        if (call.GetValue(_sender) is { } sender)
        {
            var options = new PathOptions { HoldMlps = call.GetValue(_holdMlps), Frozen = call.GetValue(_frozen), Compute = _input.Analysis(call) };
            PathPatching patched = _terminal.Work("paths", _ => PathPatching.Measure(model, ids, source, metric, [sender], null, options, _terminal.Cancellation));
            if (json)
                _terminal.Write(PatchView.Document(patched, sender, top, ids, source, tokens));
            else
                PatchView.Tables(_terminal, patched, sender, top, ids, source, tokens);
            return;
        }

        ActivationPatching places = _terminal.Work("patching", _ => ActivationPatching.Measure(model, source, ids, metric, Places(call, point), _terminal.Cancellation));
        if (json)
            _terminal.Write(PatchView.Pieces(places, top, ids, source, tokens));
        else
            PatchView.Tables(_terminal, places, top, ids, source, tokens);
    }

    private PatchingOptions Places(ParseResult call, HookPoint point) => new()
    {
        Point = point,
        ByHead = !call.GetValue(_allHeads),
        ByPosition = !call.GetValue(_allPositions),
        Layers = call.GetValue(_layers),
        Compute = _input.Analysis(call),
    };

    /// <summary>A hook point's name; what it does not know is a wrong call.</summary>
    private static HookPoint ParsePoint(string text)
    {
        try
        {
            return HookNames.ParseShort(text);
        }
        catch (ArrakisException e)
        {
            throw new UsageException($"--point: {e.Message}");
        }
    }
}
