namespace Arrakis.Native;

/// <summary>What is refused of a plan before anything runs.</summary>
internal static class InterventionCheck
{
    /// <summary>Refuses a plan that a model of this shape cannot run.</summary>
    public static void Plan(InterventionPlan plan, LlamaConfig config)
    {
        foreach (Intervention i in plan.Interventions)
        {
            Place(i, config);
            Key(i);
            Operation(i, config);
        }

        EmptyRows(plan, config);
    }

    /// <summary>Refuses a source that is not a run of this model over the tokens of the pass.</summary>
    public static void Cache(ActivationCache cache, in CacheOrigin model, ActivationCache? own, int past, int tokens)
    {
        if (ReferenceEquals(cache, own))
            throw new ArrakisException("an intervention reads from the session's own cache, which the pass overwrites: take that of another session, or a saved one");
        if (cache.Tokens == 0)
            throw new ArrakisException("an intervention reads from a cache that is empty: run its session first, and keep it as it is until this one has run");
        if (cache.FindOther(model) is { } difference)
            throw new ArrakisException($"an intervention reads from a cache of another model: {difference}");
        if (cache.Tokens != tokens || cache.Past != past)
        {
            throw new ArrakisException(
                $"an intervention reads from a cache of positions {cache.Past}-{cache.Past + cache.Tokens - 1}, and the pass has {past}-{past + tokens - 1}: use inputs of equal length");
        }
    }

    /// <summary>Refuses means that are not of this model, or of another length.</summary>
    public static void Means(ActivationMeans means, HookPoint point, in CacheOrigin model, int past, int tokens)
    {
        if (means.Origin is not { } origin)
            throw new ArrakisException("an intervention reads means of no runs: add at least one");
        bool sameShape = point.Shape(origin.Config, 1, 1) == point.Shape(model.Config, 1, 1);
        string? difference = sameShape ? origin.FindOther(model) : $"{point.ShortName()} has another shape";
        if (difference is not null)
            throw new ArrakisException($"an intervention reads means of another model: {difference}");
        if (means.PerPosition && past + tokens != means.Tokens)
            throw new ArrakisException($"an intervention reads means of {means.Tokens} positions, and the sequence has {past + tokens}: use inputs of equal length, or means over all positions");
        if (means.PerPosition && past > 0)
            throw new ArrakisException("an intervention reads means per position of a sequence that is continued: run the whole sequence with Forward");
    }

    private static void Place(Intervention i, LlamaConfig config)
    {
        string where = i.Point.ShortName();
        if (i.Layer >= config.NumHiddenLayers)
            throw new ArrakisException($"an intervention at {where} names layer {i.Layer}: the model has layers 0-{config.NumHiddenLayers - 1}");
        int heads = i.Point.Heads(config);
        if (i.Head is not null && heads == 0)
            throw new ArrakisException($"an intervention at {where} names head {i.Head}: this hook point has no heads");
        if (i.Head >= heads)
            throw new ArrakisException($"an intervention at {where} names head {i.Head}: the model has {(heads == config.NumAttentionHeads ? "" : "kv ")}heads 0-{heads - 1} there");
        if (i.Position >= config.MaxPositionEmbeddings)
            throw new ArrakisException($"an intervention at {where} names position {i.Position}: the model's context has positions 0-{config.MaxPositionEmbeddings - 1}");
        if (i.Reader is null)
            return;
        if (i.Point is not (HookPoint.K or HookPoint.RotK or HookPoint.V))
            throw new ArrakisException($"an intervention at {where} is confined to what query head {i.Reader} reads: only keys and values are read by several heads");
        if (i.Reader >= config.NumAttentionHeads)
            throw new ArrakisException($"an intervention at {where} names query head {i.Reader}: the model has heads 0-{config.NumAttentionHeads - 1}");
    }

    private static void Key(Intervention i)
    {
        string where = i.Point.ShortName();
        bool byKey = i.Point is HookPoint.AttnScores or HookPoint.Pattern;
        if (i.Key is not null && !byKey)
            throw new ArrakisException($"an intervention at {where} names key {i.Key}: only {HookPoint.AttnScores.ShortName()} and {HookPoint.Pattern.ShortName()} have keys");
        if (i.Key > i.Position)
            throw new ArrakisException($"an intervention at {where} names key {i.Key} of query {i.Position}: a query reads what stands at or before it");
        if (byKey && i.Vector is not null && i.Key is null)
            throw new ArrakisException($"an intervention at {where} has a vector, and rows there differ in length: name the key and give one number");
    }

    private static void Operation(Intervention i, LlamaConfig config)
    {
        string where = i.Point.ShortName();
        if (i.Vector is { } vector)
        {
            int width = i.Key is not null ? 1 : i.Point.Width(config, 1);
            if (vector.Length != width)
                throw new ArrakisException($"an intervention at {where} has a vector of {vector.Length} numbers: a row there has {width}");
            if (vector.AsSpan().ContainsAnyExceptInRange(float.MinValue, float.MaxValue))
                throw new ArrakisException($"an intervention at {where} has a vector that holds values that are not finite");
        }

        bool cut = i is { Kind: InterventionKind.Fill, Point: HookPoint.AttnScores };
        if (!float.IsFinite(i.Factor) && !cut)
            throw new ArrakisException($"an intervention at {where} has the factor {i.Factor}, which is not a finite number");
        bool scale = i.Point is HookPoint.Ln1Scale or HookPoint.Ln2Scale or HookPoint.LnFinalScale;
        bool zero = i.Kind is InterventionKind.Fill or InterventionKind.Scale && i.Factor == 0;
        if (scale && (zero || (i.Kind == InterventionKind.Replace && i.Vector is [0])))
            throw new ArrakisException($"an intervention makes {where} zero, and it is a divisor");
    }

    /// <summary>Refuses cuts that leave a query no key to give its weight to.</summary>
    private static void EmptyRows(InterventionPlan plan, LlamaConfig config)
    {
        var cuts = plan.Interventions.Where(i => i is { Kind: InterventionKind.Fill, Point: HookPoint.AttnScores } && float.IsNegativeInfinity(i.Factor));
        foreach (var row in cuts.GroupBy(i => (i.Layer, i.Head, i.Position)))
        {
            if (row.Select(i => i.Key).Distinct().Count() == row.Key.Position + 1)
            {
                throw new ArrakisException(
                    $"every edge of query {row.Key.Position} of head {row.Key.Layer}.{row.Key.Head} is cut, and nothing is left to renormalise: leave a key, or do not renormalise");
            }
        }
    }
}
