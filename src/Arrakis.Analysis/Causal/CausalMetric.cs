using System.Globalization;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>A number out of one position's logits [V].</summary>
public delegate double LogitsMetric(ReadOnlySpan<float> logits);

/// <summary>A number out of all positions' logits.</summary>
/// <param name="ids">The input [T].</param>
/// <param name="logits">[T, V], row-major.</param>
public delegate double SequenceMetric(ReadOnlySpan<int> ids, ReadOnlySpan<float> logits);

/// <summary>
/// What a causal measure looks at: a logit, the difference of two, the loss, or any number of the logits. One that needs a single position, or few tokens, is
/// measured without computing the others.
/// </summary>
public sealed class CausalMetric
{
    private readonly int? _position;
    private readonly bool _everyPosition;
    private readonly SequenceMetric _measure;

    private CausalMetric(string name, int? position, bool everyPosition, int[] tokens, SequenceMetric measure)
    {
        if (position is { } p)
            ArgumentOutOfRangeException.ThrowIfNegative(p, nameof(position));
        (Name, _position, _everyPosition, Tokens, _measure) = (name, position, everyPosition, tokens, measure);
    }

    /// <summary>What it is, in a few words.</summary>
    public string Name { get; }

    /// <summary>The tokens whose logits are asked for, in the order in which they are given; empty for all.</summary>
    internal int[] Tokens { get; }

    /// <summary>Whether it is a logit or a difference of two, which is linear in the last norm's output.</summary>
    internal bool IsLinear => Tokens.Length > 0;

    /// <summary>The logit of a token.</summary>
    /// <param name="token">Which token.</param>
    /// <param name="position">At which position; null for the last.</param>
    public static CausalMetric Logit(int token, int? position = null) => new(Text($"logit of {token}"), position, false, [token], (_, logits) => logits[0]);

    /// <summary>The logit of a token less that of another.</summary>
    /// <param name="token">Which token.</param>
    /// <param name="other">What is taken off.</param>
    /// <param name="position">At which position; null for the last.</param>
    public static CausalMetric LogitDifference(int token, int other, int? position = null) =>
        new(Text($"logit of {token} less {other}"), position, false, [token, other], (_, logits) => (double)logits[0] - logits[1]);

    /// <summary>The mean of −ln p(next token) over all positions but the last, in nats.</summary>
    public static CausalMetric Loss { get; } = new("loss", null, true, [], MeanLoss);

    /// <summary>A metric of one position's logits.</summary>
    /// <param name="name">What it is, in a few words.</param>
    /// <param name="measure">Called from several threads at once.</param>
    /// <param name="position">Which position; null for the last.</param>
    public static CausalMetric Of(string name, LogitsMetric measure, int? position = null)
    {
        ArgumentNullException.ThrowIfNull(measure);
        return new(name, position, false, [], (_, logits) => measure(logits));
    }

    /// <summary>A metric of all positions' logits.</summary>
    /// <param name="name">What it is, in a few words.</param>
    /// <param name="measure">Called from several threads at once.</param>
    public static CausalMetric OfSequence(string name, SequenceMetric measure)
    {
        ArgumentNullException.ThrowIfNull(measure);
        return new(name, null, true, [], measure);
    }

    /// <summary>Refuses an input that it cannot be measured on.</summary>
    internal void Check(LlamaConfig config, int tokens)
    {
        foreach (int token in Tokens)
            Requirements.Token(config, token);
        if (_position >= tokens)
            throw new ArrakisException($"the metric's position {_position} is not in the input of {tokens} tokens: use 0 to {tokens - 1}");
        if (ReferenceEquals(this, Loss) && tokens < 2)
            throw new ArrakisException("the loss of one token is over no prediction: use at least two");
    }

    /// <summary>The positions whose logits it needs.</summary>
    internal Window Needed(int tokens) => _everyPosition ? new(0, tokens - 1) : new(_position ?? tokens - 1, _position ?? tokens - 1);

    /// <summary>The number, of a run's logits [T, V].</summary>
    internal double MeasureRun(ReadOnlySpan<int> ids, ReadOnlySpan<float> logits)
    {
        int vocabulary = logits.Length / ids.Length;
        Window needed = Needed(ids.Length);
        ReadOnlySpan<float> rows = logits.Slice(needed.First * vocabulary, needed.Length * vocabulary);
        if (Tokens.Length > 0)
        {
            float[] few = new float[Tokens.Length];
            for (int i = 0; i < few.Length; i++)
                few[i] = rows[Tokens[i]];
            rows = few;
        }

        double value = Measure(ids, rows);
        Requirements.Finite([value], Name);
        return value;
    }

    /// <summary>The number, of logits [needed, V], or [needed, Tokens] where it has tokens.</summary>
    internal double Measure(ReadOnlySpan<int> ids, ReadOnlySpan<float> logits) => _measure(ids, logits);

    private static double MeanLoss(ReadOnlySpan<int> ids, ReadOnlySpan<float> logits)
    {
        ReadOnlySpan<int> next = ids[1..];
        return LogitRow.Nats(next, logits[..(logits.Length / ids.Length * next.Length)]) / next.Length;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
