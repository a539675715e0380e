namespace Arrakis.Benchmarks.Measuring;

/// <summary>One of the things that are measured side by side.</summary>
/// <param name="Name">By which its figures are asked for.</param>
/// <param name="Rate">Does its work once and says how fast, in units a second: more is better.</param>
/// <param name="Yardstick">What the machine can do at most at that moment, in the same units; measured right before and right after.</param>
internal sealed record Contestant(string Name, Func<double> Rate, Func<double>? Yardstick = null);

/// <summary>
/// Measures things side by side in many short rounds, and compares within a round only: on a shared machine the speed wanders by half within seconds, and
/// hardly within the milliseconds between neighbours. Every figure is a median over the rounds. Every second round goes backwards, so that what drifts
/// steadily favours no one.
/// </summary>
internal sealed class Contest
{
    private const int WarmUpRounds = 2, FewestRounds = 5;
    private const double WarmUpSeconds = 0.6;

    private readonly IReadOnlyList<Contestant> _contestants;
    private readonly List<double>[] _rates;
    private readonly List<double>[] _yards;

    private Contest(IReadOnlyList<Contestant> contestants)
    {
        _contestants = contestants;
        _rates = [.. contestants.Select(_ => new List<double>())];
        _yards = [.. contestants.Select(_ => new List<double>())];
    }

    /// <summary>Rounds that were measured.</summary>
    public int Rounds => _rates[0].Count;

    /// <summary>Measures until there are enough rounds or the time is spent, but never fewer than a few, unless fewer are enough.</summary>
    public static Contest Run(IReadOnlyList<Contestant> contestants, Effort effort)
    {
        var contest = new Contest(contestants);
        // To warm up: memory, then tiers of compilation, which the runtime begins a tenth of a second after it last saw something new.
        double spent = 0;
        for (int round = 0; round < WarmUpRounds || spent < WarmUpSeconds; round++)
            spent += Clock.Seconds(() => contest.Round(backwards: false));
        foreach (List<double> figures in contest._rates.Concat(contest._yards))
            figures.Clear();
        spent = 0;
        while (contest.Rounds < Math.Min(FewestRounds, effort.Rounds) || (contest.Rounds < effort.Rounds && spent < effort.Seconds))
            spent += Clock.Seconds(() => contest.Round(backwards: contest.Rounds % 2 == 1));
        return contest;
    }

    /// <summary>The median rate.</summary>
    public double Rate(string name) => Median(_rates[Index(name)]);

    /// <summary>The median of the yardstick beside it.</summary>
    public double Yardstick(string name) => Median(_yards[Index(name)]);

    /// <summary>The median of rate over yardstick, round by round.</summary>
    public double Share(string name) => MedianRatio(_rates[Index(name)], _yards[Index(name)]);

    /// <summary>The median of one rate over another's, round by round.</summary>
    public double Ratio(string name, string to) => MedianRatio(_rates[Index(name)], _rates[Index(to)]);

    /// <summary>The median of one yardstick over another, round by round.</summary>
    public double YardstickRatio(string name, string to) => MedianRatio(_yards[Index(name)], _yards[Index(to)]);

    public bool Has(string name) => _contestants.Any(c => c.Name == name);

    private void Round(bool backwards)
    {
        for (int i = 0; i < _contestants.Count; i++)
        {
            int which = backwards ? _contestants.Count - 1 - i : i;
            Contestant contestant = _contestants[which];
            double before = contestant.Yardstick?.Invoke() ?? 0;
            double rate = contestant.Rate();
            double after = contestant.Yardstick?.Invoke() ?? 0;
            _rates[which].Add(rate);
            _yards[which].Add((before + after) / 2);
        }
    }

    private int Index(string name)
    {
        for (int i = 0; i < _contestants.Count; i++)
        {
            if (_contestants[i].Name == name)
                return i;
        }

        throw new ArgumentException($"nothing called {name} was measured", nameof(name));
    }

    private static double MedianRatio(List<double> numerators, List<double> denominators) => Median([.. numerators.Zip(denominators, (n, d) => n / d)]);

    private static double Median(List<double> figures)
    {
        double[] sorted = [.. figures.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

/// <summary>How long to measure one group of contestants.</summary>
/// <param name="Rounds">Rounds at the most.</param>
/// <param name="Seconds">Seconds after which no further round is begun.</param>
internal sealed record Effort(int Rounds, double Seconds);
