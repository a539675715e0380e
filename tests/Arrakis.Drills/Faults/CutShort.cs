using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Drills.Faults;

/// <summary>
/// A model file is cut short after the engine has last looked at its length, as if in the midst of a pass. Copied weights do not notice. Mapped ones end the process: the
/// operating system's doing (SIGBUS), which managed code can neither prevent nor survive. That is what is documented here.
/// </summary>
internal static class CutShort
{
    public static unsafe int Run(string memory, string folder)
    {
        string path = Path.Combine(folder, "model.bin");
        File.WriteAllBytes(path, ModelFiles.Llama2c(ModelFiles.Small));
        using LlamaModel model = LlamaModel.Load(path, new LoadOptions { Memory = Enum.Parse<WeightMemory>(memory, ignoreCase: true) });
        WeightMatrix unembedding = model.Weights.Unembedding;
        float before = ((float*)unembedding.Row(0))[1];
        using (var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            file.SetLength(1);
        Console.WriteLine("cut");
        Console.Out.Flush();
        float after = ((float*)unembedding.Row(0))[1];
        Console.WriteLine(before.Equals(after) ? "the same" : "another");
        return before.Equals(after) ? 0 : 1;
    }
}
