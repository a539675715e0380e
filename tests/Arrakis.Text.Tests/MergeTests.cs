using Arrakis.Text.Models;
using Arrakis.Text.Sources;
using CsCheck;

namespace Arrakis.Text.Tests;

/// <summary>Both kinds of joining against the plainest form of their definition, on random vocabularies and texts in which everything ties.</summary>
public sealed class MergeTests
{
    private static readonly Gen<string> s_texts = Gen.Char['a', 'd'].Array[1, 30].Select(letters => new string(letters));

    [Fact]
    public void Merges_of_the_lowest_rank_are_made_first_and_leftmost_of_equals() => Gen.Select(Gen.Int[0, int.MaxValue], s_texts).Sample(
        (seed, text) =>
        {
            var random = new Random(seed);
            List<string> tokens = ["a", "b", "c"];
            var merges = new List<(string Left, string Right)>();
            while (merges.Count < 12)
            {
                // Two merges may make the same token, and one may come before those that make its parts.
                (string Left, string Right) merge = (tokens[random.Next(tokens.Count)], tokens[random.Next(tokens.Count)]);
                if (merges.Contains(merge))
                    continue;
                merges.Insert(random.Next(merges.Count + 1), merge);
                if (!tokens.Contains(merge.Left + merge.Right))
                    tokens.Add(merge.Left + merge.Right);
            }

            var vocabulary = new Vocabulary(tokens.Select((token, id) => (token, id)).ToDictionary());
            vocabulary.Add("<unk>", tokens.Count);
            BpeModel model = OfMerges(vocabulary, merges, new BpeRules(Unknown: tokens.Count, FuseUnknown: false, ByteFallback: false, IgnoreMerges: false));
            List<string> symbols = Joined(text, (left, right) => merges.IndexOf((left, right)) is >= 0 and int rank ? rank : null);
            Assert.Equal(symbols.Select(symbol => vocabulary.Find(symbol) ?? tokens.Count), Encode(model, text));
        },
        iter: 2000);

    [Fact]
    public void Scored_joins_are_made_best_first_and_leftmost_of_equals() => Gen.Select(Gen.Int[0, int.MaxValue], s_texts).Sample(
        (seed, text) =>
        {
            var random = new Random(seed);
            List<string> texts = ["<unk>", "a", "b", "c"];
            // A piece may hold what is none by itself.
            string Part() => random.Next(8) == 0 ? "d" : texts[random.Next(1, texts.Count)];
            while (texts.Count < 16)
            {
                string join = Part() + Part();
                if (!texts.Contains(join))
                    texts.Add(join);
            }

            // Few scores, so that many are equal.
            var pieces = new SentencePieces([.. texts], [.. texts.Select(_ => (float)random.Next(4))], [PieceKind.Unknown, .. Enumerable.Repeat(PieceKind.Normal, texts.Count - 1)]) { ByteFallback = false };
            var vocabulary = new Vocabulary(texts.Skip(1).Select((token, i) => (token, i + 1)).ToDictionary());
            vocabulary.Add("<unk>", 0);

            List<string> symbols = Joined(text, (left, right) => texts.IndexOf(left + right) is > 0 and int id ? -pieces.Scores[id] : null);
            int[] expected = [.. symbols.Select(symbol => Math.Max(0, texts.IndexOf(symbol)))];
            // A run of what is unknown is one token.
            Assert.Equal(expected.Where((id, i) => id != 0 || i == 0 || expected[i - 1] != 0), Encode(BpeModel.OfScores(vocabulary, pieces), text));
        },
        iter: 2000);

    [Fact]
    public void A_piece_of_any_length_is_looked_at_a_few_times()
    {
        const int Length = 400_000;
        int looks = 0;
        var model = new BpeModel(
            new Vocabulary(new Dictionary<string, int> { ["a"] = 0 }), new BpeRules(null, false, false, false), (text, _, _) =>
            {
                looks++;
                return text.Length <= 4 ? (-text.Length, text.Length) : null;
            });
        Assert.Equal(Enumerable.Repeat(4, Length / 4), Encode(model, new string('a', Length)));
        // Every neighbour once, and the two that each join makes.
        Assert.InRange(looks, Length, 3 * Length);
    }

    [Fact]
    public void Unknown_characters_fuse_only_where_they_are_told_to()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { ["a"] = 0, ["<unk>"] = 1, ["<0xC3>"] = 2, ["<0xA9>"] = 3 });
        Assert.Equal([1, 1, 0, 1], Encoded(new BpeRules(1, FuseUnknown: false, ByteFallback: false, IgnoreMerges: false), "xya日"));
        Assert.Equal([1, 0, 1], Encoded(new BpeRules(1, FuseUnknown: true, ByteFallback: false, IgnoreMerges: false), "xya日"));
        Assert.Equal([0], Encoded(new BpeRules(null, FuseUnknown: true, ByteFallback: false, IgnoreMerges: false), "xya日"));
        // Bytes where all of them are tokens; the others are unknown.
        Assert.Equal([2, 3, 0, 1], Encoded(new BpeRules(1, FuseUnknown: true, ByteFallback: true, IgnoreMerges: false), "éa日"));

        List<int> Encoded(BpeRules rules, string text) => Encode(OfMerges(vocabulary, [], rules), text);
    }

    [Fact]
    public void A_piece_that_is_a_token_may_ignore_merges()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { ["a"] = 0, ["b"] = 1, ["c"] = 2, ["bc"] = 3, ["abc"] = 4 });
        foreach ((bool ignores, int[] expected) in new[] { (false, new[] { 0, 3 }), (true, [4]) })
            Assert.Equal(expected, Encode(OfMerges(vocabulary, [("b", "c")], new BpeRules(null, false, false, ignores)), "abc"));
    }

    [Fact]
    public void Merges_may_hold_spaces()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { [" "] = 0, ["a"] = 1, [" a"] = 2, ["  "] = 3 });
        Assert.Equal([3, 2], Encode(OfMerges(vocabulary, [(" ", "a"), (" ", " ")], new BpeRules(null, false, false, false)), "   a"));
    }

    private static BpeModel OfMerges(Vocabulary vocabulary, List<(string Left, string Right)> merges, BpeRules rules) => BpeModel.OfMerges(
        vocabulary, MergeList.Read(vocabulary, merges.Select(merge => ((string, string)?)merge), (_, what) => throw new InvalidOperationException(what)), rules);

    private static List<int> Encode(BpeModel model, string text)
    {
        var ids = new List<int>();
        model.Encode(text, ids);
        return ids;
    }

    /// <summary>The characters of a text, the first of the neighbours of the lowest rank joined, again and again.</summary>
    private static List<string> Joined(string text, Func<string, string, double?> rank)
    {
        List<string> symbols = [.. text.Select(c => c.ToString())];
        while (Enumerable.Range(0, symbols.Count - 1).Where(i => rank(symbols[i], symbols[i + 1]) is not null).ToList() is { Count: > 0 } possible)
        {
            int first = possible.MinBy(i => rank(symbols[i], symbols[i + 1]));
            symbols[first] += symbols[first + 1];
            symbols.RemoveAt(first + 1);
        }

        return symbols;
    }
}
