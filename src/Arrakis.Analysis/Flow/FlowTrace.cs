using System.Globalization;
using System.Text;

namespace Arrakis.Analysis;

/// <summary>What one head carries from one position to another: A[h, t, s] · ⟨G_z[t, h], V(s)⟩.</summary>
/// <param name="Layer">The head's layer.</param>
/// <param name="Head">The head.</param>
/// <param name="Query">t: where it writes.</param>
/// <param name="Key">s: where it reads.</param>
/// <param name="Flow">Signed, in the units of the target.</param>
public readonly record struct FlowEdge(int Layer, int Head, int Query, int Key, double Flow);

/// <summary>One layer's cut through a flow: across its attention, Residual + Σ Heads = total; across its MLP, Mlp + what passes by = total.</summary>
public sealed class FlowLayer
{
    internal FlowLayer(int layer, double residual, double mlp, double bypass, double[] heads)
    {
        (Layer, Residual, Mlp, Bypass) = (layer, residual, mlp, bypass);
        Heads = heads;
    }

    /// <summary>The layer.</summary>
    public int Layer { get; }

    /// <summary>What stays at its position while the heads run.</summary>
    public double Residual { get; }

    /// <summary>What goes through the MLP; 0 where MLPs pass nothing on.</summary>
    public double Mlp { get; }

    /// <summary>What passes by the MLP.</summary>
    public double Bypass { get; }

    /// <summary>What every head carries, over all its edges. [H]</summary>
    public IReadOnlyList<double> Heads { get; }

    /// <summary>Residual + Σ Heads: the total, up to rounding.</summary>
    public double Sum => Residual + Heads.Sum();
}

/// <summary>One layer of a path.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Head">The head it moves with; null where it stays in the residual stream.</param>
/// <param name="From">The position before the layer.</param>
/// <param name="To">The position after it.</param>
/// <param name="Mlp">Whether it then goes through the layer's MLP, or past it.</param>
public readonly record struct FlowStep(int Layer, int? Head, int From, int To, bool Mlp);

/// <summary>One path from the source to the destination and what flows along it.</summary>
public sealed class FlowPath
{
    internal FlowPath(FlowStep[] steps, double flow)
    {
        Steps = steps;
        Flow = flow;
    }

    /// <summary>One step a layer.</summary>
    public IReadOnlyList<FlowStep> Steps { get; }

    /// <summary>Signed, in the units of the target.</summary>
    public double Flow { get; }

    /// <summary>Positions, and the heads and MLPs between them: <c>1 -> L0H3 -> 2 -> L1H5 -> 3   +0.214</c>.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Steps[0].From}");
        foreach (FlowStep step in Steps)
        {
            if (step.Head is { } head)
                text.Append(CultureInfo.InvariantCulture, $" -> L{step.Layer}H{head} -> {step.To}");
            if (step.Mlp)
                text.Append(CultureInfo.InvariantCulture, $" -> L{step.Layer}MLP");
        }

        return text.Append(CultureInfo.InvariantCulture, $"   {Flow:+0.000;-0.000}").ToString();
    }
}

/// <summary>What a head on the route does.</summary>
[Flags]
public enum HeadRoles
{
    /// <summary>It carries nothing, or little beside the other heads of its layer.</summary>
    None = 0,

    /// <summary>Where it carries the most to, it is one of its layer's write heads, by write norm.</summary>
    Writer = 1,

    /// <summary>There it is one of its layer's read heads, by what its queries, keys and values read of the source's share.</summary>
    Reader = 2,

    /// <summary>Both.</summary>
    Both = Writer | Reader,
}

/// <summary>What a head does on a route. Below the last layer a head may write elsewhere than at the destination: it is named by what it does where its strongest edge ends.</summary>
/// <param name="Layer">Its layer.</param>
/// <param name="Head">The head.</param>
/// <param name="Flow">What it carries over all its edges.</param>
/// <param name="WriteNorm">‖z W_O[h]‖₂ at the destination: all that it writes there, wherever it took it from.</param>
/// <param name="Query">The position at which its strongest edge ends; the destination where it has none.</param>
/// <param name="QueryWriteNorm">‖z W_O[h]‖₂ there.</param>
/// <param name="QShare">The signed share of its query there that comes from the source's share of the stream: ⟨p, q⟩ / ‖q‖².</param>
/// <param name="KShare">The same for the keys that it looks at from there, weighted by its pattern.</param>
/// <param name="VShare">The same for what its pattern takes from the values there: the pattern-weighted read share of z.</param>
/// <param name="Role">By the <see cref="SelectionRule.Share"/> rule at 0.8 within the layer, on the write norms and on √(q² + k² + v²) of the shares.</param>
public readonly record struct FlowHead(
    int Layer, int Head, double Flow, double WriteNorm, int Query, double QueryWriteNorm, double QShare, double KShare, double VShare, HeadRoles Role);

/// <summary>Whether the parts of a whole add up to it.</summary>
/// <param name="Sum">The sum of the parts.</param>
/// <param name="Expected">The whole: 1, the logit, or the attention score.</param>
/// <param name="Scale">The largest of |Expected| and the parts, to which the error is relative.</param>
public readonly record struct FlowConservation(double Sum, double Expected, double Scale)
{
    /// <summary>|Sum − Expected| / Scale: rounding, and nothing else.</summary>
    public double Error => Sum == Expected ? 0 : Math.Abs(Sum - Expected) / Scale;
}

/// <summary>
/// How information flows from one position to another through the network that is frozen at the patterns, norm scales and SiLU(gate) of a run: exact, signed, over all
/// paths. It says what moved, not why a head attended there, which a flow to its score says (<see cref="FlowTarget.Key"/>); only an intervention shows cause.
/// </summary>
public sealed class FlowTrace
{
    internal FlowTrace()
    {
    }

    /// <summary>The position it starts from.</summary>
    public required int Source { get; init; }

    /// <summary>The position at which it is measured.</summary>
    public required int Destination { get; init; }

    /// <summary>a: the layer before which it starts.</summary>
    public required int From { get; init; }

    /// <summary>n: the layers it passes.</summary>
    public required int Layers { get; init; }

    /// <summary>How MLPs were treated.</summary>
    public required MlpTreatment Mlp { get; init; }

    /// <summary>What it was measured against.</summary>
    public required FlowTarget Target { get; init; }

    /// <summary>The flow over all paths: a share of what stands at the destination, logits, or a part of the attention score.</summary>
    public required double Total { get; init; }

    /// <summary>The cut at every layer, the lowest first.</summary>
    public required IReadOnlyList<FlowLayer> PerLayer { get; init; }

    /// <summary>The strongest edges by |flow|, as many as were asked for; edges that carry nothing are not listed.</summary>
    public required IReadOnlyList<FlowEdge> Edges { get; init; }

    /// <summary>The strongest paths by |flow|, as many as were asked for and found.</summary>
    public required IReadOnlyList<FlowPath> Paths { get; init; }

    /// <summary>Whether every path was looked at, so that <see cref="Paths"/> are the strongest there are.</summary>
    public required bool PathsExhaustive { get; init; }

    /// <summary>The sum of the listed paths over the total. 1 where nothing flows and no path was found.</summary>
    public required double Coverage { get; init; }

    /// <summary>What every head did, layer by layer.</summary>
    public required IReadOnlyList<FlowHead> Heads { get; init; }

    /// <summary>The flow from the whole residual of every position, 0 for those after the destination; where it was asked for. [T]</summary>
    public required IReadOnlyList<double>? Sources { get; init; }

    /// <summary>With <see cref="MlpTreatment.Source"/> and all sources: the flow from every layer's MLP outputs, over all positions. [n]</summary>
    public required IReadOnlyList<double>? MlpSources { get; init; }

    /// <summary>Whether the flows of all sources add up to 1, to the logit, or to the attention score; where they were asked for.</summary>
    public required FlowConservation? Conservation { get; init; }

    /// <summary>
    /// How far the identities are off, relative to the largest part that enters them: the cuts at every layer against the total and, where it was asked for,
    /// <see cref="Conservation"/>.
    /// </summary>
    public required double ConservationError { get; init; }
}
