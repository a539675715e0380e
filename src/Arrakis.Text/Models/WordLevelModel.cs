namespace Arrakis.Text.Models;

/// <summary>Every piece is a word of the vocabulary, or unknown; without a token for what is unknown such a word is left out, as Hugging Face's does not do: it refuses.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, int? unknown) : ITokenModel
{
    /// <inheritdoc/>
    public void Encode(string piece, List<int> ids) =>
        ids.Add(vocabulary.Find(piece) ?? unknown ?? throw new Native.ArrakisException($"the word '{Native.Weights.Said.Name(piece)}' is not in the vocabulary, and it has no token for unknown words"));
}
