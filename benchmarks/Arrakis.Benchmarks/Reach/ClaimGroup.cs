namespace Arrakis.Benchmarks.Reach;

/// <summary>Claims that are measured side by side.</summary>
/// <param name="Name">By which it is chosen.</param>
/// <param name="Measure">Measures all of them.</param>
internal sealed record ClaimGroup(string Name, Func<Rig, IEnumerable<Claim>> Measure)
{
    /// <summary>All of them: products, then what is made of them, then what grows and loads.</summary>
    public static IReadOnlyList<ClaimGroup> All { get; } =
    [
        .. ProductClaims.Groups(), .. PrefillClaims.Groups(), .. DecodeClaims.Groups(), .. RecordingClaims.Groups(), .. GrowthClaims.Groups(), .. LoadClaims.Groups(),
    ];
}
