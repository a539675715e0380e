using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Text.Models;

/// <summary>Every piece is a word of the vocabulary, or unknown; where there is no token for that, it is refused.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, int? unknown) : ITokenModel
{
    /// <inheritdoc/>
    public int? Unknown => unknown;

    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids) => ids.Add(
        vocabulary.Find(piece) ?? unknown
        ?? throw new ArrakisException($"the word '{Said.Name(piece)}' is not in the vocabulary, which has no token for unknown words: use other words"));
}
