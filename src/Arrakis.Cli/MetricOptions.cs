using System.CommandLine;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The options that say what a causal measure looks at.</summary>
internal sealed class MetricOptions
{
    private readonly Option<int?> _token = OptionOf.OptionalInteger("--token", "The logit of this token; the one that the model finds likeliest if left out");
    private readonly Option<int?> _minus = OptionOf.OptionalInteger("--minus", "... less the logit of this one");
    private readonly Option<Position?> _at = OptionOf.Parsed<Position>("--at", "The position whose logits are looked at; the last if left out", "P", Position.Parse, Position.Use);
    private readonly Option<bool> _loss = new("--loss") { Description = "The mean of -ln p(next token) over all positions instead" };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _token, _minus, _at, _loss })
            command.Add(option);
    }

    /// <summary>What the call asks for.</summary>
    /// <param name="call">The call.</param>
    /// <param name="config">The model's shape.</param>
    /// <param name="ids">The input.</param>
    /// <param name="likeliest">The token that the model finds likeliest at a position.</param>
    public CausalMetric Of(ParseResult call, LlamaConfig config, int[] ids, Func<int, int> likeliest)
    {
        int? token = call.GetValue(_token), minus = call.GetValue(_minus);
        if (call.GetValue(_loss))
        {
            if (token is not null || minus is not null || call.GetValue(_at) is not null)
                throw new UsageException("--loss is over all tokens and positions: leave out --token, --minus and --at, or leave it out");
            return CausalMetric.Loss;
        }

        // Before the model is asked anything.
        if (minus is { } known)
            Requirements.Token(config, known);
        int at = call.GetValue(_at)?.In(ids, "--at") ?? ids.Length - 1;
        int wanted = token ?? likeliest(at);
        return minus is { } other ? CausalMetric.LogitDifference(wanted, other, at) : CausalMetric.Logit(wanted, at);
    }
}
