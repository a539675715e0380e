namespace Arrakis.Text.Models;

/// <summary>What turns one piece of text, as the pre-tokenizer leaves it, into tokens.</summary>
internal interface ITokenModel
{
    /// <summary>The token for what is not in the vocabulary; null where there is none.</summary>
    int? Unknown { get; }

    /// <summary>Adds the ids of a piece, which is not empty and holds whole characters only.</summary>
    void Encode(string piece, List<int> ids);
}
