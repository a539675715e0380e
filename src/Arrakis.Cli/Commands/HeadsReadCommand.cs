using System.CommandLine;
using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis heads read</c>: the heads of a layer that read a direction of the residual stream the most.</summary>
internal sealed class HeadsReadCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly SelectionOptions _selection = new();
    private readonly Option<int> _layer = OptionOf.Integer("--layer", "The layer, from 0");
    private readonly Option<int?> _dim = OptionOf.OptionalInteger("--dim", "Read what: a dimension of the residual stream");
    private readonly Option<(int Layer, int Head)?> _head = OptionOf.Parsed<(int Layer, int Head)>(
        "--head", "Read what: the write of a head of a layer below", "L.H", ParseHead, "a layer and a head, such as 0.3");
    private readonly Option<int?> _token = OptionOf.OptionalInteger("--token", "Read what: a token's embedding");
    private readonly Option<int?> _unembedding = OptionOf.OptionalInteger("--unembedding", "Read what: a token's unembedding");
    private readonly Option<HeadInputs?> _via = OptionOf.Parsed<HeadInputs>("--via", "Through which inputs; all if left out", "q,k,v", ParseInputs, "q, k, v or several, such as q,k");
    private readonly Option<bool> _weightsOnly = new("--weights-only") { Description = "Read weights alone, without the shares of a run; needs no input" };

    public HeadsReadCommand(Terminal terminal, Input input)
        : base("read", "The heads of a layer that read a direction of the residual stream the most")
    {
        (_terminal, _input) = (terminal, input);
        foreach (Option option in new Option[] { _layer, _dim, _head, _token, _unembedding, _via })
            Add(option);
        _selection.AddTo(this);
        Add(_weightsOnly);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        int layer = call.GetValue(_layer);
        ReadDirection direction = Direction(call, layer);
        HeadInputs inputs = call.GetValue(_via) ?? HeadInputs.All;
        Selection selection = _selection.Of(call);
        using LlamaModel model = _input.OpenModel(call);
        Requirements.Layer(model.Config, layer);
        Tokens tokens = _input.Tokens(call);
        int[] ids = [];
        HeadReads reads;
        if (call.GetValue(_weightsOnly))
        {
            _input.WarnIfGiven(call, _terminal, "--weights-only");
            reads = _terminal.Work("heads", _ => HeadReads.FromWeights(model, layer, direction, inputs, _input.Analysis(call)));
        }
        else
        {
            ids = _input.ReadIds(call, model.Config);
            RecordingPlan plan = RecordingPlan.Heads.ForLayers(layer, layer);
            if (direction.Writer is var (below, _))
                plan = plan.Union(RecordingPlan.Of(HookPoint.Z).ForLayers(below, below));
            using LlamaSession session = model.CreateSession(plan, _input.Session(call));
            _terminal.Forward(session, ids);
            reads = _terminal.Work("heads", _ => HeadReads.Measure(model, session.Cache, layer, direction, inputs, _input.Analysis(call)));
        }

        if (call.GetValue(_input.Json))
            _terminal.Write(ReadsView.Document(reads, selection, tokens.Of(ids)));
        else
            ReadsView.Tables(_terminal, reads, selection, ids, tokens);
    }

    private ReadDirection Direction(ParseResult call, int layer)
    {
        var given = new List<ReadDirection>();
        if (call.GetValue(_dim) is { } dim)
            given.Add(ReadDirection.Dimension(dim));
        if (call.GetValue(_head) is var (below, head))
        {
            if (below >= layer)
                throw new UsageException($"--head is {below}.{head}: layer {layer} reads what heads of the layers below it wrote; name one of those");
            given.Add(ReadDirection.HeadWrite(below, head));
        }

        if (call.GetValue(_token) is { } token)
            given.Add(ReadDirection.Embedding(token));
        if (call.GetValue(_unembedding) is { } unembedding)
            given.Add(ReadDirection.Unembedding(unembedding));
        const string Use = "give one of --dim I, --head L.H, --token ID and --unembedding ID";
        return given.Count switch
        {
            1 => given[0],
            0 => throw new UsageException($"nothing to read: {Use}"),
            _ => throw new UsageException($"several directions to read: {Use}"),
        };
    }

    internal static (int Layer, int Head)? ParseHead(string text)
    {
        string[] parts = text.Split('.');
        return parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int layer)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int head)
            ? (layer, head)
            : null;
    }

    private static HeadInputs? ParseInputs(string text)
    {
        HeadInputs inputs = 0;
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            HeadInputs? input = part switch
            {
                "q" => HeadInputs.Q,
                "k" => HeadInputs.K,
                "v" => HeadInputs.V,
                _ => null,
            };
            if (input is null)
                return null;
            inputs |= input.Value;
        }

        return inputs;
    }
}
