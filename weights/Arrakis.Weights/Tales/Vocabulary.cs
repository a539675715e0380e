namespace Arrakis.Weights.Tales;

/// <summary>Words and their ids: three special tokens, then every word of the grammar in ordinal order.</summary>
internal sealed class Vocabulary
{
    public const int Unknown = 0;
    public const int Begin = 1;
    public const int End = 2;

    private readonly Dictionary<string, int> _ids = [];

    public Vocabulary()
    {
        IEnumerable<string> literals = Sentences.All().Concat(Sentences.Recitals).SelectMany(Slot.Parse).Select(slot => slot.Literal).OfType<string>();
        string[] pronouns = ["he", "him", "his", "He", "she", "her", "She"];
        Tokens =
        [
            "<unk>", "<s>", "</s>",
            .. literals.Concat(pronouns).Concat(Words.Names).Concat(Words.Kinds.Values.SelectMany(words => words)).Distinct().Order(StringComparer.Ordinal),
        ];
        for (int id = 0; id < Tokens.Count; id++)
            _ids.Add(Tokens[id], id);
    }

    /// <summary>By id.</summary>
    public IReadOnlyList<string> Tokens { get; }

    public int this[string token] => _ids.GetValueOrDefault(token, Unknown);

    /// <summary>Of a text whose tokens are separated by spaces.</summary>
    public IEnumerable<int> Encode(string text) => text.Split(' ').Select(token => this[token]);

    public string Decode(IEnumerable<int> ids) => string.Join(' ', ids.Select(id => Tokens[id]));
}
