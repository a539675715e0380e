using Arrakis.Text.Models;
using Arrakis.Text.Steps;

namespace Arrakis.Text;

/// <summary>What a tokenizer is made of, in the order in which text goes through it.</summary>
internal sealed record TokenizerParts
{
    /// <summary>Every token.</summary>
    public required Vocabulary Vocabulary { get; init; }

    /// <summary>The tokens that are found in the text as it stands.</summary>
    public required IReadOnlyCollection<AddedToken> Added { get; init; }

    /// <summary>What is done to the stretches between them.</summary>
    public Func<string, string> Normalize { get; init; } = text => text;

    /// <summary>Cuts stretches into pieces.</summary>
    public PreTokenizer PreTokenize { get; init; } = piece => [piece];

    /// <summary>Turns a piece into tokens.</summary>
    public required ITokenModel Model { get; init; }

    /// <summary>Turns tokens into text.</summary>
    public required TokenDecoder Decoder { get; init; }

    /// <summary>What stands before every text.</summary>
    public int[] Front { get; init; } = [];

    /// <summary>What stands after every text.</summary>
    public int[] Back { get; init; } = [];

    /// <summary>Tokens that steer and say nothing; text decodes without them.</summary>
    public required IReadOnlySet<int> Special { get; init; }

    /// <summary>The token that begins a text, where the file names one.</summary>
    public int? Begin { get; init; }
}
