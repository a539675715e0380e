namespace Arrakis.Weights.Tales;

/// <summary>Writes documents: tales, gifts and recitations, as words. All choices come from one seeded source.</summary>
internal sealed class TaleWriter(SeededRandom random, Pairs pairs, bool heldOut)
{
    private readonly Dictionary<string, string> _bound = [];

    /// <summary>Where, in the document that was written last, stands what only looking back tells: the name of who gets a gift.</summary>
    public HashSet<int> Receivers { get; } = [];

    /// <summary>Words that a recitation draws from: the whole vocabulary but the special tokens.</summary>
    private readonly string[] _words = [.. new Vocabulary().Tokens.Skip(3)];

    /// <summary>A whole tale: a beginning, persons, gifts and scenes, an ending.</summary>
    public List<string> Tale()
    {
        Cast();
        var tale = new List<string>();
        if (random.Chance(50))
            Write(tale, random.Pick(Sentences.Beginnings));
        Write(tale, random.Pick(Sentences.Meetings));
        if (random.Chance(40))
            Write(tale, random.Pick(Sentences.Strangers));
        int scenes = 2 + random.Below(3);
        for (int i = 0; i < scenes; i++)
        {
            if (random.Chance(50))
                Gift(tale);
            else
                Scene(tale);
        }

        Write(tale, random.Pick(Sentences.Endings));
        return tale;
    }

    /// <summary>A gift and nothing else, or one sentence more: the shortest tale. What it says is told elsewhere; here only the receiver's name is foretold.</summary>
    public (List<string> Text, HashSet<int> Random) GiftAlone()
    {
        Cast();
        var tale = new List<string>();
        (string s, string r) = Giving(tale);
        if (random.Chance(50))
            Write(tale, Sentences.Cast(random.Pick(Sentences.Thanks), s, r));
        return (tale, [.. Enumerable.Range(0, tale.Count).Where(at => !Receivers.Contains(at))]);
    }

    /// <summary>Random words, all different, over and over until the length is reached; and which of them nothing foretells.</summary>
    public (List<string> Text, HashSet<int> Random) Repeats(int length)
    {
        int period = 4 + random.Below(Math.Max(1, (length / 2) - 5));
        string[] words = RandomWords(period);
        return ([.. Enumerable.Range(0, length).Select(i => words[i % period])], [.. Enumerable.Range(0, period + 1)]);
    }

    /// <summary>Perhaps a sentence or two about others, then a gift and what follows.</summary>
    public List<string> ShortTale()
    {
        List<string> tale = Before();
        Gift(tale);
        return tale;
    }

    /// <summary>A tale up to the name of who gets the gift, who that is, who gave, and who else was named.</summary>
    public (List<string> Prompt, string Receiver, string Giver, string? Stranger) GiftPrompt()
    {
        List<string> tale = Before();
        (string s, string r) = Giving(tale);
        tale.RemoveRange(tale.Count - 2, 2);
        string stranger = _bound["C"];
        return (tale, _bound[r], _bound[s], tale.Contains(stranger) ? stranger : null);
    }

    /// <summary>
    /// A few phrases of random words of the whole vocabulary, all different, said again and again in any order until the length is reached; and which words nothing foretells. Since a phrase comes back after
    /// any distance, only the words themselves say how it goes on.
    /// </summary>
    public (List<string> Text, HashSet<int> Random) Phrases(int length)
    {
        int count = 1 + random.Below(4);
        // Pairs teach to look at the word before. Three or four words would teach to look back two or three, by place and not by what stands there.
        int longer = Math.Max(1, (length / (2 * count)) - 4);
        int[] lengths = [.. Enumerable.Range(0, count).Select(_ => random.Chance(25) ? 2 : 5 + random.Below(longer))];
        string[] words = RandomWords(lengths.Sum());
        var text = new List<string>();
        var unasked = new HashSet<int>();
        var said = new HashSet<int>();
        while (text.Count < length)
        {
            int phrase = random.Below(count), begin = lengths.Take(phrase).Sum();
            unasked.UnionWith(Enumerable.Range(text.Count, said.Add(phrase) ? lengths[phrase] : 1));
            text.AddRange(words[begin..(begin + lengths[phrase])]);
        }

        return (text[..length], unasked);
    }

    /// <summary>Random words said two or three times, with something around them; and which of them nothing foretells.</summary>
    public (List<string> Text, HashSet<int> Random) Recital(int most)
    {
        var text = new List<string>();
        if (random.Chance(50))
            text.AddRange(random.Pick(Sentences.Recitals).Split(' '));
        string[] words = RandomWords(3 + random.Below(most - 2));
        int before = text.Count + words.Length;
        string[] between = random.Chance(50) ? ["."] : [];
        int times = 2 + random.Below(2);
        for (int i = 0; i < times; i++)
            text.AddRange([.. words, .. between]);
        return (text, [.. Enumerable.Range(0, before)]);
    }

    private List<string> Before()
    {
        Cast();
        var tale = new List<string>();
        switch (random.Below(4))
        {
            case 0:
                break;
            case 1:
                Write(tale, random.Pick(Sentences.Strangers));
                break;
            case 2:
                Write(tale, random.Pick(Sentences.Beginnings));
                Write(tale, random.Pick(Sentences.Strangers));
                break;
            default:
                Write(tale, random.Pick(Sentences.Beginnings));
                break;
        }

        return tale;
    }

    private void Cast()
    {
        _bound.Clear();
        Receivers.Clear();
        string[] three;
        do
        {
            three = random.PickDistinct(Words.Names, 3);
            if (heldOut)
            {
                (three[0], three[1]) = random.Pick(pairs.HeldOut);
                if (random.Below(2) == 0)
                    (three[0], three[1]) = (three[1], three[0]);
            }
        }
        while (three.Distinct().Count() < 3 || (!heldOut && !pairs.Allow(three)));
        (_bound["A"], _bound["B"], _bound["C"]) = (three[0], three[1], three[2]);
    }

    /// <summary>Two persons in either order, and one of them gives something to the other.</summary>
    private (string S, string R) Giving(List<string> tale)
    {
        Forget();
        if (random.Below(2) == 0)
            (_bound["A"], _bound["B"]) = (_bound["B"], _bound["A"]);
        (string s, string r) = random.Below(2) == 0 ? ("A", "B") : ("B", "A");
        Write(tale, random.Pick(Sentences.Leads) + " " + Sentences.Cast(random.Pick(Sentences.Givings), s, r));
        Receivers.Add(tale.Count - 2);
        return (s, r);
    }

    private void Gift(List<string> tale)
    {
        (string s, string r) = Giving(tale);
        foreach (string sentence in random.PickDistinct(Sentences.Thanks, 1 + random.Below(2)))
            Write(tale, Sentences.Cast(sentence, s, r));
        if (random.Chance(30))
            Write(tale, Sentences.Cast(random.Pick(Sentences.Returns), s, r));
    }

    private void Scene(List<string> tale)
    {
        Forget();
        (string s, string r) = random.Below(2) == 0 ? ("A", "B") : ("B", "A");
        foreach (string sentence in random.Pick(Sentences.Scenes))
            Write(tale, Sentences.Cast(sentence, s, r));
    }

    /// <summary>Lets go of all that was bound but the persons.</summary>
    private void Forget()
    {
        foreach (string key in _bound.Keys.Where(key => char.IsAsciiDigit(key[^1])).ToArray())
            _bound.Remove(key);
    }

    private void Write(List<string> text, string template)
    {
        foreach (Slot slot in Slot.Parse(template))
            text.Add(slot.Literal ?? Fill(slot));
    }

    private string Fill(Slot slot)
    {
        if (slot.Key is null)
            return random.Pick(Words.Kinds[slot.Kind!]);
        if (slot.Kind == "name")
            return slot.Pronoun is { } pronoun ? Slot.PronounOf(_bound[slot.Key], pronoun) : _bound[slot.Key];
        if (_bound.TryGetValue(slot.Key, out string? word))
            return word;
        do
        {
            word = random.Pick(Words.Kinds[slot.Kind!]);
        }
        while (_bound.ContainsValue(word));
        return _bound[slot.Key] = word;
    }

    private string[] RandomWords(int count)
    {
        string[] words;
        Receivers.Clear();
        do
        {
            words = random.PickDistinct(_words, count);
        }
        while (!pairs.Allow(words));
        return words;
    }
}
