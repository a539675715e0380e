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

    /// <summary>Checks merges; <paramref name="fault"/> says what is wrong with which of them.</summary>
    public static List<(string Left, string Right)> Read(Vocabulary vocabulary, IEnumerable<(string Left, string Right)?> merges, Func<int, string, ModelFormatException> fault)
    {
        var read = new List<(string, string)>();
        var seen = new HashSet<(int, int)>();
        foreach ((string Left, string Right)? merge in merges)
        {
            if (merge is not (string left, string right))
                throw fault(read.Count, "is not two tokens with a space between");
            foreach (string part in new[] { left, right, left + right })
            {
                if (vocabulary.Find(part) is null)
                    throw fault(read.Count, $"needs \"{Said.Name(part)}\", which is not in the vocabulary");
            }

            if (!seen.Add((vocabulary.Find(left)!.Value, vocabulary.Find(right)!.Value)))
                throw fault(read.Count, $"stands twice: \"{Said.Name(left)}\" and \"{Said.Name(right)}\"");
            read.Add((left, right));
        }

        return read;
    }
}
