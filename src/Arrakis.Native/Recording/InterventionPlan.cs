namespace Arrakis.Native;

/// <summary>
/// What a session changes while it runs, in order: of two interventions in one place the later acts on what the earlier left. Immutable. A session that is given one
/// checks it against the model at once, and against the input before every pass. What is recorded is what the pass went on with: under <c>hook_embed</c> and
/// <c>hook_resid_post</c>, whose memory is that of the <c>hook_resid_pre</c> that follows, also what was done there.
/// </summary>
public sealed class InterventionPlan
{
    private readonly Intervention[] _interventions;

    private InterventionPlan(Intervention[] interventions) => _interventions = interventions;

    /// <summary>Nothing is changed, and nothing is spent on it.</summary>
    public static InterventionPlan None { get; } = new([]);

    /// <summary>The interventions, in order.</summary>
    public IReadOnlyList<Intervention> Interventions => _interventions;

    /// <summary>Whether nothing is changed.</summary>
    public bool IsEmpty => _interventions.Length == 0;

    /// <summary>A plan of the given interventions.</summary>
    public static InterventionPlan Of(params ReadOnlySpan<Intervention> interventions) => new(interventions.ToArray());

    /// <summary>
    /// Freezes what makes the network nonlinear at the values of a run: every attention pattern, every norm scale and every gate before its SiLU. The network is then
    /// linear in the residual stream, so that what single paths carry adds up (Elhage et al. 2021).
    /// </summary>
    /// <param name="cache">A run of the model over as many tokens, recorded with at least <c>flow</c>.</param>
    public static InterventionPlan Freeze(ActivationCache cache) => Of(
        Intervention.Replace(HookPoint.Ln1Scale, cache),
        Intervention.Replace(HookPoint.Pattern, cache),
        Intervention.Replace(HookPoint.Ln2Scale, cache),
        Intervention.Replace(HookPoint.MlpPre, cache),
        Intervention.Replace(HookPoint.LnFinalScale, cache));

    /// <summary>This plan, and another after it.</summary>
    public InterventionPlan Then(InterventionPlan other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new([.. _interventions, .. other._interventions]);
    }

    /// <summary>This plan, and more interventions after it.</summary>
    public InterventionPlan Then(params ReadOnlySpan<Intervention> interventions) => new([.. _interventions, .. interventions]);
}
