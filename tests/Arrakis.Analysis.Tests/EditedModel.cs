using System.Runtime.InteropServices;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>A model from files with some of its weights changed, and a recorded run of it.</summary>
internal sealed class EditedModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LlamaSession _session;

    /// <param name="edit">Gets every tensor by its Hugging Face name, row-major as it lies in the file.</param>
    /// <param name="config">The shape; null for <see cref="Config"/>.</param>
    /// <param name="ids">The input; null for five tokens.</param>
    public EditedModel(Action<string, float[]> edit, LlamaConfig? config = null, int[]? ids = null)
    {
        config ??= Config;
        _folder.Write("config.json", ModelFiles.ConfigJson(config).ToJsonString());
        _folder.Write("model.safetensors", ModelFiles.Safetensors([.. ModelFiles.Tensors(config).Select(tensor =>
        {
            float[] values = MemoryMarshal.Cast<byte, float>(tensor.Data).ToArray();
            edit(tensor.Name, values);
            return tensor with { Data = MemoryMarshal.AsBytes<float>(values).ToArray() };
        })]));
        Model = LlamaModel.Load(_folder.Path);
        _session = Model.CreateSession(RecordingPlan.Flow, Engine.Options());
        _session.Forward(ids ?? [3, 7, 1, 9, 7]);
    }

    /// <summary>Two layers of four heads of width 6; as many kv heads, so that a head's values are its own.</summary>
    public static LlamaConfig Config { get; } = new()
    {
        HiddenSize = 16,
        IntermediateSize = 20,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 4,
        HeadDim = 6,
        VocabSize = 10,
    };

    public LlamaModel Model { get; }

    public ActivationCache Cache => _session.Cache;

    /// <summary>Sets a head's columns of W_O.</summary>
    public static void WriteOf(float[] output, int head, Func<int, float> value)
    {
        int k = Config.HeadDim, columns = Config.NumAttentionHeads * k;
        for (int at = 0; at < output.Length; at++)
            output[at] = at % columns / k == head ? value(at) : output[at];
    }

    public void Dispose()
    {
        _session.Dispose();
        Model.Dispose();
        _folder.Dispose();
    }
}
