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
    private readonly Option<string[]> _references = new("--reference")
    {
        Description = "Another input, as 1,2,3, for mean and resample; may be given several times. For mean the input itself stands in",
        HelpName = "LIST",
    };
    private readonly Option<int?> _top = OptionOf.OptionalInteger("--top", $"Only the heads of the largest effect; {TableRows} in tables and all in JSON if left out", least: 1);

    public AblateCommand(Terminal terminal, Input input)
        : base("ablate", "What becomes of a logit or the loss when each head is taken away, beside what the frozen network attributes to it")
    {
        (_terminal, _input) = (terminal, input);
        _metric.AddTo(this);
        foreach (Option option in new Option[] { _kind, _references, _top })
            Add(option);
        input.AddTo(this);
        SetAction(Run);
    }

    private void Run(ParseResult call)
    {
        AblationKind kind = call.GetValue(_kind) ?? AblationKind.Zero;
        int[][] references = [.. (call.GetValue(_references) ?? []).Select(list => Input.ReadList(list, "--reference"))];
        if (kind == AblationKind.Zero && references.Length > 0)
            throw new UsageException("--reference is for --kind mean or resample: name one of them, or leave it out");
        if (kind == AblationKind.Resample && references.Length == 0)
            throw new UsageException("--kind resample takes heads' outputs from other inputs: give at least one --reference of the input's length");
        bool json = call.GetValue(_input.Json);
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        var options = new AblationOptions { Kind = kind, References = references, Compute = _input.Analysis(call) };
        CausalMetric metric = _metric.Of(call, model.Config, ids, at => Likeliest(model, ids, at, _input.Session(call)));
        HeadAttribution? attribution = null;
        HeadAblation? ablation = null;
        _terminal.Work("ablation", _ =>
        {
            if (ReferenceEquals(metric, CausalMetric.Loss))
                ablation = HeadAblation.Measure(model, ids, metric, options, _terminal.Cancellation);
            else
                attribution = HeadAttribution.Measure(model, ids, metric, options, _terminal.Cancellation);
            return 0;
        });
        int top = call.GetValue(_top) ?? (json ? int.MaxValue : TableRows);
        AblatedHead[] heads = attribution is not null ? AblatedHead.Of(attribution) : AblatedHead.Of(ablation!);
        if (json)
            _terminal.Write(AblateView.Document(metric, kind, attribution?.Baseline ?? ablation!.Baseline, heads, attribution, top));
        else
            AblateView.Tables(_terminal, metric, kind, attribution?.Baseline ?? ablation!.Baseline, heads, attribution, top);
    }

    /// <summary>The token of the largest logit at a position.</summary>
    internal static int Likeliest(LlamaModel model, int[] ids, int at, SessionOptions options)
    {
        using LlamaSession session = model.CreateSession(null, options);
        return TensorPrimitives.IndexOfMax(session.Forward(ids.AsSpan(0, at + 1)));
    }
}
