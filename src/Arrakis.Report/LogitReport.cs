using System.Globalization;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>One logit, and what every token of the prompt contributes to it.</summary>
/// <param name="Position">At which position.</param>
/// <param name="Token">The token whose logit it is.</param>
/// <param name="Trace">
/// The flow to it through all layers with the flow of every source: see <see cref="FlowTrace.Sources"/>, <see cref="FlowTrace.MlpSources"/> and
/// <see cref="FlowTrace.Conservation"/>.
/// </param>
/// <param name="Direct">What every head and MLP adds to it by what they write at that position: parts of the same logit, taken the other way.</param>
public sealed record LogitReport(int Position, TokenCandidate Token, FlowTrace Trace, DirectLogitAttribution Direct)
{
    internal static LogitReport Measure(LlamaModel model, ActivationCache cache, TokenReport[] tokens, ReportOptions options, CancellationToken cancellation)
    {
        int position = options.Destination ?? tokens.Length - 1;
        if ((uint)position >= (uint)tokens.Length)
            throw new ArrakisException($"the destination is {position}, outside the input of {tokens.Length} tokens: use 0 to {tokens.Length - 1}");
        int token = options.Token ?? tokens[position].Top[0].Id;
        if ((uint)token >= (uint)model.Config.VocabSize)
            throw new ArrakisException($"token {token} is outside the vocabulary of {model.Config.VocabSize}");
        FlowOptions flow = Flow(model.Config, token, options) with { AllSources = true, Paths = 0, Edges = 0 };
        return new LogitReport(
            position,
            TokenReport.Of(cache, model.Config, position, token, options.Label ?? (id => id.ToString(CultureInfo.InvariantCulture))),
            FlowTracer.Trace(model, cache, position, position, flow, cancellation),
            DirectLogitAttribution.Measure(model, cache, position, token, options.Compute));
    }

    /// <summary>A trace through all layers to the logit.</summary>
    internal static FlowOptions Flow(LlamaConfig config, int token, ReportOptions options) => new()
    {
        Layers = config.NumHiddenLayers,
        Target = FlowTarget.Token(token),
        Mlp = options.Mlp,
        Compute = options.Compute,
    };
}
