using Arrakis.Text.Models;
using Arrakis.Text.Tests.Support;
using CsCheck;

namespace Arrakis.Text.Tests;

/// <summary>Both ways of merging against the plainest form of their definition, on random vocabularies and texts in which everything ties.</summary>
public sealed class MergeTests
{
    private static readonly Gen<string> s_texts = Gen.Char['a', 'd'].Array[1, 30].Select(letters => new string(letters));

    [Fact]
    public void Ranked_merges_are_made_in_their_order_from_the_left() => Gen.Select(Gen.Int[0, int.MaxValue], s_texts).Sample(
        (seed, text) =>
        {
            var random = new Random(seed);
            List<string> tokens = ["a", "b", "c"];
            var merges = new List<(string Left, string Right)>();
            while (merges.Count < 12)
            {
                (string Left, string Right) merge = (tokens[random.Next(tokens.Count)], tokens[random.Next(tokens.Count)]);
                if (merges.Contains(merge) || tokens.Contains(merge.Left + merge.Right))
                    continue;
                merges.Add(merge);
                tokens.Add(merge.Left + merge.Right);
            }

            var vocabulary = new Vocabulary(tokens.Select((token, id) => (token, id)).ToDictionary());
            vocabulary.Add("<unk>", tokens.Count);
            var model = new BpeModel(vocabulary, merges, new BpeRules(Unknown: tokens.Count, FuseUnknown: false, ByteFallback: false, IgnoreMerges: false));

            List<string> symbols = [.. text.Select(c => c.ToString())];
            foreach ((string left, string right) in Ranked(merges))
                symbols = TokenizerFiles.Join(symbols, left, right);
            var ids = new List<int>();
            model.Encode(text, ids);
            Assert.Equal(symbols.Select(symbol => vocabulary.Find(symbol) ?? tokens.Count), ids);

            // The first of the merges that can be made, again and again.
            IEnumerable<(string, string)> Ranked(List<(string Left, string Right)> all)
            {
                while (all.FirstOrDefault(merge => symbols.Zip(symbols.Skip(1)).Contains((merge.Left, merge.Right))) is { Left: not null } next)
                    yield return next;
            }
        },
        iter: 2000);

    [Fact]
    public void Scored_joins_are_made_best_first_and_leftmost_of_equals() => Gen.Select(Gen.Int[0, int.MaxValue], s_texts).Sample(
        (seed, text) =>
        {
            var random = new Random(seed);
            List<string> texts = ["<unk>", "a", "b", "c"];
            while (texts.Count < 16)
            {
                string join = texts[random.Next(1, texts.Count)] + texts[random.Next(1, texts.Count)];
                if (!texts.Contains(join))
                    texts.Add(join);
            }

            // Few scores, so that many are equal.
            var pieces = new SentencePieces([.. texts], [.. texts.Select(_ => (float)random.Next(4))], [PieceKind.Unknown, .. Enumerable.Repeat(PieceKind.Normal, texts.Count - 1)]) { ByteFallback = false };
            var vocabulary = new Vocabulary(texts.Skip(1).Select((token, i) => (token, i + 1)).ToDictionary());
            vocabulary.Add("<unk>", 0);

            List<string> symbols = [.. text.Select(c => c.ToString())];
            while (Enumerable.Range(0, symbols.Count - 1).Where(i => texts.IndexOf(symbols[i] + symbols[i + 1]) > 0).ToList() is { Count: > 0 } possible)
            {
                int best = possible.MaxBy(i => (pieces.Scores[texts.IndexOf(symbols[i] + symbols[i + 1])], -i));
                symbols[best] += symbols[best + 1];
                symbols.RemoveAt(best + 1);
            }

            int[] expected = [.. symbols.Select(symbol => Math.Max(0, texts.IndexOf(symbol)))];
            var ids = new List<int>();
            new SentencePieceModel(pieces, vocabulary).Encode(text, ids);
            // A run of what is unknown is one token.
            Assert.Equal(expected.Where((id, i) => id != 0 || i == 0 || expected[i - 1] != 0), ids);
        },
        iter: 2000);

    [Fact]
    public void Unknown_characters_fuse_only_where_they_are_told_to()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { ["a"] = 0, ["<unk>"] = 1, ["<0xC3>"] = 2, ["<0xA9>"] = 3 });
        Assert.Equal([1, 1, 0, 1], Encode(new BpeRules(1, FuseUnknown: false, ByteFallback: false, IgnoreMerges: false), "xya日"));
        Assert.Equal([1, 0, 1], Encode(new BpeRules(1, FuseUnknown: true, ByteFallback: false, IgnoreMerges: false), "xya日"));
        Assert.Equal([0], Encode(new BpeRules(null, FuseUnknown: true, ByteFallback: false, IgnoreMerges: false), "xya日"));
        // Bytes where all of them are tokens; the others are unknown.
        Assert.Equal([2, 3, 0, 1], Encode(new BpeRules(1, FuseUnknown: true, ByteFallback: true, IgnoreMerges: false), "éa日"));

        List<int> Encode(BpeRules rules, string text)
        {
            var ids = new List<int>();
            new BpeModel(vocabulary, [], rules).Encode(text, ids);
            return ids;
        }
    }

    [Fact]
    public void A_piece_that_is_a_token_may_ignore_merges()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { ["a"] = 0, ["b"] = 1, ["c"] = 2, ["bc"] = 3, ["abc"] = 4 });
        foreach ((bool ignores, int[] expected) in new[] { (false, new[] { 0, 3 }), (true, [4]) })
        {
            var ids = new List<int>();
            new BpeModel(vocabulary, [("b", "c")], new BpeRules(null, false, false, ignores)).Encode("abc", ids);
            Assert.Equal(expected, ids);
        }
    }

    [Fact]
    public void Merges_may_hold_spaces()
    {
        var vocabulary = new Vocabulary(new Dictionary<string, int> { [" "] = 0, ["a"] = 1, [" a"] = 2, ["  "] = 3 });
        var ids = new List<int>();
        new BpeModel(vocabulary, [(" ", "a"), (" ", " ")], new BpeRules(null, false, false, false)).Encode("   a", ids);
        Assert.Equal([3, 2], ids);
    }
}
