using System.Text;
using Arrakis.Native;
using Microsoft.ML.Tokenizers;

namespace Arrakis.Text.Models;

/// <summary>What a byte-pair encoding does beside merging.</summary>
/// <param name="Unknown">The token for characters that are not in the vocabulary; null leaves them out.</param>
/// <param name="FuseUnknown">Whether a run of them is one token.</param>
/// <param name="ByteFallback">Whether such a character becomes its bytes, as tokens <c>&lt;0x41&gt;</c>.</param>
/// <param name="IgnoreMerges">Whether a piece that is a token is that token, whatever the merges would make of it.</param>
internal sealed record BpeRules(int? Unknown, bool FuseUnknown, bool ByteFallback, bool IgnoreMerges);

/// <summary>
/// Byte-pair encoding by ranked merges (Sennrich et al. 2016), as in GPT-2 and in every <c>tokenizer.json</c> of type BPE. Microsoft.ML.Tokenizers merges;
/// what it does not know (bytes for unknown characters, pieces that ignore merges) is done here: no merge reaches across a character that is no token,
/// so a piece falls apart there without any difference.
/// </summary>
internal sealed class BpeModel : ITokenModel
{
    private readonly Vocabulary _vocabulary;
    private readonly BpeRules _rules;
    // Made when something is encoded: it takes a while of a large vocabulary, and tokens are shown without it.
    private readonly Lazy<BpeTokenizer> _merger;
    private readonly char? _space;

    /// <param name="vocabulary">The tokens.</param>
    /// <param name="merges">The parts of each merge, first come first merged. Both, and what they make, are tokens.</param>
    /// <param name="rules">What else is done.</param>
    public BpeModel(Vocabulary vocabulary, IReadOnlyList<(string Left, string Right)> merges, BpeRules rules)
    {
        (_vocabulary, _rules) = (vocabulary, rules);
        // The library takes a merge as two words with a space between, so a space within one is written as a character that no token holds.
        _space = merges.Any(merge => merge.Left.Contains(' ') || merge.Right.Contains(' ')) ? Unused(vocabulary) : null;
        _merger = new Lazy<BpeTokenizer>(() => BpeTokenizer.Create(new BpeOptions(vocabulary.Encodable.Select(token => KeyValuePair.Create(Written(token.Key), token.Value)))
        {
            Merges = merges.Select(merge => $"{Written(merge.Left)} {Written(merge.Right)}"),
            PreTokenizer = new WholePiece(),
        }));
    }

    /// <inheritdoc/>
    public int? Unknown => _rules.Unknown;

    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids)
    {
        if (_rules.IgnoreMerges && _vocabulary.Find(piece) is int whole)
        {
            ids.Add(whole);
            return;
        }

        int? pending = null;
        int known = 0, at = 0;
        foreach (Rune rune in piece.EnumerateRunes())
        {
            int end = at + rune.Utf16SequenceLength;
            if (_vocabulary.Find(piece.AsSpan(at..end)) is null)
            {
                Merge(piece.AsSpan(known..at), ids, ref pending);
                AddUnknown(rune, ids, ref pending);
                known = end;
            }

            at = end;
        }

        Merge(piece.AsSpan(known), ids, ref pending);
        if (pending is int last)
            ids.Add(last);
    }

    private void Merge(ReadOnlySpan<char> run, List<int> ids, ref int? pending)
    {
        if (run.IsEmpty)
            return;
        if (pending is int unknown)
            ids.Add(unknown);
        pending = null;
        string written = Written(run.ToString());
        ids.AddRange(_merger.Value.EncodeToIds(written, considerPreTokenization: false, considerNormalization: false));
    }

    /// <summary>Hugging Face's order: an unknown token is held back until it is known whether the next one joins it.</summary>
    private void AddUnknown(Rune rune, List<int> ids, ref int? pending)
    {
        if (_rules.ByteFallback && _vocabulary.BytesOf(rune) is { } bytes)
        {
            ids.AddRange(bytes);
            return;
        }

        if (_rules.Unknown is not int unknown)
            return;
        if (pending is int before && !_rules.FuseUnknown)
            ids.Add(before);
        pending = unknown;
    }

    private string Written(string token) => _space is char space ? token.Replace(' ', space) : token;

    private static char Unused(Vocabulary vocabulary)
    {
        for (char c = '\uE000'; c <= '\uF8FF'; c++)
        {
            if (!vocabulary.Encodable.Keys.Any(token => token.Contains(c)))
                return c;
        }

        throw new ArrakisException("the vocabulary uses every private character, and its merges hold spaces: supported is one of the two");
    }

    /// <summary>Leaves pieces whole; the library's default would split words from what is none.</summary>
    private sealed class WholePiece : PreTokenizer
    {
        public override IEnumerable<(int Offset, int Length)> PreTokenize(string text) => [(0, text.Length)];

        public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => [(0, text.Length)];
    }
}
