using Arrakis.Native.Weights;

namespace Arrakis.Native.Kernels;

/// <summary>
/// The operations that a forward pass is made of, one implementation per tier. All pointers are to floats in memory the caller owns;
/// nothing is aligned unless said, and nothing is written past the stated length. <see cref="ScalarKernels"/> is the specification.
/// </summary>
internal unsafe interface IKernels
{
    /// <summary>Which tier this is.</summary>
    static abstract KernelTier Tier { get; }

    /// <summary>Floats in one vector: how many tokens one register of a tile holds.</summary>
    static abstract int Lanes { get; }

    /// <summary>Vectors across a tile at the most: <see cref="Tile"/> covers 1 … this many vectors of tokens.</summary>
    static abstract int TileVectors { get; }

    /// <summary>Rows of a tile: outputs of a projection, keys of a score, or a head's dimensions in a weighted sum of values.</summary>
    static abstract int TileRows { get; }

    /// <summary>Vectors across a <see cref="WideTile"/> at the most, one more than <see cref="TileVectors"/>; 0 for a tier that has none, as one that <see cref="TilesBF16"/> must.</summary>
    static virtual int WideVectors => 0;

    /// <summary>Rows of a <see cref="WideTile"/>.</summary>
    static virtual int WideRows => 0;

    /// <summary>Whether <see cref="Tile"/> and <see cref="WideTile"/> widen while they compute: rows of half-precision elements, if its depth is a multiple of <see cref="Ahead.Interval"/>.</summary>
    static virtual bool WidensAhead => false;

    /// <summary>Whether <see cref="BF16Tile"/> is there and faster than to widen rows for <see cref="Tile"/>.</summary>
    static virtual bool TilesBF16 => false;

    /// <summary>Tokens of which a worker is faster by itself, with all of the weights, than with others who share the weights and these tokens.</summary>
    static virtual int LeastAlone => 64;

    /// <summary>Tokens up to which <see cref="TurnedTile"/> is faster than <see cref="Tile"/>, no more than <see cref="Lanes"/>; 0 for a tier that has none.</summary>
    static virtual int FewTokens => 0;

    /// <summary>
    /// One register tile of a matrix product: c[r, j] (+)= Σ_k a[r · aStride + k · aStep] · panel[k · panelStride + j], summed in the order of k,
    /// for r below <see cref="TileRows"/> and j below <paramref name="vectors"/> · <see cref="Lanes"/>; c is dense.
    /// </summary>
    /// <param name="vectors">Vectors across, 1 … <see cref="TileVectors"/>.</param>
    /// <param name="depth">Terms of each sum, at least 1.</param>
    /// <param name="a">Rows that are broadcast element by element.</param>
    /// <param name="aStride">Floats from one row of a to the next.</param>
    /// <param name="aStep">Floats from one k of a to the next: 1 where rows are stored as rows.</param>
    /// <param name="panel">Columns that are loaded as vectors.</param>
    /// <param name="panelStride">Floats from one k of the panel to the next.</param>
    /// <param name="c">The tile: row r begins at r · vectors · Lanes.</param>
    /// <param name="accumulate">Whether to add to the tile instead of setting it.</param>
    /// <param name="ahead">What to widen meanwhile, in a tier that <see cref="WidensAhead"/>, or to bring into cache, which a tier may leave be.</param>
    static abstract void Tile(int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead = default);

    /// <summary><see cref="Tile"/> with <see cref="WideRows"/> rows and 1 … <see cref="WideVectors"/> vectors: the same terms in the same order.</summary>
    static virtual void WideTile(
        int vectors, int depth, float* a, nint aStride, nint aStep, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead = default) =>
        throw new NotSupportedException($"{nameof(WideVectors)} is 0");

    /// <summary>
    /// The same tile over rows of <see cref="ElementType.BF16"/> as they are stored, <paramref name="aStride"/> bytes apart: the bits are those of the rows widened.
    /// The two bytes before an element are read too.
    /// </summary>
    static virtual void BF16Tile(int vectors, int depth, byte* a, nint aStride, float* panel, nint panelStride, float* c, bool accumulate, in Ahead ahead) =>
        throw new NotSupportedException($"{nameof(TilesBF16)} is false");

    /// <summary>
    /// A tile of a few tokens, its outputs along the vectors: c[t · cStride + r] (+)= Σ_k a[r · aStride + k] · x[k · xStride + t], each sum in the order of k as
    /// <see cref="Tile"/> has it, for r below <see cref="Lanes"/> and t below <paramref name="tokens"/>, at most <see cref="FewTokens"/>.
    /// </summary>
    static virtual void TurnedTile(int tokens, int depth, float* a, nint aStride, float* x, nint xStride, float* c, nint cStride, bool accumulate, in Ahead ahead) =>
        throw new NotSupportedException($"{nameof(FewTokens)} is 0");

    /// <summary>destination[j · destinationStride + i] = source[i · sourceStride + j] for i below rows and j below columns.</summary>
    static abstract void Transpose(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns);

    /// <summary>The same transposition into memory that is not read again soon: past the caches, where a tier can.</summary>
    static abstract void TransposeAway(float* source, nint sourceStride, float* destination, nint destinationStride, int rows, int columns);

    /// <summary>y = value, into memory that is not read again soon.</summary>
    static virtual void FillAway(float* y, float value, int length) => new Span<float>(y, length).Fill(value);

    /// <summary>
    /// Matrix–vector product: y[r] = Σ_k matrix[first + r, k] · x[k] for r below <paramref name="rows"/>, widened in registers.
    /// The matrix must have all its columns (<see cref="WeightMatrix.FirstColumn"/> 0): a slice may begin inside a block.
    /// </summary>
    static abstract void Dots(in WeightMatrix matrix, int first, int rows, float* x, float* y);

    /// <summary>y[j] (+)= Σ_i weights[i] · rows[i · stride + j] for j below <paramref name="columns"/>.</summary>
    static abstract void WeightedSum(float* weights, int count, float* rows, nint stride, int columns, float* y, bool accumulate);

    /// <summary>A run of stored elements as floats. <paramref name="source"/> is the start of a block, <paramref name="count"/> whole blocks.</summary>
    static abstract void Widen(ElementType type, byte* source, int count, float* destination);

    /// <summary>
    /// Rotates one head by its position: pairs (a, b) become (a·cos − b·sin, b·cos + a·sin). y may be x.
    /// <paramref name="cos"/> and <paramref name="sin"/> hold headDim / 2 values.
    /// </summary>
    static abstract void Rotate(float* x, float* y, int headDim, float* cos, float* sin, RotaryLayout layout);

    /// <summary>RMSNorm of one token before its weight: y = x / r. Returns r = √(mean(x²) + ε). y may be x.</summary>
    static virtual float Normalize(float* x, float* y, int length, float epsilon) =>
        RowOperations.Normalize(x, y, length, epsilon);

    /// <summary>y = x ∘ w. y may be x.</summary>
    static virtual void Multiply(float* x, float* w, float* y, int length) =>
        RowOperations.Multiply(x, w, y, length);

    /// <summary>y = a + b. y may be either.</summary>
    static virtual void Add(float* a, float* b, float* y, int length) =>
        RowOperations.Add(a, b, y, length);

    /// <summary>y = x · factor. y may be x.</summary>
    static virtual void Scale(float* x, float factor, float* y, int length) =>
        RowOperations.Scale(x, factor, y, length);

    /// <summary>y = SiLU(gate) ∘ up with SiLU(x) = x / (1 + e^−x). y may be either.</summary>
    static virtual void SiluMultiply(float* gate, float* up, float* y, int length) =>
        RowOperations.SiluMultiply(gate, up, y, length);

    /// <summary>
    /// Scores of a block of queries in columns: x[s · width + i] · scale where query i sees key s, that is s ≤ diagonal + i, else −∞; in place.
    /// most[i] is a column's largest. Width is whole vectors of <see cref="Lanes"/>.
    /// </summary>
    static virtual void ScaleAndMask(float* x, int keys, int width, float scale, int diagonal, float* most) =>
        ColumnOperations.ScaleAndMask(x, keys, width, scale, diagonal, most);

    /// <summary>Softmax of every column, in place: e^(x − most[i]) over the column's sum of them. An exponential below 2⁻¹²⁶ may be taken for zero.</summary>
    static virtual void SoftmaxColumns(float* x, int keys, int width, float* most) =>
        ColumnOperations.SoftmaxColumns(x, keys, width, most);

    /// <summary>y = e^(x − max x) / Σ e^(x − max x) over a row of scores; an exponential below 2⁻¹²⁶ may be taken for zero. y may be x; length is at least 1.</summary>
    static virtual void Softmax(float* x, float* y, int length) =>
        RowOperations.Softmax(x, y, length);
}
