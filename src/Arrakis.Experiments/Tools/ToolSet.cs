using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>What a tool is made of.</summary>
public sealed class ToolInput
{
    private readonly HookedAutoModel _model;
    private readonly Action<ActivationCache> _looked;

    internal ToolInput(HookedAutoModel model, Action<ActivationCache> looked) => (_model, _looked) = (model, looked);

    /// <summary>The model.</summary>
    public LlamaModel Model => _model.Model;

    /// <summary>Threads and kernels.</summary>
    public AnalysisOptions Options => _model.Analysis;

    /// <summary>
    /// What the last pass recorded; null before the first. An experiment whose tool looks at it is logged with the pass's token ids, and with those of every later pass: the tool
    /// sees them too.
    /// </summary>
    public ActivationCache? Cache
    {
        get
        {
            ActivationCache? cache = _model.Cache;
            if (cache is not null)
                _looked(cache);
            return cache;
        }
    }

    /// <summary>The same for a tool that cannot do without.</summary>
    /// <exception cref="ArrakisException">There has been no pass.</exception>
    public ActivationCache RecordedCache => Cache ?? throw new ArrakisException("the tool looks at a recorded pass, and there has been none: call the model's Forward first");

    /// <summary>The token ids of that pass, for a tool that runs them again.</summary>
    /// <exception cref="ArrakisException">There has been no pass.</exception>
    public int[] RecordedIds => RecordedCache.Ids.ToArray();
}

/// <summary>Tools by name. Those of the analysis are there from the beginning; add your own in one line.</summary>
/// <remarks>A tool is made anew whenever an experiment asks for it, so that it looks at the pass that was recorded last.</remarks>
public sealed class ToolSet
{
    private readonly Dictionary<string, Func<ToolInput, object>> _tools = new(StringComparer.Ordinal);

    internal ToolSet()
    {
        Add("write_read", input => new ReadWriteHeads(input.Model, input.Cache, input.Options));
        Add("writes", input => new WritesTool(input.Model, input.Cache, input.Options));
        Add("reads", input => new ReadsTool(input.Model, input.Cache, input.Options));
        Add("flow", input => new FlowTool(input.Model, input.RecordedCache, input.Options));
        Add("composition", input => new CompositionTool(input.Model, input.Options));
        Add("copying", input => new CopyingTool(input.Model, input.Options));
        Add("detectors", input => new DetectorsTool(input.Model, input.Options));
        Add("logit_attribution", input => new LogitAttributionTool(input.Model, input.RecordedCache, input.Options));
        Add("logit_lens", input => new LogitLensTool(input.Model, input.RecordedCache, input.Options));
        Add("rollout", input => new RolloutTool(input.Model, input.RecordedCache, input.Options));
        Add("routes", input => new RoutesTool(input.Model, input.RecordedCache, input.Options));
        Add("ablation", input => new AblationTool(input.Model, input.RecordedIds, input.Options));
        Add("head_attribution", input => new HeadAttributionTool(input.Model, input.RecordedIds, input.Options));
        Add("activation_patching", input => new ActivationPatchingTool(input.Model, input.RecordedIds, input.Options));
        Add("path_patching", input => new PathPatchingTool(input.Model, input.RecordedIds, input.Options));
    }

    /// <summary>Their names, in alphabetical order.</summary>
    public IReadOnlyList<string> Names => [.. _tools.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Adds a tool, or replaces the one of that name. Not while experiments run.</summary>
    /// <param name="name">What experiments ask for.</param>
    /// <param name="make">Makes it of the model and what was recorded.</param>
    /// <exception cref="ArrakisException">The name is empty.</exception>
    public void Add<T>(string name, Func<ToolInput, T> make)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(make);
        if (string.IsNullOrWhiteSpace(name))
            throw new ArrakisException("a tool needs a name to be asked for by");
        _tools[name] = make;
    }

    internal T Make<T>(string name, ToolInput input)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!_tools.TryGetValue(name, out Func<ToolInput, object>? make))
            throw new ArrakisException($"there is no tool '{name}': use {string.Join(", ", Names)}, or add it to Tools");
        object tool = make(input);
        return tool as T ?? throw new ArrakisException($"the tool '{name}' is a {tool.GetType().Name}, not a {typeof(T).Name}: ask for that");
    }
}
