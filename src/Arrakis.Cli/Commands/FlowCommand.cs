using System.CommandLine;
using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis flow</c>: how information flows from one position to another.</summary>
internal sealed class FlowCommand : Command
{
    private const int DefaultLayers = 2;

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<Position?> _source = OptionOf.Parsed<Position>("--src", "Where it starts", "S", Position.Parse, Position.Use);
    private readonly Option<Position?> _destination = OptionOf.Parsed<Position>("--dst", "Where it is measured", "D", Position.Parse, Position.Use);
    private readonly Option<int?> _layers = OptionOf.OptionalInteger("--layers", "Through how many layers; 2 if left out, or all from --from on for a token's logit", least: 1);
    private readonly Option<int> _from = OptionOf.Integer("--from", "Before which layer it starts", standard: 0);
    private readonly Option<MlpTreatment?> _mlp = OptionOf.Choice(
        "--mlp", "frozen: through the MLPs, frozen as they ran; source: past them, what they write being sources of their own",
        ("frozen", MlpTreatment.Frozen), ("source", MlpTreatment.Source));
    private readonly Option<FlowTarget?> _target = OptionOf.Parsed<FlowTarget>(
        "--target", "residual: a share of what stands there; token:ID: that token's logit; query:HEAD:KEY, key:HEAD:QUERY: a score of a head of the layer behind, from that side",
        "residual|token:ID|query:H:P|key:H:P", ParseTarget, "residual, token:ID such as token:42, query:HEAD:KEY or key:HEAD:QUERY");
    private readonly Option<int> _paths = OptionOf.Integer("--paths", "How many of the strongest paths to list", standard: 10, most: FlowTracer.MostPaths);
    private readonly Option<int> _edges = OptionOf.Integer("--edges", "How many of the strongest edges to list; 0 for all", standard: 200);
    private readonly Option<bool> _allSources = new("--all-sources") { Description = "The flow from every position too, and whether they add up to the whole" };

    public FlowCommand(Terminal terminal, Input input)
        : base("flow", "How information flows from one position to another: in all, by layer, by head, by edge and by path")
    {
        (_terminal, _input) = (terminal, input);
        _source.Required = _destination.Required = true;
        foreach (Option option in new Option[] { _source, _destination, _layers, _from, _mlp, _target, _paths, _edges, _allSources })
            Add(option);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        Position source = call.GetValue(_source)!.Value, destination = call.GetValue(_destination)!.Value;
        source.RequireBefore(destination);
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        Tokens tokens = _input.Tokens(call);
        (int src, int dst) = source.RequireBefore(destination, ids);
        FlowOptions options = Trace(call, model.Config);
        FlowCovector.Check(model.Config, ids.Length, dst, options);
        using LlamaSession session = model.CreateSession(Plan(options, model.Config), _input.Session(call));
        _terminal.Forward(session, ids);
        FlowTrace trace = _terminal.Work("flow", _ => FlowTracer.Trace(model, session.Cache, src, dst, options, _terminal.Cancellation));
        if (call.GetValue(_input.Json))
            _terminal.Write(FlowView.Pieces(trace, tokens.Of(ids)));
        else
            FlowView.Tables(_terminal, trace, ids, tokens);
    }

    /// <summary>What the trace needs recorded, and no more.</summary>
    internal static RecordingPlan Plan(FlowOptions options, LlamaConfig config)
    {
        int last = options.From + options.Layers - 1;
        bool isToken = options.Target.TokenId is not null;
        // Without the MLPs there is no need of what is inside them, unless their outputs are sources, or what stands after the last layer is the target.
        bool heads = options.Mlp == MlpTreatment.Source && !options.AllSources && (isToken || last < config.NumHiddenLayers - 1);
        RecordingPlan plan = (heads ? RecordingPlan.Heads : RecordingPlan.Flow).ForLayers(options.From, last);
        if (last + 1 < config.NumHiddenLayers)
            plan = plan.Union(Behind(options).ForLayers(last + 1, last + 1));
        // So that the sources are held against the logit that the model gave, not against one computed from the same stream.
        return isToken && options.AllSources ? plan.Union(RecordingPlan.Of(HookPoint.Logits)) : plan;
    }

    // Of the layer behind the flow: what stands there, or a score's other side and scale.
    private static RecordingPlan Behind(FlowOptions options) => options.Target.Score is not { } score
        ? RecordingPlan.Of(HookPoint.ResidPre)
        : RecordingPlan.Of([HookPoint.Ln1Scale, score.IsKey ? HookPoint.Q : HookPoint.K, .. options.AllSources ? new[] { HookPoint.ResidPre } : []]);

    private FlowOptions Trace(ParseResult call, LlamaConfig config)
    {
        FlowTarget target = call.GetValue(_target) ?? FlowTarget.Residual;
        int from = call.GetValue(_from), edges = call.GetValue(_edges);
        if (from >= config.NumHiddenLayers)
            throw new ArrakisException($"--from is {from}: this model has layers 0 to {config.NumHiddenLayers - 1}");
        int left = config.NumHiddenLayers - from, layers = call.GetValue(_layers) ?? DefaultLayersTo(target, left);
        if (layers > left)
            throw new ArrakisException($"--layers is {layers}: from layer {from} this model has {left}");
        return new FlowOptions
        {
            From = from,
            Layers = layers,
            Mlp = call.GetValue(_mlp) ?? MlpTreatment.Frozen,
            Target = target,
            Paths = call.GetValue(_paths),
            Edges = edges == 0 ? null : edges,
            AllSources = call.GetValue(_allSources),
            Compute = _input.Analysis(call),
        };
    }

    // To a logit through all; to a score through as many as leave a layer to read it.
    private static int DefaultLayersTo(FlowTarget target, int left) =>
        target.TokenId is not null ? left : Math.Min(DefaultLayers, target.Score is null ? left : Math.Max(1, left - 1));

    private static FlowTarget? ParseTarget(string text)
    {
        string[] parts = text.Split(':');
        int[] numbers = [.. parts.Skip(1).Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)];
        return (parts[0], numbers) switch
        {
            ("residual", []) => FlowTarget.Residual,
            ("token", [>= 0 and int id]) => FlowTarget.Token(id),
            ("query", [>= 0 and int head, >= 0 and int key]) => FlowTarget.Query(head, key),
            ("key", [>= 0 and int head, >= 0 and int query]) => FlowTarget.Key(head, query),
            _ => null,
        };
    }
}
