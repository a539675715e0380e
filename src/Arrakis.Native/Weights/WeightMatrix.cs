namespace Arrakis.Native.Weights;

/// <summary>
/// A matrix as it lies in the file: row-major [<paramref name="Rows"/> (outputs), <paramref name="Columns"/> (inputs)], each row a run of whole blocks of
/// <paramref name="Type"/>. y = x Wᵀ is what a projection computes. Points into memory that the model keeps alive; no alignment is promised.
/// </summary>
internal readonly unsafe record struct WeightMatrix(nint Data, ElementType Type, int Rows, int Columns)
{
    /// <summary>Bytes from one row to the next.</summary>
    public nint RowBytes => (nint)Type.RowBytes(Columns);

    /// <summary>The start of a row.</summary>
    public byte* Row(int row) => (byte*)Data + row * RowBytes;

    /// <summary>Rows <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1.</summary>
    public WeightMatrix Slice(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)first, (uint)Rows, nameof(first));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)(Rows - first), nameof(count));
        return new((nint)Row(first), Type, count, Columns);
    }
}
