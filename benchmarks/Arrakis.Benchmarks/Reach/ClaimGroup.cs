namespace Arrakis.Benchmarks.Reach;

/// <summary>Claims that are measured side by side.</summary>
/// <param name="Name">By which it is chosen.</param>
/// <param name="Measure">Measures all of them.</param>
internal sealed record ClaimGroup(string Name, Func<Rig, IEnumerable<Claim>> Measure)
{
    /// <summary>
    /// All of them: the small model, which is compiled for what ran before it and does that best in a process of its own; products, then what is made of them, then what grows
    /// and loads.
    /// </summary>
    public static IReadOnlyList<ClaimGroup> All { get; } =
    [
        DecodeClaims.Stories, .. ProductClaims.Groups(), .. PrefillClaims.Groups(), .. DecodeClaims.Groups(), .. RecordingClaims.Groups(), .. GrowthClaims.Groups(), .. LoadClaims.Groups(),
    ];
}
