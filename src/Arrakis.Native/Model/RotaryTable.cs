namespace Arrakis.Native.Model;

/// <summary>
/// Cosines and sines of position · frequency, [positions, K / 2], computed in double precision: θ^(−2i/K) (Su et al. 2021), scaled as the
/// configuration says. Grows on request; a table handed out stays valid.
/// </summary>
internal sealed class RotaryTable
{
    private readonly double[] _frequencies;
    private readonly Lock _growing = new();
    private volatile Values _values;

    /// <param name="config">The model's shape.</param>
    /// <param name="divisors">What each frequency is divided by beside that, as GGUF's <c>rope_freqs</c> has it; null for nothing.</param>
    public RotaryTable(LlamaConfig config, float[]? divisors)
    {
        _frequencies = PlainFrequencies(config);
        for (int i = 0; i < divisors?.Length; i++)
            _frequencies[i] /= divisors[i];
        _values = new Values(_frequencies.Length, 0);
    }

    /// <summary>ω [K / 2]: the pair i of a vector at position p stands turned by p · ω[i].</summary>
    public ReadOnlySpan<double> Frequencies => _frequencies;

    /// <summary>A table of at least <paramref name="positions"/> positions.</summary>
    /// <exception cref="ArrakisException">It is longer than an array may be.</exception>
    public Values For(int positions)
    {
        if (_values.Positions >= positions)
            return _values;
        lock (_growing)
        {
            if (_values.Positions < positions)
            {
                int most = Array.MaxLength / _frequencies.Length;
                if (positions > most)
                    throw new ArrakisException($"{positions} positions of heads {2 * _frequencies.Length} wide are more than the {most} that fit in one rotary table: use fewer tokens");
                var grown = new Values(_frequencies.Length, Math.Max(positions, (int)Math.Min(most, Math.Max(256, _values.Positions * 2L))));
                grown.Fill(_frequencies);
                _values = grown;
            }

            return _values;
        }
    }

    private static double[] PlainFrequencies(LlamaConfig config)
    {
        var frequencies = new double[config.HeadDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
            frequencies[i] = Scale(Math.Pow(config.RopeTheta, -2.0 * i / config.HeadDim), config.RopeScaling);
        return frequencies;
    }

    private static double Scale(double frequency, RopeScaling scaling)
    {
        switch (scaling.Kind)
        {
            case RopeScalingKind.Linear:
                return frequency / scaling.Factor;
            case RopeScalingKind.Llama3:
                // How often the wave turns within the original context decides: rarely, scaled; often, kept; between, blended.
                double turns = scaling.OriginalMaxPositionEmbeddings * frequency / (2 * Math.PI);
                double kept = Math.Clamp((turns - scaling.LowFreqFactor) / (scaling.HighFreqFactor - scaling.LowFreqFactor), 0, 1);
                return (1 - kept) * frequency / scaling.Factor + kept * frequency;
            default:
                return frequency;
        }
    }

    /// <summary>One table. The arrays are pinned: the kernels read them through pointers.</summary>
    internal sealed class Values(int half, int positions)
    {
        public int Positions { get; } = positions;

        public float[] Cos { get; } = GC.AllocateUninitializedArray<float>(half * positions, pinned: true);

        public float[] Sin { get; } = GC.AllocateUninitializedArray<float>(half * positions, pinned: true);

        public void Fill(ReadOnlySpan<double> frequencies)
        {
            for (int position = 0; position < Positions; position++)
            {
                for (int i = 0; i < half; i++)
                {
                    (double sin, double cos) = Math.SinCos(position * frequencies[i]);
                    Cos[position * half + i] = (float)cos;
                    Sin[position * half + i] = (float)sin;
                }
            }
        }
    }
}
