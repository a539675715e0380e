namespace Arrakis.Analysis.Numerics;

/// <summary>The strongest of many items; of equal ones those that came first.</summary>
/// <param name="capacity">How many are kept.</param>
internal sealed class Strongest<T>(int capacity)
{
    private readonly List<(T Item, double Strength)> _all = [];

    // Made only when the first item has to go: until then order of strength is nobody's business.
    private PriorityQueue<(T Item, long Age), (double Strength, long Age)>? _kept;
    private long _age;

    /// <summary>Whether an item had to go.</summary>
    public bool Dropped { get; private set; }

    /// <summary>What an item must exceed to be kept.</summary>
    public double Least { get; private set; } = capacity == 0 ? double.PositiveInfinity : double.NegativeInfinity;

    public void Add(T item, double strength)
    {
        if (_age < capacity)
        {
            _all.Add((item, strength));
            if (++_age == capacity)
                Least = _all.Min(kept => kept.Strength);
            return;
        }

        Dropped = true;
        if (!(strength > Least))
            return;
        _kept ??= new(_all.Select((kept, age) => ((kept.Item, (long)age), (kept.Strength, -(long)age))));
        _kept.DequeueEnqueue((item, _age), (strength, -_age));
        _age++;
        _kept.TryPeek(out _, out (double Strength, long Age) weakest);
        Least = weakest.Strength;
    }

    /// <summary>What is kept, in the order in which it came.</summary>
    public T[] InOrder() =>
        _kept is null ? [.. _all.Select(kept => kept.Item)] : [.. _kept.UnorderedItems.Select(kept => kept.Element).OrderBy(kept => kept.Age).Select(kept => kept.Item)];
}
