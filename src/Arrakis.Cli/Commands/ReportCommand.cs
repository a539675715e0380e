using System.CommandLine;
using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;
using Arrakis.Report;
using Spectre.Console;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis report</c>: one self-contained page of one run, and its numbers.</summary>
internal sealed class ReportCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly SelectionOptions _selection = new();
    private readonly Option<string> _output = new("--output", "-o") { Description = "The page to write", HelpName = "FILE.html", Required = true };
    private readonly Option<string?> _data = new("--data") { Description = "Write the numbers behind the page as JSON too", HelpName = "FILE" };
    private readonly Option<string?> _graph = new("--graph") { Description = "Write the flow as an attribution graph in Neuronpedia's schema too", HelpName = "FILE" };
    private readonly Option<Position?> _destination = OptionOf.Parsed<Position>(
        "--dst", "The position whose prediction is taken apart [default: -1]", "D", Position.Parse, Position.Use);
    private readonly Option<Position?> _source = OptionOf.Parsed<Position>(
        "--src", "The position whose flow the page opens with [default: the one that contributes the most]", "S", Position.Parse, Position.Use);
    private readonly Option<int?> _token = OptionOf.OptionalInteger("--token", "The token whose logit is taken apart; the predicted one if left out");
    private readonly Option<int?> _dimension = OptionOf.OptionalInteger("--dim", "The dimension whose readers the page opens with");
    private readonly Option<int> _traces = OptionOf.Integer("--traces", "From how many positions the flow is traced", standard: 8, least: 1);
    private readonly Option<MlpTreatment?> _mlp = OptionOf.Choice(
        "--mlp", "frozen: through the MLPs, frozen as they ran; source: past them, what they write being sources of their own",
        ("frozen", MlpTreatment.Frozen), ("source", MlpTreatment.Source));
    private readonly Option<bool> _noCompose = new("--no-compose") { Description = "Leave out composition, which takes the longest on large models" };

    public ReportCommand(Terminal terminal, Input input)
        : base("report", "One self-contained HTML page: predictions, attention, who writes, who reads, and what one logit is made of")
    {
        (_terminal, _input) = (terminal, input);
        foreach (Option option in new Option[] { _output, _data, _graph, _destination, _token, _source, _dimension, _traces, _mlp, _noCompose })
            Add(option);
        _selection.AddTo(this);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        string output = call.GetValue(_output)!;
        string?[] places = [output, call.GetValue(_data), call.GetValue(_graph)];
        _input.CheckPlaces(call, ("--output", places[0]), ("--data", places[1]), ("--graph", places[2]));
        if (places.OfType<string>().Select(Path.GetFullPath).Distinct().Count() < places.OfType<string>().Count())
            throw new UsageException("--output, --data and --graph name the same file: give each its own");
        Position? source = call.GetValue(_source);
        Position destination = call.GetValue(_destination) ?? Position.Last;
        source?.RequireBefore(destination);
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.IsGiven(call) ? _input.ReadIds(call, model.Config) : Story.DefaultPrompt(model.Config, _input.Tokens(call), call.GetValue(_input.Seed));
        source?.RequireBefore(destination, ids);
        ReportOptions options = Wanted(call, ids);
        using LlamaSession session = model.CreateSession(HeadReport.Plan, _input.Session(call));
        HeadReport report = _terminal.Work("report", progress =>
        {
            session.Forward(ids, _terminal.Cancellation);
            return HeadReport.Measure(model, session.Cache, options, progress, _terminal.Cancellation);
        });

        WholeFiles.Write(
            _terminal.Cancellation,
            (places[0], stream => ReportPage.Write(report, stream)),
            (places[1], stream => ReportData.Write(report, stream)),
            (places[2], stream => AttributionGraph.Write(report, stream)));
        if (call.GetValue(_input.Json))
            _terminal.Write(Document(report, places));
        else
            Say(report, places);
    }

    private ReportOptions Wanted(ParseResult call, int[] ids)
    {
        Selection selection = _selection.Of(call);
        Tokens tokens = _input.Tokens(call);
        return new ReportOptions
        {
            Label = tokens.Tokenizer is null ? null : id => tokens[id] ?? Figures.Invariant($"{id}"),
            Prompt = tokens.Tokenizer?.Decode(ids),
            Destination = call.GetValue(_destination)?.In(ids, "--dst"),
            Source = call.GetValue(_source)?.In(ids, "--src"),
            Token = call.GetValue(_token),
            Dimension = call.GetValue(_dimension),
            Traces = call.GetValue(_traces),
            Mlp = call.GetValue(_mlp) ?? MlpTreatment.Frozen,
            Composition = !call.GetValue(_noCompose),
            Rule = selection.Rule,
            Threshold = selection.Threshold,
            Compute = _input.Analysis(call),
        };
    }

    private static JsonObject Document(HeadReport report, string?[] places) => new()
    {
        ["page"] = places[0],
        ["data"] = places[1],
        ["graph"] = places[2],
        ["bytes"] = new FileInfo(places[0]!).Length,
        ["position"] = report.Logit.Position,
        ["token"] = report.Logit.Token.Id,
        ["src"] = report.Flows[0].Trace.Source,
        ["left_out"] = Json.Array(report.LeftOut.Select(sentence => JsonValue.Create(sentence))),
    };

    private void Say(HeadReport report, string?[] places)
    {
        string[] what = ["The page", "Its numbers", "Its graph"];
        for (int i = 0; i < places.Length; i++)
        {
            if (places[i] is { } place)
                _terminal.Line(Markup.Escape(Figures.Invariant($"{what[i] + ":",-13}{place} ({Figures.Whole((new FileInfo(place).Length + 1023) / 1024)} KB)")));
        }

        foreach (string sentence in report.LeftOut)
            _terminal.Line(Markup.Escape($"Left out:    {sentence}"));
    }
}
