using System.Globalization;
using System.Numerics.Tensors;
using Arrakis.Native.Weights;

namespace Arrakis.Native;

/// <summary>
/// What a forward pass recorded, by hook point and layer or by TransformerLens name. A session's cache is a view of the session's memory: it holds the last
/// pass, and a span that is kept past the next pass, or past the session, shows other numbers then (but never memory that is gone).
/// </summary>
/// <remarks>Readable from several threads while no pass runs.</remarks>
public sealed class ActivationCache
{
    private const string Format = "arrakis-cache";
    private const string Version = "1";

    private readonly Dictionary<(HookPoint Point, int Layer), int> _slots = [];
    private readonly ReadOnlyMemory<float>[] _values;
    private readonly string[] _names;
    private readonly (HookPoint Point, int Layer)[] _points;
    private readonly Dictionary<int, float[]> _results = [];
    private int[] _ids = [];
    private bool _filled;
    private bool _closed;

    /// <summary>An empty cache for what a plan keeps.</summary>
    internal ActivationCache(LlamaConfig config, IReadOnlyList<(HookPoint Point, int Layer)> points, Func<HookPoint, int, int> slotOf, int slots)
    {
        Config = config;
        _points = [.. points];
        _names = [.. points.Select(p => p.Point.Name(p.Layer))];
        foreach ((HookPoint point, int layer) in points)
            _slots[(point, layer)] = slotOf(point, layer);
        _values = new ReadOnlyMemory<float>[slots];
    }

    /// <summary>T: the tokens of the pass.</summary>
    public int Tokens { get; private set; }

    /// <summary>Tokens of the sequence before them. Patterns and scores have S = Past + Tokens keys.</summary>
    public int Past { get; private set; }

    /// <summary>The token ids of the pass.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Tokens);

    /// <summary>Where the model came from, or <c>random</c>.</summary>
    public string Model { get; internal init; } = "";

    /// <summary>What is recorded, in the order of the forward pass.</summary>
    public IReadOnlyList<string> Names => _names;

    /// <summary>
    /// The hook points, by name, at which interventions were to change the pass; empty where it ran as the weights say. Measures that follow the weights refuse a run that was
    /// changed where they would no longer tell what happened.
    /// </summary>
    public IReadOnlyList<string> Changed { get; internal set; } = [];

    /// <summary>Bytes of the recorded tensors; what two names share counts once. 0 while nothing is recorded.</summary>
    public long Bytes
    {
        get
        {
            long bytes = 0;
            foreach (ReadOnlyMemory<float> tensor in _filled ? _values : [])
                bytes += sizeof(float) * (long)tensor.Length;
            return bytes;
        }
    }

    /// <summary>The model's shape; of a file that was loaded by itself, as far as its tensors tell it.</summary>
    internal LlamaConfig Config { get; set; }

    /// <summary>Which model's run this is.</summary>
    internal CacheOrigin Origin => new(Config, Source, Model, Fingerprint);

    /// <summary>The model that ran; null where a file was loaded by itself.</summary>
    internal LlamaModel? Source { get; set; }

    /// <summary>What a file says of the weights that the run was with: <see cref="LlamaModel.Fingerprint"/>.</summary>
    internal string? Fingerprint { get; init; }

    /// <summary>Computes attn.hook_result [T, H, D] of a layer from its z; null where no model is at hand.</summary>
    internal Action<int, ReadOnlyMemory<float>, float[]>? ResultSource { get; set; }

    /// <summary>Whether a hook point is recorded, of that layer (ignored where it has none).</summary>
    public bool Contains(HookPoint point, int layer = 0) => _slots.ContainsKey(Key(point, layer));

    /// <summary>Whether a TransformerLens name is recorded.</summary>
    public bool Contains(string name) => HookNames.TryParse(name, out HookPoint point, out int layer) && Contains(point, layer);

    /// <summary>The values of a hook point, in its shape (see <see cref="HookPoint"/>). <c>attn.hook_result</c> is computed from z where it is not recorded.</summary>
    /// <param name="point">The hook point.</param>
    /// <param name="layer">Its layer; ignored where it has none.</param>
    /// <returns>Not a copy: what is kept past the session's next pass, or past the session, shows other numbers then, but never memory that is gone.</returns>
    /// <exception cref="ArrakisException">The model has no such layer, or it is not recorded; the message says which recording has it, or of which layers this one does.</exception>
    /// <exception cref="InvalidOperationException">No pass has run yet.</exception>
    /// <exception cref="ObjectDisposedException">The session was disposed.</exception>
    public ReadOnlyTensorSpan<float> this[HookPoint point, int layer = 0]
    {
        get
        {
            ReadOnlySpan<float> values = Flat(point, layer);
            (int a, int b, int c) = point.Shape(Config, Tokens, Past + Tokens);
            return c == 0 ? new(values, [a, b], default) : new(values, [a, b, c], default);
        }
    }

    /// <summary>The values of a TransformerLens name, such as <c>blocks.0.attn.hook_pattern</c>.</summary>
    /// <returns>Not a copy: what is kept past the session's next pass, or past the session, shows other numbers then, but never memory that is gone.</returns>
    /// <exception cref="ArrakisException">There is no such hook point, or it is not recorded.</exception>
    public ReadOnlyTensorSpan<float> this[string name]
    {
        get
        {
            (HookPoint point, int layer) = Parse(name);
            return this[point, layer];
        }
    }

    /// <summary>The values of a hook point, row-major in its shape.</summary>
    /// <inheritdoc cref="this[HookPoint, int]"/>
    public ReadOnlySpan<float> Flat(HookPoint point, int layer = 0) => Values(point, layer).Span;

    /// <summary>The same as memory.</summary>
    internal ReadOnlyMemory<float> Values(HookPoint point, int layer)
    {
        CheckFilled();
        if (_slots.TryGetValue(Key(point, layer), out int slot))
            return _values[slot];
        if (point == HookPoint.Result && ResultSource is not null && _slots.TryGetValue((HookPoint.Z, layer), out int z))
            return ComputedResult(layer, _values[z]);
        throw new ArrakisException(WhyMissing(point, layer));
    }

    private string WhyMissing(HookPoint point, int layer)
    {
        string name = point.Name(layer);
        // A file that was loaded by itself does not tell how many layers its model has.
        if (Source is not null && point.IsPerLayer() && (uint)layer >= (uint)Config.NumHiddenLayers)
            return $"there is no {name}: the model has layers 0-{Config.NumHiddenLayers - 1}";
        int[] layers = [.. _points.Where(p => p.Point == point).Select(p => p.Layer)];
        if (layers.Length == 0)
            return $"{name} is not recorded: record '{point.ShortName()}'";
        bool run = layers[^1] - layers[0] == layers.Length - 1;
        return $"{name} is not recorded: the recording has '{point.ShortName()}' of layers {(run ? $"{layers[0]}-{layers[^1]}" : string.Join(", ", layers))}";
    }

    /// <summary>The values of a TransformerLens name, row-major in its shape.</summary>
    /// <inheritdoc cref="this[string]"/>
    public ReadOnlySpan<float> Flat(string name)
    {
        (HookPoint point, int layer) = Parse(name);
        return Flat(point, layer);
    }

    /// <summary>Saves everything recorded as safetensors, F32, under the TransformerLens names. The file is written beside its place and renamed.</summary>
    /// <param name="path">Where.</param>
    /// <param name="cancellation">Looked at before every tensor; nothing is left behind.</param>
    /// <exception cref="ArrakisException">It cannot be written; nothing is left behind.</exception>
    public void Save(string path, CancellationToken cancellation = default)
    {
        CheckFilled();
        var writer = new SafetensorsWriter
        {
            Metadata =
            {
                ["format"] = Format,
                ["version"] = Version,
                ["model"] = Model,
                ["ids"] = "[" + string.Join(", ", Ids.ToArray().Select(id => id.ToString(CultureInfo.InvariantCulture))) + "]",
                ["past"] = Past.ToString(CultureInfo.InvariantCulture),
                ["rope_layout"] = Config.RotaryLayout == RotaryLayout.Halves ? "halves" : "pairs",
            },
        };
        if (Origin.FindFingerprint() is { } fingerprint)
            writer.Metadata["weights"] = fingerprint;
        if (Changed.Count > 0)
            writer.Metadata["changed"] = string.Join(", ", Changed);
        foreach ((HookPoint point, int layer) in _points)
        {
            (int a, int b, int c) = point.Shape(Config, Tokens, Past + Tokens);
            if (c == 0)
                writer.Add(point.Name(layer), a, b);
            else
                writer.Add(point.Name(layer), a, b, c);
        }

        writer.Write(path, index => Flat(_points[index].Point, _points[index].Layer), cancellation);
    }

    /// <summary>Loads a saved cache. It stands by itself, but cannot compute what was not recorded.</summary>
    /// <exception cref="ModelFormatException">The file is damaged, or is no saved cache.</exception>
    public static ActivationCache Load(string path) => CacheFile.Load(path, Format, Version);

    /// <summary>The first name whose layer or shape a model of this shape does not have; null where the cache may be of such a model.</summary>
    internal string? FindForeign(LlamaConfig config)
    {
        // A session's cache has its model's own shape, and so has one that was loaded for a model.
        if (ReferenceEquals(config, Config))
            return null;
        foreach ((HookPoint point, int layer) in _points)
        {
            if (layer >= config.NumHiddenLayers || point.Shape(config, 1, 1) != point.Shape(Config, 1, 1))
                return point.Name(layer);
        }

        return null;
    }

    /// <summary>In what this is no run of that model; null where it may be one.</summary>
    internal string? FindOther(CacheOrigin model)
    {
        if (FindForeign(model.Config) is { } name)
            return $"{name} has another shape or layer";
        return Origin.FindOther(model);
    }

    /// <summary>Takes over the pass that has just run.</summary>
    internal void Fill(ReadOnlySpan<int> ids, int past, Func<int, ReadOnlyMemory<float>> values)
    {
        if (_ids.Length < ids.Length)
            _ids = new int[ids.Length];
        ids.CopyTo(_ids);
        (Tokens, Past, _filled) = (ids.Length, past, true);
        _results.Clear();
        for (int slot = 0; slot < _values.Length; slot++)
            _values[slot] = values(slot);
    }

    /// <summary>Forgets the last pass: its memory is being written to, or was given back.</summary>
    internal void Clear() => (Tokens, Past, _filled) = (0, 0, false);

    /// <summary>Forgets the last pass for good: the session was disposed.</summary>
    internal void Close()
    {
        Clear();
        _closed = true;
    }

    private void CheckFilled()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (!_filled)
            throw new InvalidOperationException("nothing is recorded yet: run a forward pass first");
    }

    private static (HookPoint Point, int Layer) Key(HookPoint point, int layer) => (point, point.IsPerLayer() ? layer : 0);

    private static (HookPoint Point, int Layer) Parse(string name) =>
        HookNames.TryParse(name, out HookPoint point, out int layer)
            ? (point, layer)
            : throw new ArrakisException($"'{Said.Name(name)}' is not a hook point's name, such as blocks.0.attn.hook_pattern");

    private float[] ComputedResult(int layer, ReadOnlyMemory<float> z)
    {
        lock (_results)
        {
            if (!_results.TryGetValue(layer, out float[]? result))
            {
                try
                {
                    result = new float[checked((int)HookPoint.Result.Count(Config, Tokens, Past + Tokens))];
                    ResultSource!(layer, z, result);
                }
                catch (Exception e) when (e is OutOfMemoryException or OverflowException)
                {
                    string name = HookPoint.Result.Name(layer);
                    throw new ArrakisException($"{name} is computed from z, and of {Tokens} tokens it is longer than an array may be, or than memory has room for: use fewer", e);
                }

                _results[layer] = result;
            }

            return result;
        }
    }
}

/// <summary>Which model a run is of.</summary>
/// <param name="Config">Its shape.</param>
/// <param name="Model">The model itself, where it is known.</param>
/// <param name="Name">Its name.</param>
/// <param name="Fingerprint">What a file says of its weights.</param>
internal readonly record struct CacheOrigin(LlamaConfig Config, LlamaModel? Model, string Name, string? Fingerprint = null)
{
    public static CacheOrigin Of(LlamaModel model) => new(model.Config, model, model.Name);

    /// <summary>What tells its weights from others'; null where nothing does.</summary>
    public string? FindFingerprint() => Fingerprint ?? Model?.Fingerprint();

    /// <summary>In what two models of the same shape differ; null where they may be one.</summary>
    public string? FindOther(CacheOrigin model)
    {
        if (Model is not null && ReferenceEquals(Model, model.Model))
            return null;
        // A path may be written in several ways: its last part tells.
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Name)), other = Path.GetFileName(Path.TrimEndingDirectorySeparator(model.Name));
        // A file need not say what it is of.
        string? named = name.Length > 0 && name != other ? $"it is of '{Said.Name(Name)}'" : null;
        // A model may have been renamed, or another be called the same: where both weights are known, they decide.
        if (FindFingerprint() is { } fingerprint && model.FindFingerprint() is { } otherFingerprint)
            return fingerprint == otherFingerprint ? null : named ?? "its weights are others";
        return named;
    }
}
