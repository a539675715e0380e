using System.CommandLine;
using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis ablate</c>: what becomes of a logit or the loss when each head by itself is taken away.</summary>
internal sealed class AblateCommand : Command
{
    private const int TableRows = 20;

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly MetricOptions _metric = new();
    private readonly Option<AblationKind?> _kind = OptionOf.Choice(
        "--kind", "What takes a head's place: nothing, its mean over the references, or its output on each of them",
        ("zero", AblationKind.Zero), ("mean", AblationKind.Mean), ("resample", AblationKind.Resample));
    private readonly OtherInputs _references;
    private readonly Option<int?> _top = OptionOf.OptionalInteger("--top", $"Only the heads of the largest effect; {TableRows} in tables and all in JSON if left out", least: 1);

    public AblateCommand(Terminal terminal, Input input)
        : base("ablate", "What becomes of a logit or the loss when each head is taken away, beside what the frozen network attributes to it")
    {
        (_terminal, _input) = (terminal, input);
        _references = new OtherInputs(input, "--reference", "Another input, for mean and resample", "; may be given several times. For mean the input itself stands in");
        _metric.AddTo(this);
        Add(_kind);
        _references.AddTo(this);
        Add(_top);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        AblationKind kind = call.GetValue(_kind) ?? AblationKind.Zero;
        if (kind == AblationKind.Zero && _references.Count(call) > 0)
            throw new UsageException("--reference is for --kind mean or resample: name one of them, or leave it out");
        if (kind == AblationKind.Resample && _references.Count(call) == 0)
            throw new UsageException("--kind resample takes heads' outputs from other inputs: give at least one --reference of the input's length");
        bool json = call.GetValue(_input.Json);
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        int[][] references = _references.Read(call, asLongAs: kind == AblationKind.Resample ? ids.Length : null);
        Tokens tokens = _input.Tokens(call);
        var options = new AblationOptions { Kind = kind, References = references, Compute = _input.Analysis(call) };
        CausalMetric metric = _metric.Of(call, model.Config, ids, at => Likeliest(model, ids, at, _input.Session(call), _terminal.Cancellation));
        HeadAttribution? attribution = null;
        HeadAblation? ablation = null;
        _terminal.Work("ablation", _ =>
        {
            if (!metric.IsLinear)
                ablation = HeadAblation.Measure(model, ids, metric, options, _terminal.Cancellation);
            else
                attribution = HeadAttribution.Measure(model, ids, metric, options, _terminal.Cancellation);
            return 0;
        });
        var view = new AblateView(metric, kind, ablation, attribution, ids, tokens);
        int top = call.GetValue(_top) ?? (json ? int.MaxValue : TableRows);
        if (json)
            _terminal.Write(view.Document(top));
        else
            view.Tables(_terminal, top);
    }

    /// <summary>The token of the largest logit at a position.</summary>
    internal static int Likeliest(LlamaModel model, int[] ids, int at, SessionOptions options, CancellationToken cancellation)
    {
        using LlamaSession session = model.CreateSession(null, options);
        return TensorPrimitives.IndexOfMax(session.Forward(ids.AsSpan(0, at + 1), cancellation));
    }
}
