namespace Arrakis.Native.Tests.Reference;

/// <summary>Rotary position embedding (Su et al. 2021) with the scalings of Hugging Face's <c>modeling_rope_utils</c>.</summary>
public static class ReferenceRotary
{
    /// <summary>ω_i [K/2]: θ^(−2i/K), scaled as the configuration says, then divided by <paramref name="divisors"/> if there are any.</summary>
    public static double[] Frequencies(LlamaConfig config, double[]? divisors = null)
    {
        double[] frequencies = new double[config.HeadDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double plain = Math.Pow(config.RopeTheta, -2.0 * i / config.HeadDim);
            frequencies[i] = Scale(plain, config.RopeScaling) / (divisors?[i] ?? 1);
        }

        return frequencies;
    }

    private static double Scale(double frequency, RopeScaling s)
    {
        if (s.Kind == RopeScalingKind.None)
            return frequency;
        if (s.Kind == RopeScalingKind.Linear)
            return frequency / s.Factor;

        // llama3: how often the wave fits into the context of the first training decides.
        double wavelength = 2 * Math.PI / frequency;
        double turns = s.OriginalMaxPositionEmbeddings / wavelength;
        if (turns < s.LowFreqFactor)
            return frequency / s.Factor;
        if (turns > s.HighFreqFactor)
            return frequency;
        double smooth = (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor);
        return (1 - smooth) * frequency / s.Factor + smooth * frequency;
    }

    /// <summary>One head's vector [K] turned to <paramref name="position"/>: (a, b) ↦ (a cos − b sin, b cos + a sin) on every pair of the layout.</summary>
    public static double[] Rotate(ReadOnlySpan<double> x, double position, double[] frequencies, RotaryLayout layout)
    {
        double[] y = new double[x.Length];
        for (int i = 0; i < frequencies.Length; i++)
        {
            (int a, int b) = layout == RotaryLayout.Halves ? (i, i + frequencies.Length) : (2 * i, 2 * i + 1);
            (double sin, double cos) = Math.SinCos(position * frequencies[i]);
            y[a] = x[a] * cos - x[b] * sin;
            y[b] = x[b] * cos + x[a] * sin;
        }

        return y;
    }

    /// <summary>R_δ, K×K: x R_δ is x turned by <paramref name="offset"/> positions; q R_{t−s} kᵀ is the score of a query at t with a key at s.</summary>
    public static Matrix Rotation(LlamaConfig config, double offset, double[]? divisors = null)
    {
        double[] frequencies = Frequencies(config, divisors);
        int k = config.HeadDim;
        double[][] rows = [.. Enumerable.Range(0, k).Select(i => Rotate(Vec.Unit(k, i), offset, frequencies, config.RotaryLayout))];
        return Matrix.Build(k, k, (r, c) => rows[r][c]);
    }
}
