using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Tests;

/// <summary>Changes the weights of a random F32 model in place, before anything is measured of it, so that a test knows what must come out.</summary>
internal static unsafe class WeightEditing
{
    public delegate float Edit(int row, int column, float value);

    /// <summary>Sets every element of a matrix from where it stands and what it was.</summary>
    public static void Change(WeightMatrix matrix, Edit edit)
    {
        Assert.Equal(ElementType.F32, matrix.Type);
        for (int r = 0; r < matrix.Rows; r++)
        {
            float* row = (float*)matrix.Row(r) + matrix.FirstColumn;
            for (int c = 0; c < matrix.Columns; c++)
                row[c] = edit(r, c, row[c]);
        }
    }

    public static float At(WeightMatrix matrix, int row, int column) => ((float*)matrix.Row(row))[matrix.FirstColumn + column];

    /// <summary>Makes a head write nothing: its part of W_O is zero.</summary>
    public static void Silence(LlamaModel model, int layer, int head)
    {
        int k = model.Config.HeadDim;
        Change(Layer(model, layer).Output.SliceColumns(head * k, k), (_, _, _) => 0);
    }

    public static LlamaLayer Layer(LlamaModel model, int layer) => model.Weights.Layers[layer];
}
