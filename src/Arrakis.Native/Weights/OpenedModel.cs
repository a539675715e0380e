namespace Arrakis.Native.Weights;

/// <summary>What a format makes of its files, before it is checked that the tensors are those that the configuration needs.</summary>
/// <param name="Format">The format's name.</param>
/// <param name="TensorPath">The file that lists the tensors, for messages about one that is missing.</param>
/// <param name="Config">The model's shape.</param>
/// <param name="Tensors">The tensors by Hugging Face's names.</param>
internal sealed record OpenedModel(string Format, string TensorPath, LlamaConfig Config, Dictionary<string, StoredTensor> Tensors)
{
    /// <summary>By what each rotary frequency is to be divided, where the file says so.</summary>
    public float[]? RopeFrequencyDivisors { get; init; }

    /// <summary>The format's own name for a tensor of Hugging Face's name.</summary>
    public Func<string, string> NameInFile { get; init; } = name => name;
}
