using Arrakis.Native;

namespace Arrakis.Text.Steps;

/// <summary>
/// How much longer steps may make a text. Each may write a few characters for one (at most 18, in Unicode's normal forms), so a file of many steps that feed one another could
/// ask for more than any memory holds.
/// </summary>
internal static class Growth
{
    private const long Beside = 4096, ForEach = 64;

    /// <summary>Refuses what a step of <paramref name="what"/> made of a text of <paramref name="from"/> characters.</summary>
    /// <exception cref="ArrakisException">It is too long.</exception>
    public static void Check(string what, int from, int to)
    {
        if (to > Beside + (ForEach * from))
            throw new ArrakisException($"the tokenizer's {what} makes {to} characters of {from}: supported is {Beside}, and {ForEach} for each");
    }
}
