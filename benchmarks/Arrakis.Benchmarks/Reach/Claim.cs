using System.Globalization;

namespace Arrakis.Benchmarks.Reach;

/// <summary>Which side of the wanted figure is good.</summary>
internal enum Bound
{
    /// <summary>At least the wanted figure.</summary>
    AtLeast,

    /// <summary>At most the wanted figure.</summary>
    AtMost,

    /// <summary>Nothing is wanted: the figure explains another, or is a peer's.</summary>
    None,
}

/// <summary>One line of the table: what was wanted, and what was measured.</summary>
/// <param name="Name">What is claimed.</param>
/// <param name="Measured">The figure.</param>
/// <param name="Bound">Which side of <paramref name="Wanted"/> is good.</param>
/// <param name="Wanted">The figure that is wanted; 0 without a bound.</param>
/// <param name="Note">What the figure is made of.</param>
internal sealed record Claim(string Name, double Measured, Bound Bound = Bound.None, double Wanted = 0, string Note = "")
{
    /// <summary>The table's first lines.</summary>
    public static string Header { get; } = $"| {"claim",-64} | wanted    | measured  | ok  | of which\n|{new string('-', 66)}|-----------|-----------|-----|---";

    /// <summary>Whether it is reached; null where nothing is wanted.</summary>
    public bool? Reached => Bound switch
    {
        Bound.AtLeast => Measured >= Wanted,
        Bound.AtMost => Measured <= Wanted,
        _ => null,
    };

    /// <summary>The claim as a line of the table.</summary>
    public override string ToString()
    {
        string wanted = Bound switch
        {
            Bound.AtLeast => $"≥ {Figure(Wanted)}",
            Bound.AtMost => $"≤ {Figure(Wanted)}",
            _ => "",
        };
        string ok = Reached switch
        {
            true => "yes",
            false => "NO",
            _ => "",
        };
        return $"| {Name,-64} | {wanted,-9} | {Figure(Measured),-9} | {ok,-3} | {Note}";
    }

    /// <summary>A ratio with three decimals, anything large with none.</summary>
    public static string Figure(double value) => value.ToString(value < 100 ? "F3" : "N0", CultureInfo.InvariantCulture);
}
