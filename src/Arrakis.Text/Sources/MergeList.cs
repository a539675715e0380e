using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Sources;

/// <summary>The merges of a byte-pair encoding, checked: both parts and what they make are tokens, and no pair stands twice.</summary>
internal static class MergeList
{
    /// <summary>The two parts of a merge that is written as one text, or null.</summary>
    public static (string Left, string Right)? Split(string merge)
    {
        int space = merge.IndexOf(' ');
        return space > 0 && space < merge.Length - 1 && merge.IndexOf(' ', space + 1) < 0 ? (merge[..space], merge[(space + 1)..]) : null;
    }

    /// <summary>Checks merges, first come first made; <paramref name="fault"/> says what is wrong with which of them.</summary>
    /// <returns>For the two tokens of a merge its rank and the token that they become.</returns>
    public static Dictionary<(int Left, int Right), (double Rank, int Token)> Read(Vocabulary vocabulary, IEnumerable<(string Left, string Right)?> merges, Func<int, string, ModelFormatException> fault)
    {
        var read = new Dictionary<(int, int), (double, int)>();
        foreach ((string Left, string Right)? merge in merges)
        {
            if (merge is not (string left, string right))
                throw fault(read.Count, "is not two tokens with a space between");
            if (!read.TryAdd((Token(left), Token(right)), (read.Count, Token(left + right))))
                throw fault(read.Count, $"stands twice: \"{Said.Name(left)}\" and \"{Said.Name(right)}\"");
        }

        return read;

        int Token(string part) => vocabulary.Find(part) ?? throw fault(read.Count, $"needs \"{Said.Name(part)}\", which is not in the vocabulary");
    }
}
