using Arrakis.Analysis.Numerics;
using Arrakis.Native;

namespace Arrakis.Analysis;

/// <summary>
/// One variant of a run: what is changed, and which rows are other than in the run. A change reaches no earlier layer and, attention being causal, no earlier position.
/// </summary>
internal sealed class Branch
{
    private readonly Intervention[] _own;
    private readonly Intervention[] _readInBackground;
    private readonly InterventionPlan _variant, _background;
    private readonly CacheOrigin _model;
    private readonly int _tokens;
    private BoundInterventions? _plan, _change;

    /// <param name="index">Its number among the variants.</param>
    /// <param name="variant">What is changed.</param>
    /// <param name="background">What the run itself was changed by.</param>
    /// <param name="model">Whose run it is.</param>
    /// <param name="tokens">T.</param>
    /// <exception cref="ArrakisException">The variant does not fit the model or the run.</exception>
    public Branch(int index, InterventionPlan variant, InterventionPlan background, CacheOrigin model, int tokens)
    {
        (Index, _variant, _background, _model, _tokens) = (index, variant, background, model, tokens);
        _own = [.. variant.Interventions];
        _readInBackground = [.. background.Interventions.Where(i => i.Reader is not null)];
        Bind(variant);
        int layers = model.Config.NumHiddenLayers;
        StartLayer = _own.Min(i => IsFinal(i.Point) ? layers : i.Layer ?? 0);
        First = _own.Concat(_readInBackground).Min(i => i.Position ?? 0);
    }

    public int Index { get; }

    /// <summary>
    /// What is done to rows that are made anew, the run's changes and then the variant's, between <see cref="Begin"/> and <see cref="End"/>: a sweep may have more variants
    /// than there is room for their plans.
    /// </summary>
    public BoundInterventions Plan => _plan ?? throw new InvalidOperationException("the variant has not begun");

    /// <summary>What is done to rows taken from the run, which holds its own changes already: the variant's alone.</summary>
    public BoundInterventions Change => _change ?? throw new InvalidOperationException("the variant has not begun");

    /// <summary>The first layer in which anything is changed; L where it is behind the last.</summary>
    public int StartLayer { get; }

    /// <summary>The first position at which anything is made anew.</summary>
    public int First { get; }

    /// <summary>Rows whose keys and values a layer makes anew.</summary>
    public Window In { get; private set; } = Empty;

    /// <summary>Rows whose stream a layer makes anew; after it, the rows that are other than the run's.</summary>
    public Window Out { get; private set; } = Empty;

    /// <summary>Rows of <see cref="Out"/> as the layer before left them.</summary>
    public Window Before { get; private set; } = Empty;

    /// <summary>Where its rows begin among those of the batch: of <see cref="In"/>, of <see cref="Out"/>, and of the layer before.</summary>
    public int InAt { get; set; }

    /// <inheritdoc cref="InAt"/>
    public int OutAt { get; set; }

    /// <inheritdoc cref="InAt"/>
    public int BeforeAt { get; set; }

    /// <summary>Where the queries of its rows begin.</summary>
    public int QueryAt { get; set; }

    private static Window Empty => new(0, -1);

    /// <summary>Makes the plan ready.</summary>
    public void Begin()
    {
        _change = Bind(_variant);
        _plan = _background.IsEmpty ? _change : Bind(_background.Then(_variant));
    }

    /// <summary>Lets go of it.</summary>
    public void End() => _plan = _change = null;

    /// <summary>Goes on to a layer.</summary>
    /// <param name="layer">Which.</param>
    /// <param name="wanted">Rows whose stream is wanted of it.</param>
    public void Enter(int layer, Window wanted)
    {
        (Before, BeforeAt) = (Out, OutAt);
        In = Hull(Before, Touched(layer, beforeAttention: true, wanted.Last));
        // Where attention is done anew, what single heads read of the run's rows is not among what it recorded.
        foreach (Intervention i in In.Length == 0 ? [] : _readInBackground)
            In = (i.Layer ?? layer) == layer ? Hull(In, Rows(i, wanted.Last)) : In;
        In = Clip(In, new(0, wanted.Last));
        Window after = Touched(layer, beforeAttention: false, wanted.Last);
        // A key or a value that is other changes all that look at it.
        Out = Clip(In.Length > 0 ? Hull(after, new(In.First, wanted.Last)) : after, wanted);
    }

    /// <summary>Behind the last layer: rows that the last norm and the unembedding change.</summary>
    public void Finish(Window wanted)
    {
        (Before, BeforeAt, In) = (Out, OutAt, Empty);
        Window touched = Empty;
        foreach (Intervention i in _own)
        {
            if (IsFinal(i.Point))
                touched = Hull(touched, Rows(i, wanted.Last));
        }

        Out = Clip(Hull(Before, touched), wanted);
    }

    private BoundInterventions Bind(InterventionPlan plan)
    {
        var bound = new BoundInterventions(plan, _model);
        bound.Bind(null, 0, _tokens);
        return bound;
    }

    private static bool IsFinal(HookPoint point) => point is HookPoint.LnFinalScale or HookPoint.LnFinalNormalized or HookPoint.Logits;

    private Window Touched(int layer, bool beforeAttention, int last)
    {
        Window touched = Empty;
        foreach (Intervention i in _own)
        {
            bool here = !IsFinal(i.Point) && (i.Layer ?? layer) == layer && i.Point <= HookPoint.Pattern == beforeAttention;
            touched = here ? Hull(touched, Rows(i, last)) : touched;
        }

        return touched;
    }

    private static Window Rows(Intervention i, int last) => i.Position is { } p ? (p <= last ? new(p, p) : Empty) : new(0, last);

    private static Window Hull(Window a, Window b) =>
        a.Length == 0 ? b : b.Length == 0 ? a : new(Math.Min(a.First, b.First), Math.Max(a.Last, b.Last));

    private static Window Clip(Window a, Window to)
    {
        var clipped = new Window(Math.Max(a.First, to.First), Math.Min(a.Last, to.Last));
        return clipped.Length > 0 ? clipped : Empty;
    }
}
