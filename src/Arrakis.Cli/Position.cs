using System.Globalization;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>A place in the input as a call names it: counted from 0, from the end where negative, or as the first occurrence of a token.</summary>
internal readonly record struct Position
{
    /// <summary>How it is written.</summary>
    public const string Use = "a position such as 3, -1 for the last, or token:ID";

    private const string TokenPrefix = "token:";

    /// <summary>The last one.</summary>
    public static Position Last { get; } = new(-1, false);

    private Position(int value, bool isToken) => (Value, IsToken) = (value, isToken);

    private int Value { get; }

    private bool IsToken { get; }

    public static Position? Parse(string text)
    {
        if (text.StartsWith(TokenPrefix, StringComparison.Ordinal))
            return int.TryParse(text.AsSpan(TokenPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int id) ? new(id, true) : null;
        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int at) ? new(at, false) : null;
    }

    /// <summary>Refuses a call whose source, this one, lies after its destination in every input.</summary>
    public void RequireBefore(Position destination)
    {
        if (!IsToken && !destination.IsToken && (Value < 0) == (destination.Value < 0) && Value > destination.Value)
            throw new UsageException($"--src {this} comes after --dst {destination}: a token is only read by those after it; swap them");
    }

    /// <summary>Both positions in this input, from 0; refuses a call whose source, this one, lies after its destination there.</summary>
    public (int Source, int Destination) RequireBefore(Position destination, ReadOnlySpan<int> ids)
    {
        int src = In(ids, "--src"), dst = destination.In(ids, "--dst");
        return src <= dst
            ? (src, dst)
            : throw new UsageException($"--src {this} is position {src}, after --dst {destination} at {dst}: a token is only read by those after it; swap them");
    }

    /// <inheritdoc/>
    public override string ToString() => (IsToken ? TokenPrefix : "") + Value.ToString(CultureInfo.InvariantCulture);

    /// <summary>The position in this input, from 0.</summary>
    public int In(ReadOnlySpan<int> ids, string option)
    {
        if (IsToken)
        {
            int first = ids.IndexOf(Value);
            return first >= 0 ? first : throw new ArrakisException($"{option} is {this}, which is not in the input: name a token that is, or a position");
        }

        int at = Value < 0 ? ids.Length + Value : Value;
        return (uint)at < (uint)ids.Length
            ? at
            : throw new ArrakisException($"{option} is {Value}, outside the input of {ids.Length} tokens: use 0 to {ids.Length - 1}, or -{ids.Length} to -1 from the end");
    }
}
