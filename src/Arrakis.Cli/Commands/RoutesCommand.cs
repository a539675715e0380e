using System.CommandLine;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis routes</c>: information flow routes (Ferrando and Voita 2024), for comparison with traced flow.</summary>
internal sealed class RoutesCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<Position?> _destination = OptionOf.Parsed<Position>("--dst", "The position that the routes reach, after the last layer", "D", Position.Parse, Position.Use);
    private readonly Option<double> _tau = OptionOf.Number("--tau", "Only edges heavier than this", 0.04, value => value is >= 0 and < 1, "a number from 0, below 1");

    public RoutesCommand(Terminal terminal, Input input)
        : base("routes", "Information flow routes: every contribution, and the part of the graph that reaches a position")
    {
        (_terminal, _input) = (terminal, input);
        _destination.Required = true;
        Add(_destination);
        Add(_tau);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        double tau = call.GetValue(_tau);
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        Tokens tokens = _input.Tokens(call);
        int dst = call.GetValue(_destination)!.Value.In(ids, "--dst");
        using LlamaSession session = model.CreateSession(RecordingPlan.Flow, _input.Session(call));
        _terminal.Forward(session, ids);
        (InformationFlowRoutes routes, IReadOnlyList<RouteEdge> edges) = _terminal.Work("routes", _ =>
        {
            InformationFlowRoutes measured = InformationFlowRoutes.Measure(model, session.Cache, _input.Analysis(call), _terminal.Cancellation);
            return (measured, measured.Edges(dst, tau));
        });
        if (call.GetValue(_input.Json))
            _terminal.Write(RoutesView.Pieces(routes, edges, dst, tau, tokens.Of(ids)));
        else
            RoutesView.Tables(_terminal, routes, edges, dst, tau, ids, tokens);
    }
}
