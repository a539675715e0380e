namespace Arrakis.Native.Weights;

/// <summary>A tensor as it lies in a file. Its place has been checked: the bytes are within the file and as many as shape and type ask for.</summary>
/// <param name="Name">Hugging Face's name for it.</param>
/// <param name="NameInFile">The file's own name for it, for messages.</param>
/// <param name="Type">How its numbers are stored, or null if that is none of the types that weights may have.</param>
/// <param name="TypeName">The file's name for the type.</param>
/// <param name="Shape">Its shape, outermost first.</param>
/// <param name="Offset">Where its bytes begin in the file.</param>
/// <param name="ByteLength">How many bytes it has.</param>
/// <param name="File">The file.</param>
internal sealed record StoredTensor(
    string Name, string NameInFile, ElementType? Type, string TypeName, long[] Shape, long Offset, long ByteLength, MappedFile File)
{
    /// <summary>The address of its first byte, good for as long as the file stays mapped.</summary>
    public nint Data => File.Pointer(Offset, ByteLength);

    /// <summary>The product of the shape, or null if it does not fit a long.</summary>
    public static long? CountElements(ReadOnlySpan<long> shape)
    {
        Int128 product = 1;
        foreach (long extent in shape)
        {
            product *= extent;
            if (extent < 0 || product > long.MaxValue)
                return null;
        }

        return (long)product;
    }

    /// <summary>A fault of this tensor: <c>file: tensor NAME what</c>.</summary>
    public ModelFormatException Fault(string what) => Said.Fault(File.Path, $"tensor {Said.Name(NameInFile)} {what}");

    /// <summary>A matrix over the tensor's bytes, if it is one of that shape and of a type that weights may have.</summary>
    public WeightMatrix Matrix(int rows, int columns)
    {
        CheckShape([rows, columns]);
        ElementType type = CheckType();
        if (columns % type.BlockLength() != 0)
            throw Fault($"of type {TypeName} has {columns} columns, which is no multiple of {type.BlockLength()}");
        return new WeightMatrix(Data, type, rows, columns);
    }

    /// <summary>A copy of a vector of weights as F32, if it has that length and is not quantised.</summary>
    public unsafe float[] Vector(int length)
    {
        CheckVector(length);
        var copy = new float[length];
        BlockFormats.Widen(CheckType(), new ReadOnlySpan<byte>((void*)Data, checked((int)ByteLength)), copy);
        // Should nobody else hold the file, it must not be unmapped while it is read.
        GC.KeepAlive(File);
        return copy;
    }

    /// <summary>Refuses the tensor unless it is a vector of that length and not quantised.</summary>
    public void CheckVector(int length)
    {
        CheckShape([length]);
        if (CheckType() is ElementType.Q8_0 or ElementType.Q4_0)
            throw Fault($"is of type {TypeName}: supported for a vector is F32, F16, BF16");
    }

    private void CheckShape(ReadOnlySpan<long> expected)
    {
        if (!expected.SequenceEqual(Shape))
            throw Fault($"has shape {Said.Shape(Shape)} where the config says {Said.Shape(expected)}");
    }

    private ElementType CheckType() =>
        Type ?? throw Fault($"is of type {TypeName}: supported is F32, F16, BF16, and Q8_0 and Q4_0 in GGUF");
}
