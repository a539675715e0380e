namespace Arrakis.Weights.Tales;

/// <summary>Says whether a sentence is one of the grammar's: the right kind of word at every place, the same word or person where the same is meant, pronouns that agree.</summary>
internal sealed class Grammar
{
    private readonly ILookup<int, Slot[]> _templates = Sentences.All().Select(Slot.Parse).ToLookup(slots => slots.Length);

    private readonly Dictionary<string, HashSet<string>> _kinds =
        Words.Kinds.Append(new("name", Words.Names)).ToDictionary(kind => kind.Key, kind => kind.Value.ToHashSet());

    /// <summary>Whether some template reads the whole sentence.</summary>
    public bool Accepts(IReadOnlyList<string> sentence) => _templates[sentence.Count].Any(slots => Matches(slots, sentence));

    /// <summary>The complete sentences of a text: each ends with a full stop.</summary>
    public static IEnumerable<string[]> SentencesOf(IEnumerable<string> text)
    {
        var sentence = new List<string>();
        foreach (string word in text)
        {
            sentence.Add(word);
            if (word != ".")
                continue;
            yield return [.. sentence];
            sentence.Clear();
        }
    }

    private bool Matches(Slot[] slots, IReadOnlyList<string> sentence)
    {
        var bound = new Dictionary<string, string>();
        for (int i = 0; i < slots.Length; i++)
        {
            (Slot slot, string word) = (slots[i], sentence[i]);
            if (slot.Literal is not null)
            {
                if (slot.Literal != word)
                    return false;
            }
            else if (slot.Pronoun is not null)
            {
                bool agrees = bound.TryGetValue(slot.Key!, out string? name)
                    ? Slot.PronounOf(name, slot.Pronoun) == word
                    : word == slot.Pronoun || word == Slot.PronounOf(Words.Women[0], slot.Pronoun);
                if (!agrees)
                    return false;
            }
            else if (!_kinds[slot.Kind!].Contains(word))
            {
                return false;
            }
            else if (slot.Key is not null && !Bind(bound, slot.Key, word))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Bind(Dictionary<string, string> bound, string key, string word)
    {
        if (bound.TryGetValue(key, out string? before))
            return before == word;
        if (bound.ContainsValue(word))
            return false;
        bound.Add(key, word);
        return true;
    }
}
