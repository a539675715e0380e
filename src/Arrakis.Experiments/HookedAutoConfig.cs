using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>
/// A model's shape from the name of its architecture, every size of which has a default and may be set: <c>new HookedAutoConfig("llama") { HiddenSize = 128 }</c>.
/// </summary>
/// <remarks>
/// The defaults are those of Hugging Face's <c>LlamaConfig</c> except for five sizes. There they are Llama-7B's, 27 GB of random float32; here they are of a model that is made
/// in a moment: <c>hidden_size</c> 64, <c>intermediate_size</c> 172, 4 layers of 8 heads, and a <c>vocab_size</c> of 50,256, from which the field's examples draw their random ids.
/// </remarks>
public sealed record HookedAutoConfig
{
    private const string Llama = "llama";

    /// <summary>The defaults of an architecture.</summary>
    /// <param name="name"><c>llama</c>.</param>
    /// <exception cref="ArrakisException">It is another one.</exception>
    public HookedAutoConfig(string name)
    {
        if (name != Llama)
            throw new ArrakisException($"'{name}' is not an architecture that is supported: use {Llama}");
        Name = name;
    }

    /// <summary>The architecture's name.</summary>
    public string Name { get; }

    /// <inheritdoc cref="LlamaConfig.VocabSize"/>
    public int VocabSize { get; init; } = 50256;

    /// <inheritdoc cref="LlamaConfig.HiddenSize"/>
    public int HiddenSize { get; init; } = 64;

    /// <inheritdoc cref="LlamaConfig.IntermediateSize"/>
    public int IntermediateSize { get; init; } = 172;

    /// <inheritdoc cref="LlamaConfig.NumHiddenLayers"/>
    public int NumHiddenLayers { get; init; } = 4;

    /// <inheritdoc cref="LlamaConfig.NumAttentionHeads"/>
    public int NumAttentionHeads { get; init; } = 8;

    /// <summary>G: how many key-value heads in a block; null for as many as there are query heads.</summary>
    public int? NumKeyValueHeads { get; init; }

    /// <summary>K: the width of a head; null for D / H.</summary>
    public int? HeadDim { get; init; }

    /// <inheritdoc cref="LlamaConfig.MaxPositionEmbeddings"/>
    public int MaxPositionEmbeddings { get; init; } = 2048;

    /// <inheritdoc cref="LlamaConfig.RmsNormEps"/>
    public float RmsNormEps { get; init; } = 1e-6f;

    /// <inheritdoc cref="LlamaConfig.RopeTheta"/>
    public double RopeTheta { get; init; } = 10000;

    /// <inheritdoc cref="LlamaConfig.TieWordEmbeddings"/>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>The shape as the engine takes it.</summary>
    /// <exception cref="ArrakisException">The heads do not divide the hidden size, and no width of a head is given.</exception>
    public LlamaConfig ToLlamaConfig()
    {
        if (HeadDim is null && (NumAttentionHeads < 1 || HiddenSize % NumAttentionHeads != 0))
            throw new ArrakisException($"hidden_size {HiddenSize} is not a multiple of num_attention_heads {NumAttentionHeads}: set HeadDim, or other sizes");
        return new LlamaConfig
        {
            VocabSize = VocabSize,
            HiddenSize = HiddenSize,
            IntermediateSize = IntermediateSize,
            NumHiddenLayers = NumHiddenLayers,
            NumAttentionHeads = NumAttentionHeads,
            NumKeyValueHeads = NumKeyValueHeads ?? NumAttentionHeads,
            HeadDim = HeadDim ?? HiddenSize / NumAttentionHeads,
            MaxPositionEmbeddings = MaxPositionEmbeddings,
            RmsNormEps = RmsNormEps,
            RopeTheta = RopeTheta,
            TieWordEmbeddings = TieWordEmbeddings,
        };
    }
}
