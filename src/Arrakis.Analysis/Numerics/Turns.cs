using Arrakis.Native;

namespace Arrakis.Analysis.Numerics;

/// <summary>Rotary turns in double precision: by a distance, not from a table of positions.</summary>
internal static class Turns
{
    /// <summary>K / 2 cosines and then as many sines of <paramref name="distance"/> · ω.</summary>
    public static void Fill(Span<double> turns, double distance, ReadOnlySpan<double> frequencies)
    {
        for (int i = 0; i < frequencies.Length; i++)
            (turns[frequencies.Length + i], turns[i]) = Math.SinCos(distance * frequencies[i]);
    }

    /// <summary>Pairs (a, b) become (a cos − b sin, b cos + a sin).</summary>
    public static void Apply(Span<double> row, ReadOnlySpan<double> turns, RotaryLayout layout)
    {
        int half = row.Length / 2;
        for (int i = 0; i < half; i++)
        {
            (int a, int b) = layout == RotaryLayout.Halves ? (i, i + half) : (2 * i, 2 * i + 1);
            (double cos, double sin) = (turns[i], turns[half + i]);
            (row[a], row[b]) = (row[a] * cos - row[b] * sin, row[b] * cos + row[a] * sin);
        }
    }
}
