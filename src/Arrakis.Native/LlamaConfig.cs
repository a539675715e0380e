using System.Globalization;

namespace Arrakis.Native;

/// <summary>Which elements of a head's query and key are rotated together.</summary>
public enum RotaryLayout
{
    /// <summary>Element i with i + head_dim / 2, as in Hugging Face checkpoints.</summary>
    Halves,

    /// <summary>Element 2i with 2i + 1, as in GGUF and llama2.c files.</summary>
    Pairs,
}

/// <summary>How the rotary frequencies are changed for contexts longer than the model was first trained on.</summary>
public enum RopeScalingKind
{
    /// <summary>They are not changed.</summary>
    None,

    /// <summary>Every frequency is divided by the factor (position interpolation, Chen et al. 2023).</summary>
    Linear,

    /// <summary>Low frequencies are divided by the factor, high ones kept, those between blended (Llama 3.1).</summary>
    Llama3,
}

/// <summary>The <c>rope_scaling</c> of a configuration.</summary>
/// <param name="Kind">Which rule.</param>
/// <param name="Factor">By how much low frequencies are divided.</param>
/// <param name="LowFreqFactor"><c>llama3</c> only: wavelengths above original / this are scaled fully.</param>
/// <param name="HighFreqFactor"><c>llama3</c> only: wavelengths below original / this are kept.</param>
/// <param name="OriginalMaxPositionEmbeddings"><c>llama3</c> only: the context the model was first trained on.</param>
public sealed record RopeScaling(
    RopeScalingKind Kind,
    double Factor = 1,
    double LowFreqFactor = 1,
    double HighFreqFactor = 4,
    int OriginalMaxPositionEmbeddings = 8192)
{
    /// <summary>No scaling.</summary>
    public static RopeScaling None { get; } = new(RopeScalingKind.None);
}

/// <summary>The shape of a Llama, under the names of Hugging Face's <c>config.json</c>. Plain data, immutable.</summary>
public sealed record LlamaConfig
{
    /// <summary>D: the width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>F: the width of the MLP between its gate and its down projection.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>L: how many blocks.</summary>
    public required int NumHiddenLayers { get; init; }

    /// <summary>H: how many query heads in a block.</summary>
    public required int NumAttentionHeads { get; init; }

    /// <summary>G: how many key-value heads in a block; a divisor of H. Query head h reads kv head h / (H / G).</summary>
    public required int NumKeyValueHeads { get; init; }

    /// <summary>K: the width of a head; even, and not necessarily D / H.</summary>
    public required int HeadDim { get; init; }

    /// <summary>V: how many tokens there are.</summary>
    public required int VocabSize { get; init; }

    /// <summary>The longest context the model takes, in tokens.</summary>
    public int MaxPositionEmbeddings { get; init; } = 2048;

    /// <summary>ε of every RMSNorm.</summary>
    public float RmsNormEps { get; init; } = 1e-5f;

    /// <summary>θ: the base of the rotary frequencies θ^(−2i/K).</summary>
    public double RopeTheta { get; init; } = 10000;

    /// <summary>How the rotary frequencies are scaled.</summary>
    public RopeScaling RopeScaling { get; init; } = RopeScaling.None;

    /// <summary>Which elements rotate together.</summary>
    public RotaryLayout RotaryLayout { get; init; } = RotaryLayout.Halves;

    /// <summary>Whether the unembedding is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>The token that begins a sequence, where the model names one.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a sequence; empty where the model names none.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Query heads to a kv head: H / G.</summary>
    public int HeadsPerKeyValueHead => NumAttentionHeads / NumKeyValueHeads;

    /// <summary>How many numbers the weights hold; a tied unembedding counts once.</summary>
    public long ParameterCount
    {
        get
        {
            long attention = 2L * HiddenSize * HeadDim * (NumAttentionHeads + NumKeyValueHeads);
            long mlp = 3L * HiddenSize * IntermediateSize;
            long embeddings = (TieWordEmbeddings ? 1L : 2L) * VocabSize * HiddenSize;
            return embeddings + HiddenSize + NumHiddenLayers * (attention + mlp + 2L * HiddenSize);
        }
    }

    /// <summary>What is wrong with this configuration, in one line, or null if nothing is.</summary>
    internal string? FindFault()
    {
        // No model comes near 2^24 in any of these; the bound keeps every product of two within a long.
        const int Most = 1 << 24;
        foreach ((string name, int value) in new[]
        {
            ("hidden_size", HiddenSize), ("intermediate_size", IntermediateSize), ("num_hidden_layers", NumHiddenLayers),
            ("num_attention_heads", NumAttentionHeads), ("num_key_value_heads", NumKeyValueHeads), ("head_dim", HeadDim),
            ("vocab_size", VocabSize), ("max_position_embeddings", MaxPositionEmbeddings),
        })
        {
            if (value is < 1 or > Most)
                return Invariant($"{name} is {value}, which is not between 1 and {Most}");
        }

        if (NumAttentionHeads % NumKeyValueHeads != 0)
            return Invariant($"num_attention_heads {NumAttentionHeads} is not a multiple of num_key_value_heads {NumKeyValueHeads}");
        if (HeadDim % 2 != 0)
            return Invariant($"head_dim {HeadDim} is odd, and rotation takes elements in pairs");
        if ((long)NumAttentionHeads * HeadDim > Most)
            return Invariant($"num_attention_heads {NumAttentionHeads} × head_dim {HeadDim} is more than {Most}");
        if (!float.IsFinite(RmsNormEps) || RmsNormEps <= 0)
            return Invariant($"rms_norm_eps is {RmsNormEps}, which is not a positive number");
        if (!double.IsFinite(RopeTheta) || RopeTheta <= 0)
            return Invariant($"rope_theta is {RopeTheta}, which is not a positive number");
        if (BosTokenId is int bos && (bos < 0 || bos >= VocabSize))
            return Invariant($"bos_token_id {bos} is outside the vocabulary of {VocabSize}");
        foreach (int eos in EosTokenIds)
        {
            if (eos < 0 || eos >= VocabSize)
                return Invariant($"eos_token_id {eos} is outside the vocabulary of {VocabSize}");
        }

        return FindScalingFault();
    }

    private string? FindScalingFault()
    {
        RopeScaling s = RopeScaling;
        if (s.Kind != RopeScalingKind.None && !(double.IsFinite(s.Factor) && s.Factor > 0))
            return Invariant($"rope_scaling factor is {s.Factor}, which is not a positive number");
        if (s.Kind != RopeScalingKind.Llama3)
            return null;
        if (!(double.IsFinite(s.LowFreqFactor) && s.LowFreqFactor > 0 && double.IsFinite(s.HighFreqFactor) && s.HighFreqFactor > s.LowFreqFactor))
            return Invariant($"rope_scaling needs 0 < low_freq_factor < high_freq_factor, and has {s.LowFreqFactor} and {s.HighFreqFactor}");
        if (s.OriginalMaxPositionEmbeddings < 1)
            return Invariant($"rope_scaling original_max_position_embeddings is {s.OriginalMaxPositionEmbeddings}, which is not positive");
        return null;
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
