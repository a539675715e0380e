using Arrakis.Native.Memory;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;
using Microsoft.Extensions.ObjectPool;

namespace Arrakis.Native;

/// <summary>
/// A Llama: its shape and its weights, immutable, shared by any number of sessions on any number of threads. Weights of a file stay in the file, mapped,
/// unless <see cref="LoadOptions"/> asks for a copy. Disposing it closes the file once the last session over it is disposed too.
/// </summary>
public sealed class LlamaModel : IDisposable
{
    private readonly ModelSource? _source;
    private readonly Lock _lifetime = new();
    private int _sessions;
    private int _readAhead;
    private volatile bool _disposed;
    private volatile string? _fingerprint;

    private LlamaModel(string name, LlamaConfig config, LlamaWeights weights, ModelSource? source)
    {
        Name = name;
        Config = config;
        Weights = weights;
        _source = source;
        Rotary = new RotaryTable(config, source?.RopeFrequencyDivisors);
        var provider = new DefaultObjectPoolProvider();
        Arenas = provider.Create(new ArenaPolicy());
    }

    /// <summary>Where it came from: the path it was loaded from, or <c>random</c>.</summary>
    public string Name { get; }

    /// <summary>Its shape.</summary>
    public LlamaConfig Config { get; }

    /// <summary>How it is stored: <c>safetensors</c>, <c>gguf</c>, <c>llama2.c</c> or <c>random</c>.</summary>
    public string Format => _source?.Format ?? "random";

    internal LlamaWeights Weights { get; }

    internal RotaryTable Rotary { get; }

    /// <summary>Memory for sessions and analyses. Another pool is for tests, which count.</summary>
    internal ObjectPool<Arena> Arenas { get; set; }

    /// <summary>
    /// Opens a model: a folder with <c>config.json</c> and safetensors (one file, or shards), a GGUF file, or a llama2.c <c>.bin</c> file.
    /// Everything is checked here; the weights themselves are read when they are first used.
    /// </summary>
    /// <param name="path">Where it is.</param>
    /// <param name="options">Whether its weights are mapped or copied; null for the defaults.</param>
    /// <param name="cancellation">Looked at before every file and, where weights are copied, every 64 MiB.</param>
    /// <exception cref="ModelFormatException">There is no such model, it is damaged, or it asks for what is not supported.</exception>
    public static LlamaModel Load(string path, LoadOptions? options = null, CancellationToken cancellation = default) => Load(path, path, options, cancellation);

    /// <summary>The same under another name than its path.</summary>
    internal static LlamaModel Load(string path, string name, LoadOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        ModelSource source = ModelSource.Open(path, (options ?? new LoadOptions()).Memory, cancellation);
        try
        {
            return new LlamaModel(name, source.Config, LlamaWeights.Bind(source.Config, source.Matrix, source.Vector, source), source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>A model with random weights: the same bits for the same seed on every machine. Useful for tests and for measuring speed.</summary>
    /// <param name="config">Its shape.</param>
    /// <param name="seed">Any number.</param>
    /// <param name="elementType">How its matrices are stored.</param>
    /// <param name="cancellation">Looked at before every row of a matrix.</param>
    /// <exception cref="ArrakisException">The shape is impossible, or its rows are no whole blocks of the element type.</exception>
    public static LlamaModel CreateRandom(LlamaConfig config, ulong seed, ElementType elementType = ElementType.F32, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (config.FindFault() is { } fault)
            throw new ArrakisException(fault);
        return new LlamaModel("random", config, RandomWeights.Create(config, seed, elementType, cancellation), null);
    }

    /// <summary>A session: memory for one sequence at a time. Cheap; not for several threads at once.</summary>
    /// <param name="plan">What its passes record; null for nothing.</param>
    /// <param name="options">Threads, kernels, budget; null for the defaults.</param>
    /// <exception cref="ArrakisException">
    /// A plan names a layer, or interventions a head, a position or values, that the model does not have; the kernels are not those of this machine; or there are more threads than a
    /// session may have, or than the machine starts.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">The threads or the budget are negative.</exception>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public LlamaSession CreateSession(RecordingPlan? plan = null, SessionOptions? options = null)
    {
        lock (_lifetime)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var session = new LlamaSession(this, plan ?? RecordingPlan.None, options ?? new SessionOptions());
            _sessions++;
            return session;
        }
    }

    /// <summary>Loads a cache that was saved from this model, so that what was not recorded can be computed from what was.</summary>
    /// <exception cref="ArrakisException">The file is damaged, or it was saved from another model: of another shape, or with other weights.</exception>
    public ActivationCache LoadCache(string path)
    {
        ActivationCache cache = ActivationCache.Load(path);
        if (cache.FindOther(CacheOrigin.Of(this)) is { } difference)
            throw Said.Fault(path, $"this is no run of this model: {difference}");
        // What its tensors do not tell: the width of the stream is that of what its heads write.
        (cache.Config, cache.Source) = (Config, this);
        cache.ResultSource = (layer, z, result) =>
        {
            using LlamaSession session = CreateSession();
            session.ComputeResult(layer, z, result);
        };
        return cache;
    }

    /// <summary>Lets go of the weights; those of a file are unmapped once no session uses them.</summary>
    public void Dispose()
    {
        lock (_lifetime)
        {
            if (_disposed)
                return;
            _disposed = true;
            if (_sessions == 0)
                _source?.Dispose();
        }
    }

    /// <summary>Refuses weights whose file another program has cut short since it was mapped.</summary>
    /// <exception cref="ModelFormatException">It has.</exception>
    internal void CheckWeights() => _source?.CheckWhole();

    /// <summary>Keeps the weights in place until <see cref="Release"/>, for work that needs no session.</summary>
    internal void Hold()
    {
        CheckWeights();
        lock (_lifetime)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _sessions++;
        }
    }

    internal void Release()
    {
        lock (_lifetime)
        {
            _sessions--;
            if (_disposed && _sessions == 0)
                _source?.Dispose();
        }
    }

    /// <summary>What tells its weights from others', taken when it is first asked for; null where that is after they were let go of, or were cut short.</summary>
    internal string? Fingerprint()
    {
        lock (_lifetime)
        {
            if (_fingerprint is not null || (_disposed && _sessions == 0))
                return _fingerprint;
            _sessions++;
        }

        try
        {
            CheckWeights();
            return _fingerprint = WeightsFingerprint.Of(this);
        }
        catch (ModelFormatException)
        {
            // What was recorded before the file was cut short may still be saved; names tell then.
            return null;
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Before a first pass: has large weights that are mapped read ahead of it, which is what it returns; else null. The caller holds the model.</summary>
    /// <param name="least">Bytes of weights that are large.</param>
    internal ReadAhead? ReadAheadOnce(long least = ReadAhead.LeastBytes)
    {
        if (Volatile.Read(ref _readAhead) != 0 || Interlocked.Exchange(ref _readAhead, 1) != 0 || _source is not { Memory: WeightMemory.Mapped })
            return null;
        // What does not fit beside everything else would only push out what was read before.
        if (WeightBytes < least || WeightBytes > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2)
            return null;
        lock (_lifetime)
            _sessions++;
        var ahead = new ReadAhead(Weights, () => _disposed);
        ahead.Start(Release);
        return ahead;
    }

    /// <summary>What a file says of itself, for <c>arrakis info</c>.</summary>
    internal IReadOnlyDictionary<string, int> CountTensorsByType()
    {
        var counts = new Dictionary<string, int>();
        foreach (StoredTensor tensor in _source?.Weights ?? [])
            counts[tensor.TypeName] = counts.GetValueOrDefault(tensor.TypeName) + 1;
        return counts;
    }

    /// <summary>Bytes of the weights in the file.</summary>
    internal long WeightBytes => _source?.Weights.Sum(tensor => tensor.ByteLength) ?? 0;

    private sealed class ArenaPolicy : PooledObjectPolicy<Arena>
    {
        public override Arena Create() => new();

        public override bool Return(Arena obj) => true;
    }
}
