using System.Numerics.Tensors;
using Arrakis.Native;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Numerics;

/// <summary>
/// What a measure computes with: a model held open, an arena of working memory and a team of threads, all given back when it is disposed; and the matrix products
/// of the tier in use. Everything is in float32, row-major, in memory of the arena or pinned by the caller.
/// </summary>
internal abstract unsafe class Compute : IDisposable
{
    private readonly Arena _arena;
    private readonly long _scratchPerWorker;
    private readonly float* _scratch;

    // Room for the slack and alignment of a measure's own runs; what does not fit gets a slab of its own.
    private const int Runs = 64;

    protected Compute(LlamaModel model, WorkerTeam team, int tokens, long floats, long packed, long perWorker)
    {
        Model = model;
        Team = team;
        Tokens = tokens;
        _arena = model.Arenas.Get();
        _scratchPerWorker = Arena.Footprint(perWorker);
        try
        {
            _arena.Reset(floats + Runs * Arena.Footprint(1) + Arena.Footprint(packed) + Arena.Footprint(_scratchPerWorker * team.Size));
            Packed = _arena.Take(packed);
            _scratch = _arena.Take(_scratchPerWorker * team.Size);
        }
        catch
        {
            model.Arenas.Return(_arena);
            throw;
        }
    }

    public LlamaModel Model { get; }

    /// <summary>As it was rented.</summary>
    public AnalysisOptions Options { get; private set; } = new();

    public LlamaConfig Config => Model.Config;

    /// <summary>The most rows that a product may have.</summary>
    public int Tokens { get; }

    protected WorkerTeam Team { get; }

    protected float* Packed { get; }

    protected WorkerScratch Scratch => new(_scratch, (nint)_scratchPerWorker);

    /// <summary>Takes a model, threads and memory.</summary>
    /// <param name="model">The model; it stays open until this is disposed.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <param name="tokens">The most rows that a product will have, and the most tokens of a pattern.</param>
    /// <param name="depth">The most terms that a product's sums will have.</param>
    /// <param name="floats">About how many floats will be taken.</param>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public static Compute Rent(LlamaModel model, AnalysisOptions? options, int tokens, int depth, long floats)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new AnalysisOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        KernelTier tier = KernelTiers.Resolve(options.Kernels);
        model.Hold();
        WorkerTeam? team = null;
        try
        {
            team = Teams.Rent(options.Threads);
            Compute compute = tier switch
            {
                KernelTier.Scalar => new Compute<ScalarKernels>(model, team, tokens, depth, floats),
                KernelTier.Vector => new Compute<VectorKernels>(model, team, tokens, depth, floats),
                KernelTier.Avx2 => new Compute<Avx2Kernels>(model, team, tokens, depth, floats),
                KernelTier.Avx512 => new Compute<Avx512Kernels>(model, team, tokens, depth, floats),
                _ => throw new InvalidOperationException($"no kernels for tier {tier}"),
            };
            compute.Options = options;
            return compute;
        }
        catch
        {
            if (team is not null)
                Teams.Return(team);
            model.Release();
            throw;
        }
    }

    /// <summary>Working memory, aligned, with whatever was there. Valid until this is disposed.</summary>
    public float* Take(long count) => _arena.Take(count);

    /// <summary>Working memory, zeroed.</summary>
    public float* TakeZeroed(long count)
    {
        float* run = Take(count);
        Clear(run, count);
        return run;
    }

    public void Dispose()
    {
        Model.Arenas.Return(_arena);
        Teams.Return(Team);
        Model.Release();
    }

    /// <summary>Work of a measure's own, shared among the threads.</summary>
    public void Run<TJob>(in TJob job, int items) where TJob : unmanaged, IJob<TJob> => Team.Run(job, items);

    /// <summary>y = x Wᵀ for every product: x [tokens, W's columns], y [tokens, W's rows]; where a product is transposed, y = x W.</summary>
    public abstract void Multiply(float* x, nint xStride, int tokens, int depth, ReadOnlySpan<Product> products);

    /// <summary>z[t, h] = Σ_{s ≤ t} A[h, t, s] v[s, g(h)] over rows of a window of positions.</summary>
    /// <param name="pattern">A [H, T, T] of the whole run.</param>
    /// <param name="runTokens">T.</param>
    /// <param name="queries">Positions of z's rows, [first, last].</param>
    /// <param name="keys">Positions of v's rows; keys elsewhere count as zero.</param>
    /// <param name="v">[keys, G·K].</param>
    /// <param name="z">[queries, H·K], overwritten.</param>
    public abstract void Mix(float* pattern, int runTokens, Window queries, Window keys, float* v, float* z);

    /// <summary>The adjoint of <see cref="Mix"/>: gv[s, g] = Σ_{h of g} Σ_{t ≥ s} A[h, t, s] gz[t, h].</summary>
    public abstract void MixBack(float* pattern, int runTokens, Window queries, Window keys, float* gz, float* gv);

    /// <summary>forms[h, t] = x[t, h] M[h] x[t, h]ᵀ for every head's Gram matrix: squared norms of what x becomes behind a projection that is never computed.</summary>
    /// <param name="x">[tokens, heads · K], rows <paramref name="xStride"/> apart.</param>
    /// <param name="xStride">Floats from one token to the next.</param>
    /// <param name="tokens">T.</param>
    /// <param name="heads">How many Gram matrices.</param>
    /// <param name="grams">[heads, K, K], symmetric.</param>
    /// <param name="forms">[heads, tokens].</param>
    public abstract void QuadraticForms(float* x, nint xStride, int tokens, int heads, float* grams, float* forms);

    /// <summary>
    /// squares[p, j] = Σ_r (Σ_i F[p, r, i] B[p / heads, i, j])²: how long each column of a block becomes behind each of the factors that share the block.
    /// </summary>
    /// <param name="factors">F [blocks · heads, K, K].</param>
    /// <param name="heads">Factors of one block.</param>
    /// <param name="b">B [blocks, K, columns], rows <paramref name="bStride"/> apart; may be read up to a tile past its columns.</param>
    /// <param name="bStride">Floats from one row to the next, within a block and from its last to the next block's first.</param>
    /// <param name="blocks">How many blocks.</param>
    /// <param name="columns">Columns of each.</param>
    /// <param name="squares">[blocks · heads, columns].</param>
    public abstract void SquaredColumns(float* factors, int heads, float* b, nint bStride, int blocks, int columns, float* squares);

    /// <summary>y[r] = Σ_k W[r, k] x[k] for rows <paramref name="first"/> … of W.</summary>
    public abstract void Apply(in WeightMatrix w, int first, int rows, float* x, float* y);

    /// <summary>Stored rows as floats, [rows, columns]; of a slice, whole blocks.</summary>
    public abstract void Widen(in WeightMatrix w, int first, int rows, float* to);

    /// <summary>Stored rows as floats with a norm's weight folded in: to[r] = W[first + r] ∘ γ, γ [columns] pinned.</summary>
    public abstract void WidenFolded(in WeightMatrix w, int first, int rows, float[] gamma, float* to);

    /// <summary>to[j, i] = from[i, j] for i below rows and j below columns.</summary>
    public abstract void Transpose(float* from, nint fromStride, int rows, int columns, float* to, nint toStride);

    /// <summary>y = SiLU(gate) ∘ x. y may be x.</summary>
    public abstract void SiluMultiply(float* gate, float* x, float* y, nint length);

    /// <summary>A matrix, or a slice of its columns, turned around, as floats: [columns, rows].</summary>
    public void WidenTransposed(in WeightMatrix w, float* to)
    {
        const int Rows = 16;
        WeightMatrix blocks = w.WholeBlocks();
        float* widened = Take((long)Rows * blocks.Columns), own = widened + (w.FirstColumn - blocks.FirstColumn);
        for (int r = 0; r < w.Rows; r += Rows)
        {
            int rows = Math.Min(Rows, w.Rows - r);
            Widen(blocks, r, rows, widened);
            Transpose(own, blocks.Columns, rows, w.Columns, to + r, w.Rows);
        }
    }

    /// <summary>y[t, n] = Σ_k x[t, k] W[n, k].</summary>
    public void Project(float* x, int tokens, in WeightMatrix w, float* y) => Multiply(x, w.Columns, tokens, w.Columns, [new(w, y, w.Rows)]);

    /// <summary>y[t, k] = Σ_n x[t, n] W[n, k]: back through the projection.</summary>
    public void ProjectBack(float* x, int tokens, in WeightMatrix w, float* y) =>
        Multiply(x, w.Rows, tokens, w.Rows, [new(w, y, w.Columns, transposed: true)]);

    /// <summary>Floats in memory of ours as a matrix of [rows, columns].</summary>
    public static WeightMatrix Matrix(float* data, int rows, int columns, nint stride) =>
        new((nint)data, ElementType.F32, rows, columns) { RowBytes = stride * sizeof(float) };

    /// <summary>y[t] = x[t] ∘ γ / r[t], for rows of D.</summary>
    public void Normed(float* x, float[] gamma, ReadOnlySpan<float> scale, float* y, int tokens)
    {
        int d = Config.HiddenSize;
        for (int t = 0; t < tokens; t++)
        {
            Span<float> row = Row(y, t, d);
            TensorPrimitives.Divide(Row(x, t, d), scale[t], row);
            TensorPrimitives.Multiply(row, gamma, row);
        }
    }

    /// <summary>to += from, for rows of D.</summary>
    public void Add(float* from, float* to, int rows)
    {
        for (int t = 0; t < rows; t++)
            TensorPrimitives.Add(Row(to, t, Config.HiddenSize), Row(from, t, Config.HiddenSize), Row(to, t, Config.HiddenSize));
    }

    public static Span<float> Row(float* matrix, int row, int columns) => new(matrix + (nint)row * columns, columns);

    public static void Clear(float* run, long count)
    {
        for (; count > 0; run += int.MaxValue, count -= int.MaxValue)
            new Span<float>(run, (int)Math.Min(count, int.MaxValue)).Clear();
    }
}

/// <summary>Positions First … Last of a run, both included.</summary>
internal readonly record struct Window(int First, int Last)
{
    public int Length => Last - First + 1;

    /// <summary>Every position.</summary>
    public int[] Positions => [.. Enumerable.Range(First, Length)];
}
