using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

public sealed unsafe partial class HeadReads
{
    private static readonly Projection[] s_inputs = [Projection.Query, Projection.Key, Projection.Value];
    // Each costs three projections, which the shares of a line do without.
    private const int IdentityTokens = 16;

    private static readonly HookPoint[] s_hooks = [HookPoint.Q, HookPoint.K, HookPoint.V];

    /// <summary>Measures what was read in a run.</summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it from its beginning, recorded with at least <c>heads</c>.</param>
    /// <param name="layer">Which layer.</param>
    /// <param name="direction">What may be read.</param>
    /// <param name="inputs">Which inputs count into the strength.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <exception cref="ArrakisException">
    /// There is no such layer, dimension, token or head below; the direction has no length; the cache is of another model, was changed by an intervention at what the heads read,
    /// or lacks a hook point: the message names a recording that has it.
    /// </exception>
    public static HeadReads Measure(
        LlamaModel model, ActivationCache cache, int layer, ReadDirection direction, HeadInputs inputs = HeadInputs.All, AnalysisOptions? options = null)
    {
        Requirements.Cache(model, cache);
        Requirements.Whole(cache);
        Check(model, layer, direction, inputs);
        Requirements.Recorded(
            cache, "heads", layer, HookPoint.ResidPre, HookPoint.Ln1Scale, HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Pattern, HookPoint.Z);
        Requirements.Unchanged(cache, layer, HookPoint.Ln1Normalized, HookPoint.Q, HookPoint.K, HookPoint.V, HookPoint.Z);
        if (direction.Writer is var (below, _))
        {
            Requirements.Recorded(cache, "heads", below, HookPoint.Z);
            Requirements.Unchanged(cache, below, HookPoint.Result);
        }

        LlamaConfig c = model.Config;
        int tokens = cache.Tokens, d = c.HiddenSize, q = c.NumAttentionHeads * c.HeadDim;
        long floats = (long)tokens * (2 * d + 2 * q) + WeightFloats(c);
        using Compute compute = Compute.Rent(model, options, Math.Max(tokens, c.HeadDim), Math.Max(d, q), floats);
        float[]? unit = direction.Writer is null ? direction.Resolve(model) : null;
        double[][] weights = Weights(compute, layer, direction, unit, out float[]?[] lines);
        float[][] shares = [.. Enumerable.Range(0, 4).Select(_ => new float[c.NumAttentionHeads * tokens])];
        float* normed = compute.Take((long)tokens * d), read = compute.Take((long)tokens * q);
        if (unit is not null)
            LineShares(c, cache, layer, unit, lines, shares);
        else
            WriteShares(compute, cache, layer, direction.Writer!.Value, normed, read, shares);
        foreach (float[] share in shares)
            Requirements.Finite(share, "a read share");
        double error = IdentityError(compute, cache, layer, normed, read);
        return new HeadReads(layer, direction, inputs, tokens, weights, shares, error);
    }

    /// <summary>Measures read weights from the weights alone; there are no shares without an input.</summary>
    /// <inheritdoc cref="Measure"/>
    public static HeadReads FromWeights(
        LlamaModel model, int layer, ReadDirection direction, HeadInputs inputs = HeadInputs.All, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Check(model, layer, direction, inputs);
        LlamaConfig c = model.Config;
        using Compute compute = Compute.Rent(model, options, c.HeadDim, Math.Max(c.HiddenSize, c.HeadDim), WeightFloats(c));
        float[]? unit = direction.Writer is null ? direction.Resolve(model) : null;
        return new HeadReads(layer, direction, inputs, 0, Weights(compute, layer, direction, unit, out _), [[], [], [], []], 0);
    }

    /// <summary>
    /// The signed share of q, k or v at one token that comes from each dimension of the residual stream: x_d γ_d / r · (W q)_d / ‖q‖². It sums to 1.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="cache">A run of it, recorded with at least <c>heads</c>.</param>
    /// <param name="layer">Which layer.</param>
    /// <param name="head">Which head.</param>
    /// <param name="input">One of q, k and v.</param>
    /// <param name="token">Which position.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    /// <returns>[D]; all zero where q, k or v is.</returns>
    /// <exception cref="ArrakisException">There is no such layer, head or position, or the cache lacks a hook point.</exception>
    public static float[] OverDimensions(LlamaModel model, ActivationCache cache, int layer, int head, HeadInputs input, int token, AnalysisOptions? options = null)
    {
        Requirements.Cache(model, cache);
        Requirements.Head(model.Config, layer, head);
        Requirements.Position(cache.Tokens, token, "position");
        int i = input switch
        {
            HeadInputs.Q => 0,
            HeadInputs.K => 1,
            HeadInputs.V => 2,
            _ => throw new ArgumentException("one of q, k and v", nameof(input)),
        };
        Requirements.Recorded(cache, "heads", layer, HookPoint.ResidPre, HookPoint.Ln1Scale, s_hooks[i]);
        Requirements.Unchanged(cache, layer, HookPoint.Ln1Normalized, s_hooks[i]);
        LlamaConfig c = model.Config;
        int k = c.HeadDim, d = c.HiddenSize, heads = ModelGrams.Heads(c, s_inputs[i]), own = head / (c.NumAttentionHeads / heads);
        LlamaLayer w = model.Weights.Layers[layer];
        ReadOnlySpan<float> whole = cache.Flat(s_hooks[i], layer).Slice((token * heads + own) * k, k);
        double norm = Numerics.Shares.Dot(whole, whole);
        float[] shares = new float[d];
        if (norm == 0)
            return shares;
        using Compute compute = Compute.Rent(model, options, 1, k, d);
        WeightMatrix matrix = ModelGrams.Of(w, s_inputs[i]);
        WeightMatrix rows = matrix with { Data = (nint)matrix.Row(own * k), Rows = k };
        fixed (float* from = whole, to = shares)
            compute.ProjectBack(from, 1, rows, to);
        TensorPrimitives.Multiply(shares, w.AttentionNorm, shares);
        TensorPrimitives.Multiply(shares, cache.Flat(HookPoint.ResidPre, layer).Slice(token * d, d), shares);
        double scale = norm * cache.Flat(HookPoint.Ln1Scale, layer)[token];
        for (int j = 0; j < d; j++)
            shares[j] = (float)(shares[j] / scale);
        Requirements.Finite(shares, "a read share");
        return shares;
    }

    private static void Check(LlamaModel model, int layer, ReadDirection direction, HeadInputs inputs)
    {
        ArgumentNullException.ThrowIfNull(direction);
        Requirements.Layer(model.Config, layer);
        if ((inputs & HeadInputs.All) == 0 || (inputs & ~HeadInputs.All) != 0)
            throw new ArgumentException("at least one of q, k and v", nameof(inputs));
        if (direction.Writer is not var (below, head))
            return;
        Requirements.Head(model.Config, below, head);
        if (below >= layer)
            throw new ArrakisException($"head {below}.{head} is not below layer {layer}: what it writes is not yet in the stream that the layer reads");
    }

    private static long WeightFloats(LlamaConfig c) => 16L * c.NumAttentionHeads * c.HeadDim + c.HeadDim * (c.HiddenSize + 2L * c.NumAttentionHeads * c.HeadDim);

    /// <summary>Read weights by input and head; of a line also (γ∘u) W itself, by input [heads · K].</summary>
    private static double[][] Weights(Compute compute, int layer, ReadDirection direction, float[]? unit, out float[]?[] lines)
    {
        LlamaConfig c = compute.Config;
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        int k = c.HeadDim, d = c.HiddenSize;
        // What is read of: the direction itself, or the rows of W_O, each weighted afterwards by the Gram matrix of W_V.
        int rows = unit is null ? k : 1;
        float* u = compute.Take((long)rows * d), read = compute.Take((long)rows * c.NumAttentionHeads * k), weighted = compute.Take((long)k * k);
        float[]? gram = null;
        double norm = 1;
        if (unit is null)
            (gram, norm) = WriterRows(compute, direction.Writer!.Value, u);
        else
            unit.CopyTo(new Span<float>(u, d));
        for (int r = 0; r < rows; r++)
            TensorPrimitives.Multiply(Compute.Row(u, r, d), w.AttentionNorm, Compute.Row(u, r, d));

        double[][] weights = new double[3][];
        lines = new float[3][];
        for (int i = 0; i < 3; i++)
        {
            WeightMatrix matrix = ModelGrams.Of(w, s_inputs[i]);
            int heads = ModelGrams.Heads(c, s_inputs[i]), group = c.NumAttentionHeads / heads;
            if (gram is null)
            {
                compute.Apply(matrix, 0, matrix.Rows, u, read);
                lines[i] = new Span<float>(read, matrix.Rows).ToArray();
            }
            else
            {
                compute.Project(u, rows, matrix, read);
            }

            weights[i] = new double[c.NumAttentionHeads];
            for (int h = 0; h < heads; h++)
            {
                double square = gram is null
                    ? Numerics.Shares.Dot(new(read + (nint)h * k, k), new(read + (nint)h * k, k))
                    : Weighted(compute, gram, read + (nint)h * k, (nint)heads * k, weighted);
                weights[i].AsSpan(h * group, group).Fill(Math.Sqrt(Math.Max(0, square)) / norm);
            }

            Requirements.Finite(weights[i], "a read weight");
        }

        return weights;
    }

    /// <summary>The rows of a head's W_O [K, D], the Gram matrix of its Ŵ_V, and ‖OV‖_F.</summary>
    private static (float[] Gram, double Norm) WriterRows(Compute compute, (int Layer, int Head) writer, float* rows)
    {
        LlamaConfig c = compute.Config;
        int k = c.HeadDim, size = k * k;
        compute.WidenTransposed(compute.Model.Weights.Layers[writer.Layer].Output.SliceColumns(writer.Head * k, k), rows);
        ModelGrams grams = ModelGrams.Of(compute.Model);
        float[] gram = grams.Get(compute, writer.Layer, Projection.Value).AsSpan(writer.Head / c.HeadsPerKeyValueHead * size, size).ToArray();
        double norm = Math.Sqrt(ModelGrams.SquaredNorm(gram, grams.Get(compute, writer.Layer, Projection.Output).AsSpan(writer.Head * size, size)));
        Requirements.Finite([norm], $"the write of head {writer.Layer}.{writer.Head}");
        return norm > 0 ? (gram, norm) : throw new ArrakisException($"head {writer.Layer}.{writer.Head} writes nothing: its write is no direction");
    }

    /// <summary>tr(Cᵀ M C) = ‖Ŵ_V C‖² for C [K, K] and M = ŴᵥᵀŴᵥ.</summary>
    private static double Weighted(Compute compute, float[] gram, float* c, nint stride, float* product)
    {
        int k = compute.Config.HeadDim;
        fixed (float* m = gram)
            compute.Multiply(m, k, k, k, [new(Compute.Matrix(c, k, k, stride), product, k, transposed: true)]);
        double sum = 0;
        for (int r = 0; r < k; r++)
            sum += TensorPrimitives.Dot<float>(new Span<float>(c + r * stride, k), Compute.Row(product, r, k));
        return sum;
    }

    /// <summary>
    /// Shares of a line. What comes of it is α_t (γ∘u) W with α_t = (x_t·u) / r_t, one vector for all tokens, and Σ_s A[h, t, s] α_s of it behind the pattern:
    /// no product with a weight is left.
    /// </summary>
    private static void LineShares(LlamaConfig c, ActivationCache cache, int layer, float[] u, float[]?[] lines, float[][] shares)
    {
        int tokens = cache.Tokens, heads = c.NumAttentionHeads;
        ReadOnlySpan<float> x = cache.Flat(HookPoint.ResidPre, layer), r = cache.Flat(HookPoint.Ln1Scale, layer), pattern = cache.Flat(HookPoint.Pattern, layer);
        float[] alpha = new float[tokens];
        for (int t = 0; t < tokens; t++)
            alpha[t] = TensorPrimitives.Dot(x.Slice(t * u.Length, u.Length), u) / r[t];
        for (int h = 0; h < heads; h++)
        {
            for (int t = 0; t < tokens; t++)
            {
                for (int i = 0; i < 3; i++)
                    shares[i][h * tokens + t] = (float)(alpha[t] * Along(lines[i], cache.Flat(s_hooks[i], layer), t, h));
                float mixed = TensorPrimitives.Dot(pattern.Slice((h * tokens + t) * tokens, t + 1), alpha.AsSpan(0, t + 1));
                shares[3][h * tokens + t] = (float)(mixed * Along(lines[2], cache.Flat(HookPoint.Z, layer), t, h));
            }
        }

        // Queries and z have a vector of every head, keys and values one of every kv head.
        double Along(ReadOnlySpan<float> line, ReadOnlySpan<float> whole, int t, int h)
        {
            int k = c.HeadDim, of = whole.Length / (tokens * k);
            return Numerics.Shares.Of(line.Slice(h * (line.Length / k) / heads * k, k), whole.Slice((t * of + h * of / heads) * k, k));
        }
    }

    /// <summary>Shares of what a head of a layer below wrote at every token.</summary>
    private static void WriteShares(Compute compute, ActivationCache cache, int layer, (int Layer, int Head) writer, float* normed, float* read, float[][] shares)
    {
        LlamaConfig c = compute.Config;
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        int tokens = cache.Tokens, k = c.HeadDim;
        WeightMatrix output = compute.Model.Weights.Layers[writer.Layer].Output.SliceColumns(writer.Head * k, k);
        fixed (float* z = cache.Flat(HookPoint.Z, writer.Layer))
            compute.Multiply(z + (nint)writer.Head * k, (nint)c.NumAttentionHeads * k, tokens, k, [new(output, normed, c.HiddenSize)]);
        compute.Normed(normed, w.AttentionNorm, cache.Flat(HookPoint.Ln1Scale, layer), normed, tokens);
        for (int i = 0; i < 3; i++)
        {
            compute.Project(normed, tokens, ModelGrams.Of(w, s_inputs[i]), read);
            SharesOf(read, cache.Flat(s_hooks[i], layer), tokens, c, ModelGrams.Heads(c, s_inputs[i]), shares[i]);
        }

        // The values are what was projected last; mixed by the pattern they are a part of z.
        float* mixed = compute.Take((long)tokens * c.NumAttentionHeads * k);
        var all = new Window(0, tokens - 1);
        fixed (float* pattern = cache.Flat(HookPoint.Pattern, layer))
            compute.Mix(pattern, tokens, all, all, read, mixed);
        SharesOf(mixed, cache.Flat(HookPoint.Z, layer), tokens, c, c.NumAttentionHeads, shares[3]);
    }

    private static void SharesOf(float* part, ReadOnlySpan<float> whole, int tokens, LlamaConfig c, int heads, float[] shares, float ofNothing = 0)
    {
        int k = c.HeadDim, group = c.NumAttentionHeads / heads;
        for (int t = 0; t < tokens; t++)
        {
            for (int g = 0; g < heads; g++)
            {
                ReadOnlySpan<float> all = whole.Slice((t * heads + g) * k, k);
                float share = (float)Numerics.Shares.Of(Compute.Row(part, t * heads + g, k), all, ofNothing);
                for (int h = g * group; h < (g + 1) * group; h++)
                    shares[h * tokens + t] = share;
            }
        }
    }

    /// <summary>Reads the whole stream through the norm of the run, and compares with its q, k, v.</summary>
    private static double IdentityError(Compute compute, ActivationCache cache, int layer, float* normed, float* read)
    {
        LlamaConfig c = compute.Config;
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        int tokens = Math.Min(cache.Tokens, IdentityTokens), first = cache.Tokens - tokens, d = c.HiddenSize;
        double error = 0;
        float[] shares = new float[c.NumAttentionHeads * tokens];
        fixed (float* x = cache.Flat(HookPoint.ResidPre, layer))
            compute.Normed(x + (nint)first * d, w.AttentionNorm, cache.Flat(HookPoint.Ln1Scale, layer)[first..], normed, tokens);
        for (int i = 0; i < 3; i++)
        {
            int heads = ModelGrams.Heads(c, s_inputs[i]);
            compute.Project(normed, tokens, ModelGrams.Of(w, s_inputs[i]), read);
            SharesOf(read, cache.Flat(s_hooks[i], layer)[(first * heads * c.HeadDim)..], tokens, c, heads, shares, ofNothing: 1);
            foreach (float share in shares)
                error = Math.Max(error, Math.Abs(share - 1));
        }

        return error;
    }
}
