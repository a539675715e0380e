using System.Globalization;

namespace Arrakis.Cli;

/// <summary>Numbers as people read them.</summary>
internal static class Figures
{
    /// <summary>A size, or a part of one.</summary>
    public static string Size(double value) => Digits(value, "", "0.000");

    /// <summary>A share that may oppose: with its sign.</summary>
    public static string Share(double value) => Digits(value, "+", "0.000");

    /// <summary>A flow that may oppose: with its sign, and a digit more.</summary>
    public static string Flow(double value) => Digits(value, "+", "0.0000");

    /// <summary>A share of a whole that is all of one sign.</summary>
    public static string Percent(double share, string format = "0.0") => (100 * share).ToString(format, CultureInfo.InvariantCulture) + " %";

    /// <summary>A number to six significant digits, for comparison with another.</summary>
    public static string Significant(double value) => value.ToString("g6", CultureInfo.InvariantCulture);

    /// <summary>How far an identity is off.</summary>
    public static string Error(double value) => value == 0 ? "0" : value.ToString("0.0e-0", CultureInfo.InvariantCulture);

    public static string Whole(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Digits(double value, string plus, string usual)
    {
        double size = Math.Abs(value);
        if (size == 0)
            return "0";
        string format = size switch
        {
            < 1e-3 => "0.0e-0",
            < 100 => usual,
            < 1e5 => "0.0",
            _ => "0.00e+0",
        };
        return (value < 0 ? "-" : plus) + size.ToString(format, CultureInfo.InvariantCulture);
    }
}
