namespace Arrakis.Weights.Tales;

/// <summary>One token of a template: a word as it stands, a person, a person's pronoun, or a word of a kind.</summary>
/// <param name="Literal">The word as it stands; null for a slot.</param>
/// <param name="Key">What the slot is bound to: <c>A</c>, <c>place1</c>, or null where it is new every time.</param>
/// <param name="Kind">The kind of word, or <c>name</c>.</param>
/// <param name="Pronoun"><c>he</c>, <c>him</c>, <c>his</c> or <c>He</c>; null where the name itself stands.</param>
internal readonly record struct Slot(string? Literal, string? Key, string? Kind, string? Pronoun)
{
    public static Slot[] Parse(string template) => [.. template.Split(' ').Select(ParseToken)];

    /// <summary>The pronoun that stands for a person.</summary>
    public static string PronounOf(string name, string pronoun) => !Words.IsWoman(name) ? pronoun : pronoun switch
    {
        "he" => "she",
        "him" or "his" => "her",
        "He" => "She",
        _ => throw new ArgumentException($"{pronoun} is not a pronoun", nameof(pronoun)),
    };

    private static Slot ParseToken(string token)
    {
        if (!token.StartsWith('{'))
            return new Slot(token, null, null, null);
        string[] parts = token.Trim('{', '}').Split('.');
        if (char.IsAsciiLetterUpper(parts[0][0]))
            return new Slot(null, parts[0], "name", parts.Length > 1 ? parts[1] : null);
        return char.IsAsciiDigit(parts[0][^1]) ? new Slot(null, parts[0], parts[0][..^1], null) : new Slot(null, null, parts[0], null);
    }
}
