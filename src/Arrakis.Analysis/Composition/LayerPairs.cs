using System.Numerics.Tensors;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis;

/// <summary>The heads of one layer as writers, against those of any later layer as readers: working memory for one pair of layers at a time.</summary>
internal sealed unsafe class LayerPairs : IDisposable
{
    private readonly Compute _compute;
    private readonly Circuit _read;
    private readonly float* _written;
    private readonly float* _reading;
    private readonly float* _product;
    private readonly float* _squares;

    // A panel's rows must not lie a multiple of a page apart, or they share a few lines of the cache; as much as a tile may read past the last column.
    private const int Gap = 16;

    private HeadRange _from;
    private HeadFactors? _writers;

    /// <param name="model">The model; it stays open until this is disposed.</param>
    /// <param name="read">What the later heads read with.</param>
    /// <param name="heads">Heads in a range: H, or one.</param>
    /// <param name="options">Threads and kernels; null for the defaults.</param>
    public LayerPairs(LlamaModel model, Circuit read, int heads, AnalysisOptions? options)
    {
        LlamaConfig c = model.Config;
        _read = read;
        int k = c.HeadDim, d = c.HiddenSize, writtenRows = heads * k, readRows = Blocks(c, read.Other, heads) * k;
        long floats = (long)(writtenRows + readRows) * d + (long)readRows * (writtenRows + Gap) + (long)heads * writtenRows;
        _compute = Compute.Rent(model, options, Math.Max(k, readRows), Math.Max(d, k), floats);
        _written = _compute.Take((long)writtenRows * d);
        _reading = _compute.Take((long)readRows * d);
        _product = _compute.Take((long)readRows * (writtenRows + Gap));
        _squares = _compute.Take((long)heads * writtenRows);
    }

    public void Dispose() => _compute.Dispose();

    /// <summary>What the later heads of a range weigh with.</summary>
    public HeadFactors Factors(HeadRange heads) => HeadFactors.Of(_compute, heads, _read);

    /// <summary>Takes the heads that write: F₁ W_O [heads · K, D], each with ‖·‖_F = ‖OV₁‖ / ‖OV₁‖ = 1.</summary>
    public void Write(HeadRange heads)
    {
        LlamaConfig c = _compute.Config;
        int k = c.HeadDim, d = c.HiddenSize;
        WeightMatrix output = _compute.Model.Weights.Layers[heads.Layer].Output;
        _from = heads;
        _writers = HeadFactors.Of(_compute, heads, Circuit.Written);
        fixed (float* factors = _writers.Rows)
        {
            for (int h = 0; h < heads.Count; h++)
            {
                WeightMatrix own = output.SliceColumns((heads.First + h) * k, k);
                _compute.Multiply(factors + (nint)h * k * k, k, k, k, [new(own, _written + (nint)h * k * d, d)]);
            }
        }
    }

    /// <summary>Scores the writers against the heads of a later layer.</summary>
    /// <param name="to">The heads that read, as many as write.</param>
    /// <param name="readers">Their factors.</param>
    /// <param name="scores">[writers, readers]</param>
    public void Score(HeadRange to, HeadFactors readers, Span<CompositionScore> scores)
    {
        LlamaConfig c = _compute.Config;
        LlamaLayer layer = _compute.Model.Weights.Layers[to.Layer];
        int k = c.HeadDim, d = c.HiddenSize, columns = _from.Count * k, stride = columns + Gap;
        int blocks = Blocks(c, _read.Other, to.Count), group = c.NumAttentionHeads / ModelGrams.Heads(c, _read.Other);
        _compute.WidenFolded(ModelGrams.Of(layer, _read.Other), to.First / group * k, blocks * k, layer.AttentionNorm, _reading);
        _compute.Multiply(_reading, d, blocks * k, d, [new(Compute.Matrix(_written, columns, d, d), _product, stride)]);
        fixed (float* factors = readers.Rows)
            _compute.SquaredColumns(factors, to.Count / blocks, _product, stride, blocks, columns, _squares);
        for (int h1 = 0; h1 < _from.Count; h1++)
        {
            for (int h2 = 0; h2 < to.Count; h2++)
            {
                double score = Math.Sqrt(TensorPrimitives.Sum<float>(new Span<float>(_squares + (nint)h2 * columns + (nint)h1 * k, k)));
                double ceiling = Math.Sqrt(TensorPrimitives.Dot(_writers!.Spectrum(h1), readers.Spectrum(h2)));
                // Heads that are aligned reach the ceiling, and rounding would take them past it.
                scores[h1 * to.Count + h2] = new CompositionScore(
                    _from.Layer, _from.First + h1, to.Layer, to.First + h2, score, score * Math.Sqrt(d), Math.Max(score, ceiling));
            }
        }
    }

    /// <summary>Blocks of K rows that a range's heads read with: kv heads are shared.</summary>
    private static int Blocks(LlamaConfig c, Projection projection, int heads) => heads == 1 ? 1 : ModelGrams.Heads(c, projection);
}
