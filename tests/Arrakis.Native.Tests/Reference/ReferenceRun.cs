namespace Arrakis.Native.Tests.Reference;

/// <summary>Everything one forward pass computed, in double precision, by TransformerLens name.</summary>
public sealed class ReferenceRun(ReferenceWeights weights, int[] ids)
{
    private readonly Dictionary<string, TestTensor> _hooks = [];

    public ReferenceWeights Weights { get; } = weights;

    public LlamaConfig Config => Weights.Config;

    public int[] Ids { get; } = ids;

    /// <summary>T.</summary>
    public int Tokens => Ids.Length;

    /// <summary>Every recorded name, in the order of computation.</summary>
    public IReadOnlyCollection<string> Names => _hooks.Keys;

    /// <summary>The values of a hook, row-major.</summary>
    public double[] this[string name] => _hooks[name].Values;

    public int[] Shape(string name) => _hooks[name].Shape;

    /// <summary>The run along the last axis at the given leading indices: <c>Row("blocks.0.attn.hook_z", t, h)</c> is [K].</summary>
    public ReadOnlySpan<double> Row(string name, params ReadOnlySpan<int> index)
    {
        TestTensor tensor = _hooks[name];
        int row = 0;
        for (int i = 0; i < index.Length; i++)
            row = row * tensor.Shape[i] + index[i];
        return tensor.Values.AsSpan(row * tensor.Shape[^1], tensor.Shape[^1]);
    }

    /// <summary>A[h, t, s] of a layer.</summary>
    public double Pattern(int layer, int head, int query, int key) => Row($"blocks.{layer}.attn.hook_pattern", head, query)[key];

    /// <summary>x_b[t]: <c>resid_pre</c> of layer b, or <c>resid_post</c> of the last layer where b = L.</summary>
    public ReadOnlySpan<double> Residual(int layer, int token) => layer < Config.NumHiddenLayers
        ? Row($"blocks.{layer}.hook_resid_pre", token)
        : Row($"blocks.{layer - 1}.hook_resid_post", token);

    internal void Add(string name, double[] values, params int[] shape)
    {
        Assert.Equal(shape.Aggregate(1, (a, b) => a * b), values.Length);
        _hooks.Add(name, new TestTensor(shape, values));
    }
}
