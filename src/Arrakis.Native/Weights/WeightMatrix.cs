namespace Arrakis.Native.Weights;

/// <summary>
/// A matrix as it lies in the file: row-major [<paramref name="Rows"/> (outputs), <paramref name="Columns"/> (inputs)], each row a run of whole blocks of
/// <paramref name="Type"/>. y = x Wᵀ is what a projection computes. Points into memory that the model keeps alive; no alignment is promised.
/// Of <see cref="ElementType.BF16"/>, the two bytes before <paramref name="Data"/> must be readable, as a file's header is and an array's length: kernels read a row's
/// elements as the upper halves of floats.
/// </summary>
internal readonly unsafe record struct WeightMatrix(nint Data, ElementType Type, int Rows, int Columns)
{
    /// <summary>Where this matrix begins in a stored row: not 0 for a slice of the inputs.</summary>
    public int FirstColumn { get; private init; }

    /// <summary>Bytes from one stored row to the next.</summary>
    public nint RowBytes { get; init; } = (nint)Type.RowBytes(Columns);

    /// <summary>The start of a stored row; the matrix's own first element is <see cref="FirstColumn"/> elements on.</summary>
    public byte* Row(int row) => (byte*)Data + row * RowBytes;

    /// <summary>Where the block begins that holds an element.</summary>
    public byte* At(int row, int column) => Row(row) + (nint)((FirstColumn + column) / Type.BlockLength()) * Type.BlockBytes();

    /// <summary>Inputs <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1 of every row: a head's part of W_O.</summary>
    public WeightMatrix SliceColumns(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)first, (uint)Columns, nameof(first));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)(Columns - first), nameof(count));
        return this with { Columns = count, FirstColumn = FirstColumn + first };
    }

    /// <summary>The same rows from the beginning of the block that a slice begins in to the end of the one that it ends in.</summary>
    public WeightMatrix WholeBlocks()
    {
        int block = Type.BlockLength(), first = FirstColumn / block * block;
        return this with { FirstColumn = first, Columns = (FirstColumn + Columns + block - 1) / block * block - first };
    }
}
