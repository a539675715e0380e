namespace Arrakis.Text.Models;

/// <summary>What a piece is; SentencePiece's numbers, which GGUF took over.</summary>
internal enum PieceKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>A SentencePiece vocabulary, whatever file it came in.</summary>
/// <param name="Texts">The pieces by id.</param>
/// <param name="Scores">Their scores: what scores best is joined first.</param>
/// <param name="Kinds">What they are.</param>
internal sealed record SentencePieces(string[] Texts, float[] Scores, PieceKind[] Kinds)
{
    /// <summary>How pieces write a space: ▁, and in llama2.c's files a space.</summary>
    public char Space { get; init; } = '▁';

    /// <summary>Whether text begins with a space that is not there, so that a word is the same at the beginning.</summary>
    public bool AddsPrefix { get; init; } = true;

    /// <summary>Whether spaces at the ends and beside other spaces are left out.</summary>
    public bool RemovesExtraSpaces { get; init; }

    /// <summary>Whether a character that is no piece becomes its bytes.</summary>
    public bool ByteFallback { get; init; } = true;

    /// <summary>The token for a character that is no piece, where it does not become bytes.</summary>
    public int? Unknown => Array.IndexOf(Kinds, PieceKind.Unknown) is >= 0 and int id ? id : null;
}
