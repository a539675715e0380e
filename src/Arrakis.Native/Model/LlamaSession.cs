using Arrakis.Native.Memory;
using Arrakis.Native.Model;

namespace Arrakis.Native;

/// <summary>How a session runs.</summary>
public sealed record SessionOptions
{
    /// <summary>Threads of a pass, the caller's among them, at most 1024; 0 for all cores. Results have the same bits for any number.</summary>
    public int Threads { get; init; }

    /// <summary>Which instructions.</summary>
    public KernelTier Kernels { get; init; } = KernelTier.Auto;

    /// <summary>Bytes that one recording may take; a pass over it is refused before it runs. 0 for three quarters of the machine's memory.</summary>
    public long RecordingBudgetBytes { get; init; }

    /// <summary>What passes change; <see cref="LlamaSession.Interventions"/> says more.</summary>
    public InterventionPlan Interventions { get; init; } = InterventionPlan.None;

    /// <summary>Multiply-adds of a job below which the caller works alone: 0 in tests, so that threads share what is small too.</summary>
    internal long LeastShared { get; init; } = WorkerTeam.LeastWorthSharing;
}

/// <summary>
/// One sequence over a shared model: its memory, its keys and values, and what its last pass recorded. A warm pass (one no longer than an earlier one)
/// allocates no managed memory. Not for several threads at once: that is refused.
/// </summary>
public sealed class LlamaSession : IDisposable
{
    private readonly LlamaModel _model;
    private readonly RecordingPlan _plan;
    private readonly WorkerTeam _team;
    private readonly Arena _arena;
    private readonly Arena _kvArena;
    private readonly Workspace _workspace;
    private readonly ForwardPass _pass;
    private readonly Func<int, ReadOnlyMemory<float>> _slotMemory;
    private readonly long _budget;
    private readonly int _logitsSlot;
    private ReadOnlyMemory<float> _logits;
    private string[] _changed;
    private int _busy;
    private bool _disposed;

    internal LlamaSession(LlamaModel model, RecordingPlan plan, SessionOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        ArgumentOutOfRangeException.ThrowIfNegative(options.RecordingBudgetBytes);
        plan.Check(model.Config);
        BoundInterventions? interventions = Bound(model, options.Interventions);
        Kernels = KernelTiers.Resolve(options.Kernels);
        _model = model;
        _plan = plan;
        _budget = options.RecordingBudgetBytes > 0 ? options.RecordingBudgetBytes : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 * 3;
        // All that may fail comes before the arenas are taken from the pool.
        var layout = new RecordingLayout(plan, model.Config);
        _team = new WorkerTeam(options.Threads > 0 ? options.Threads : Environment.ProcessorCount, options.LeastShared);
        _arena = model.Arenas.Get();
        _kvArena = model.Arenas.Get();
        _workspace = new Workspace(model.Config, layout, _arena);
        _pass = ForwardPass.Create(Kernels, model.Config, model.Weights, model.Rotary, _team, _workspace, new KvCache(model.Config, _kvArena));
        (_pass.Interventions, _changed) = (interventions, interventions?.Names ?? []);
        _slotMemory = _workspace.Memory;
        _logitsSlot = layout.Slot(HookPoint.Logits, 0);
        Cache = new ActivationCache(model.Config, layout.Names, layout.Slot, layout.Slots)
        {
            Model = model.Name,
            Source = model,
            ResultSource = ComputeResult,
        };
    }

    /// <summary>
    /// What the passes from now on change, in order. Keys and values of earlier passes stay as they were left, so a sequence that is continued after a change of plan
    /// goes on from what it has become; an intervention at a position that has passed does nothing any more.
    /// </summary>
    /// <exception cref="ArrakisException">The plan names a layer, a head or a position that the model does not have, or values that do not fit.</exception>
    /// <exception cref="InvalidOperationException">The session is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The session was disposed.</exception>
    public InterventionPlan Interventions
    {
        get => _pass.Interventions?.Plan ?? InterventionPlan.None;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            BoundInterventions? bound = Bound(_model, value);
            Enter();
            (_pass.Interventions, _changed) = (bound, bound?.Names ?? []);
            Volatile.Write(ref _busy, 0);
        }
    }

    /// <summary>What the last pass recorded; nothing before the first, and after one that did not come to its end.</summary>
    public ActivationCache Cache { get; }

    /// <summary>The instructions in use.</summary>
    public KernelTier Kernels { get; }

    /// <summary>Threads in use.</summary>
    public int Threads => _team.Size;

    /// <summary>Tokens of the sequence so far.</summary>
    public int Position { get; private set; }

    /// <summary>
    /// Told after every block, and at the end, what part of a pass is done: up to 1, when all of it is; null for nobody. Where an input is so long that every thread takes tokens of
    /// its own through the blocks, it is the caller's part that is told of in between.
    /// </summary>
    public IProgress<double>? Progress
    {
        get => _pass.Progress;
        set => _pass.Progress = value;
    }

    /// <summary>The logits [V] of the last position; stale after the next pass, and empty before the first and after one that did not come to its end.</summary>
    /// <exception cref="ObjectDisposedException">The session was disposed.</exception>
    public ReadOnlySpan<float> Logits
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _logits.Span;
        }
    }

    /// <summary>Times the stages of the passes to come; null for none.</summary>
    internal PassClock? Clock { set => _pass.Clock = value; }

    /// <summary>Runs a new sequence from its beginning.</summary>
    /// <param name="ids">T token ids.</param>
    /// <param name="cancellation">Looked at before every block; a cancelled session begins anew, its <see cref="Logits"/> and <see cref="Cache"/> empty.</param>
    /// <returns>The logits [V] of the last position; stale after the next pass.</returns>
    /// <exception cref="ArrakisException">
    /// No tokens, a token past the vocabulary, more tokens than the context holds, a recording over budget, interventions that do not fit the
    /// input, memory that the machine refuses, or a model file that was cut short. The session goes on: what was refused before it ran, and any <see cref="Append"/>, left the sequence where it was.
    /// </exception>
    /// <exception cref="InvalidOperationException">The session is in use by another thread.</exception>
    /// <exception cref="ObjectDisposedException">The session was disposed.</exception>
    public ReadOnlySpan<float> Forward(scoped ReadOnlySpan<int> ids, CancellationToken cancellation = default) => Run(ids, 0, cancellation);

    /// <summary>Continues the sequence, reading the keys and values of what came before from memory.</summary>
    /// <param name="ids">T token ids, at least one.</param>
    /// <param name="cancellation">Looked at before every block; a cancelled session is where it was before the call, but its <see cref="Logits"/> and <see cref="Cache"/> are empty.</param>
    /// <inheritdoc cref="Forward"/>
    public ReadOnlySpan<float> Append(scoped ReadOnlySpan<int> ids, CancellationToken cancellation = default) => Run(ids, Position, cancellation);

    /// <summary>Gives the session's memory back to the model's pool.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        Enter();
        _disposed = true;
        Cache.Close();
        _team.Dispose();
        _model.Arenas.Return(_arena);
        _model.Arenas.Return(_kvArena);
        _model.Release();
    }

    /// <summary>attn.hook_result of a layer [T, H, D] from its z [T, H, K], and from weights that must still be there.</summary>
    internal void ComputeResult(int layer, ReadOnlyMemory<float> z, float[] result)
    {
        Enter();
        try
        {
            _model.CheckWeights();
            _pass.ComputeResult(layer, z.Span, result);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
            GC.KeepAlive(_model);
        }
    }

    private ReadOnlySpan<float> Run(scoped ReadOnlySpan<int> ids, int past, CancellationToken cancellation)
    {
        Enter();
        try
        {
            Check(ids, past);
            _model.CheckWeights();
            _pass.ReadAhead = _model.ReadAheadOnce();
            _pass.Interventions?.Bind(Cache, past, ids.Length);
            Cache.Clear();
            _logits = default;
            Position = past;
            _pass.Run(ids, past, cancellation);
            Position = past + ids.Length;
            Cache.Fill(ids, past, _slotMemory);
            Cache.Changed = _changed;
            int vocabulary = _model.Config.VocabSize;
            _logits = _logitsSlot >= 0 ? LastRow(vocabulary) : _workspace.LastLogitsMemory;
            return _logits.Span;
        }
        catch (OutOfMemoryException e)
        {
            throw new ArrakisException($"the machine has no memory left for {ids.Length} tokens after {past}: record less, or use fewer tokens", e);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
            GC.KeepAlive(_model);
        }
    }

    private static BoundInterventions? Bound(LlamaModel model, InterventionPlan plan) =>
        plan.IsEmpty ? null : new(plan, CacheOrigin.Of(model));

    private ReadOnlyMemory<float> LastRow(int vocabulary)
    {
        ReadOnlyMemory<float> all = _workspace.Memory(_logitsSlot);
        return all[^vocabulary..];
    }

    private void Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (Interlocked.Exchange(ref _busy, 1) != 0)
            throw new InvalidOperationException("the session is in use by another thread: give each thread its own session of the model");
        if (!_disposed)
            return;
        Volatile.Write(ref _busy, 0);
        throw new ObjectDisposedException(nameof(LlamaSession));
    }

    private void Check(ReadOnlySpan<int> ids, int past)
    {
        LlamaConfig c = _model.Config;
        if (ids.IsEmpty)
            throw new ArrakisException("the input is empty: give at least one token id");
        for (int t = 0; t < ids.Length; t++)
        {
            if ((uint)ids[t] >= (uint)c.VocabSize)
                throw new ArrakisException($"token id {ids[t]} at position {past + t} is outside the vocabulary: use 0 to {c.VocabSize - 1}");
        }

        if ((long)past + ids.Length > c.MaxPositionEmbeddings)
            throw new ArrakisException($"{past} + {ids.Length} tokens are more than the model's context of {c.MaxPositionEmbeddings}: use fewer");
        long bytes = _workspace.Layout.TotalBytes(ids.Length, past);
        if (bytes > _budget)
            throw new ArrakisException($"recording {ids.Length} tokens takes {bytes} bytes, over the budget of {_budget}: record fewer hook points, layers or tokens");
    }
}
