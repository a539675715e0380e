namespace Arrakis.Weights.Tales;

/// <summary>
/// SplitMix64: the same numbers for the same seed on every machine. It also adds up what its choices cost, in nats, so that the entropy of what was
/// written with it is known.
/// </summary>
internal sealed class SeededRandom
{
    private ulong _state;

    /// <summary>Numbers of a seed; <paramref name="stream"/> tells apart the things that one seed makes.</summary>
    public SeededRandom(ulong seed, ulong stream)
    {
        _state = seed * 0x9E3779B97F4A7C15UL + stream;
        _state = Bits() ^ (stream << 32);
    }

    /// <summary>Σ ln(number of equally likely choices), over all choices so far.</summary>
    public double Nats { get; private set; }

    /// <summary>One of 0 … <paramref name="count"/> − 1.</summary>
    public int Below(int count)
    {
        Nats += Math.Log(count);
        return (int)Math.BigMul(Bits(), (ulong)count, out _);
    }

    /// <summary>One of the items.</summary>
    public T Pick<T>(IReadOnlyList<T> items) => items[Below(items.Count)];

    /// <summary>True with the probability <paramref name="percent"/> / 100.</summary>
    public bool Chance(int percent)
    {
        double before = Nats;
        bool yes = Below(100) < percent;
        Nats = before - Math.Log((yes ? percent : 100 - percent) / 100.0);
        return yes;
    }

    /// <summary><paramref name="count"/> different items, in random order.</summary>
    public T[] PickDistinct<T>(IReadOnlyList<T> items, int count)
    {
        T[] copy = [.. items];
        for (int i = 0; i < count; i++)
        {
            int at = i + Below(copy.Length - i);
            (copy[i], copy[at]) = (copy[at], copy[i]);
        }

        return copy[..count];
    }

    private ulong Bits()
    {
        ulong z = _state += 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
