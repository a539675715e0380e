namespace Arrakis.Weights.Tales;

/// <summary>Which two persons may meet in training: one pair in eight never does, in neither order, nor in any other part of one document.</summary>
internal sealed class Pairs
{
    /// <summary>The pair of the story that the command tells: held out whatever the seed.</summary>
    private static readonly (string, string) s_example = ("Jon", "Mara");

    private readonly HashSet<(string, string)> _heldOut = [];

    public Pairs(ulong seed)
    {
        var random = new SeededRandom(seed, 100);
        for (int i = 0; i < Words.Names.Length; i++)
        {
            for (int j = 0; j < i; j++)
            {
                if (random.Below(8) == 0 || (Words.Names[i], Words.Names[j]) == s_example)
                    HeldOut.Add((Words.Names[i], Words.Names[j]));
            }
        }

        foreach ((string a, string b) in HeldOut)
        {
            _heldOut.Add((a, b));
            _heldOut.Add((b, a));
        }
    }

    /// <summary>Every held-out pair, once.</summary>
    public List<(string A, string B)> HeldOut { get; } = [];

    public bool IsHeldOut(string a, string b) => _heldOut.Contains((a, b));

    /// <summary>Whether no two of the words are a held-out pair.</summary>
    public bool Allow(IReadOnlyList<string> words)
    {
        for (int i = 0; i < words.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                if (IsHeldOut(words[i], words[j]))
                    return false;
            }
        }

        return true;
    }
}
