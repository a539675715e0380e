using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>
/// A model and one session that records its passes: what experiments are done on. The session's memory is made with the first pass. Not for several passes at once;
/// what looks at the weights alone may run on any number of threads.
/// </summary>
public sealed class HookedAutoModel : IDisposable
{
    private readonly Lock _making = new();
    private readonly RecordingPlan _plan;
    private readonly SessionOptions _options;
    private readonly Lazy<string> _hash;
    private readonly bool _owns;
    private LlamaSession? _session;

    /// <summary>A model of this shape with random weights: the same bits for the same seed on every machine.</summary>
    /// <param name="config">Its shape.</param>
    /// <param name="seed">Any number.</param>
    /// <param name="plan">What its passes record; null for <c>flow</c>, which every analysis can do with.</param>
    /// <param name="options">Threads and kernels, of passes and analyses; null for the defaults.</param>
    /// <exception cref="ArrakisException">The shape is impossible.</exception>
    public HookedAutoModel(HookedAutoConfig config, ulong seed = 0, RecordingPlan? plan = null, SessionOptions? options = null)
        : this(Random(config, seed), config.Name, owns: true, plan, options) => Seed = seed;

    /// <summary>A model that is at hand, and stays the caller's to dispose.</summary>
    /// <param name="model">The model.</param>
    /// <param name="plan">What its passes record; null for <c>flow</c>.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    public HookedAutoModel(LlamaModel model, RecordingPlan? plan = null, SessionOptions? options = null)
        : this(model, ShortName(model), owns: false, plan, options)
    {
    }

    private HookedAutoModel(LlamaModel model, string name, bool owns, RecordingPlan? plan, SessionOptions? options)
    {
        (Model, Name, _owns) = (model, name, owns);
        _plan = plan ?? RecordingPlan.Flow;
        _options = options ?? new SessionOptions();
        _hash = new Lazy<string>(() => ModelHash.Of(model));
        Analysis = new AnalysisOptions { Threads = _options.Threads, Kernels = _options.Kernels };
    }

    /// <summary>Opens a model as <see cref="LlamaModel.Load(string, LoadOptions?, CancellationToken)"/> does.</summary>
    /// <param name="path">A folder with <c>config.json</c> and safetensors, a GGUF file, or a llama2.c file.</param>
    /// <param name="plan">What its passes record; null for <c>flow</c>.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <exception cref="ModelFormatException">There is no such model, it is damaged, or it asks for what is not supported.</exception>
    public static HookedAutoModel Load(string path, RecordingPlan? plan = null, SessionOptions? options = null)
    {
        LlamaModel model = LlamaModel.Load(path);
        return new HookedAutoModel(model, ShortName(model), owns: true, plan, options);
    }

    /// <summary>What it is called in logs: the architecture of a random model, the last part of the path of one that was loaded.</summary>
    public string Name { get; }

    /// <summary>The model itself.</summary>
    public LlamaModel Model { get; }

    /// <summary>The seed of random weights; null where they were loaded.</summary>
    public ulong? Seed { get; }

    /// <summary>SHA-256 over its shape and all its weights as they are stored, in lower-case hexadecimal; computed once, when it is first asked for.</summary>
    public string Hash => _hash.Value;

    /// <summary>Threads and kernels of analyses.</summary>
    public AnalysisOptions Analysis { get; }

    /// <summary>What the last pass recorded; null before the first. The same object for every pass.</summary>
    public ActivationCache? Cache => _session is { Position: > 0 } session ? session.Cache : null;

    /// <summary>The instructions in use, or that a session would choose.</summary>
    public KernelTier Kernels => KernelTiers.Resolve(_options.Kernels);

    /// <summary>Runs a new sequence from its beginning, recorded.</summary>
    /// <inheritdoc cref="LlamaSession.Forward"/>
    public ReadOnlySpan<float> Forward(scoped ReadOnlySpan<int> ids, CancellationToken cancellation = default)
    {
        ReadOnlySpan<float> logits = Session().Forward(ids, cancellation);
        Recorded?.Invoke();
        return logits;
    }

    /// <summary>Lets go of the session, and of the model where it is this one's own.</summary>
    public void Dispose()
    {
        _session?.Dispose();
        if (_owns)
            Model.Dispose();
    }

    /// <summary>A pass has run, and is in the cache.</summary>
    internal event Action? Recorded;

    internal SessionOptions Options => _options;

    private LlamaSession Session()
    {
        lock (_making)
            return _session ??= Model.CreateSession(_plan, _options);
    }

    private static LlamaModel Random(HookedAutoConfig config, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(config);
        return LlamaModel.CreateRandom(config.ToLlamaConfig(), seed);
    }

    // A log tells nothing of where things lie on a machine.
    private static string ShortName(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(model.Name));
        return name.Length > 0 && name is not ("." or "..") ? name : model.Format;
    }
}
