using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Numerics;

/// <summary>Which of a block's projections.</summary>
internal enum Projection
{
    /// <summary>Ŵ_Q, H heads.</summary>
    Query,

    /// <summary>Ŵ_K, G heads.</summary>
    Key,

    /// <summary>Ŵ_V, G heads.</summary>
    Value,

    /// <summary>W_O, H heads.</summary>
    Output,
}

/// <summary>
/// Every head's Gram matrices [heads, K, K], each computed once per model when it is first asked for: W_O[h] W_O[h]ᵀ, and ŴᵀŴ of what the head reads with, the norm's
/// weight folded in. Norms of products of D×D matrices come from these alone.
/// </summary>
internal sealed unsafe class ModelGrams
{
    private static readonly ConditionalWeakTable<LlamaModel, ModelGrams> s_all = new();

    private readonly float[]?[,] _grams;
    private readonly Lock _building = new();

    private ModelGrams(LlamaModel model) => _grams = new float[]?[model.Config.NumHiddenLayers, 4];

    public static ModelGrams Of(LlamaModel model) => s_all.GetValue(model, static m => new ModelGrams(m));

    /// <summary>The Gram matrices of a layer's heads, pinned.</summary>
    public float[] Get(Compute compute, int layer, Projection projection)
    {
        lock (_building)
            return _grams[layer, (int)projection] ??= Build(compute, layer, projection);
    }

    /// <summary>
    /// The rows that a head's K dimensions are, [heads · K, D]: a projection's rows with γ₁ folded in, or W_O turned around.
    /// </summary>
    public static void HeadRows(Compute compute, int layer, Projection projection, float* rows)
    {
        LlamaLayer w = compute.Model.Weights.Layers[layer];
        if (projection == Projection.Output)
        {
            compute.WidenTransposed(w.Output, rows);
            return;
        }

        WeightMatrix matrix = Of(w, projection);
        compute.WidenFolded(matrix, 0, matrix.Rows, w.AttentionNorm, rows);
    }

    public static WeightMatrix Of(LlamaLayer layer, Projection projection) => projection switch
    {
        Projection.Query => layer.Query,
        Projection.Key => layer.Key,
        Projection.Value => layer.Value,
        _ => layer.Output,
    };

    public static int Heads(LlamaConfig c, Projection projection) =>
        projection is Projection.Query or Projection.Output ? c.NumAttentionHeads : c.NumKeyValueHeads;

    /// <summary>‖A B‖_F² from AᵀA and B Bᵀ: the sum of their products, element by element. Never below zero, whatever the rounding.</summary>
    public static double SquaredNorm(ReadOnlySpan<float> gramA, ReadOnlySpan<float> gramB) => Math.Max(0, TensorPrimitives.Dot(gramA, gramB));

    private static float[] Build(Compute compute, int layer, Projection projection)
    {
        LlamaConfig c = compute.Config;
        int heads = Heads(c, projection), k = c.HeadDim, d = c.HiddenSize;
        float[] grams = GC.AllocateUninitializedArray<float>(heads * k * k, pinned: true);
        // Memory of its own: a measure asks for grams in the middle of its work.
        using Compute own = Compute.Rent(compute.Model, compute.Options, k, d, (long)heads * k * d + 16L * Math.Max(d, heads * k));
        float* rows = own.Take((long)heads * k * d);
        HeadRows(own, layer, projection, rows);
        fixed (float* to = grams)
        {
            for (int h = 0; h < heads; h++)
            {
                float* head = rows + (nint)h * k * d;
                own.Multiply(head, d, k, d, [new(Compute.Matrix(head, k, d, d), to + (nint)h * k * k, k)]);
            }
        }

        return grams;
    }
}
