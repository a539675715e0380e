namespace Arrakis.Weights.Induction;

/// <summary>
/// An induction circuit written down, not learned (Elhage et al. 2021; Olsson et al. 2022): a Llama of two layers whose every weight is put in place, so that every
/// number that an analysis gives of it is known in closed form.
/// <list type="bullet">
/// <item>Every embedding is <see cref="TokenAmplitude"/> along the token's own dimension and <see cref="ConstantAmplitude"/> along a common one: all have the same norm.</item>
/// <item>Layer 0, head 0 looks at the position before, by rotation alone: its keys stand one position's turn ahead of its queries, at three frequencies. It copies what
/// token stood there into a subspace of its own.</item>
/// <item>Layer 0, head 1 is a decoy: it writes the largest norm of all, a constant, into dimensions that nobody reads.</item>
/// <item>Layer 1, head 1 looks for the position whose previous token is the present one, and copies the token there into the output subspace, which alone is unembedded.</item>
/// <item>All other heads and both MLPs are idle: what they write is zero.</item>
/// </list>
/// Token 0 begins a sequence; it is copied by nobody. Norm weights are 1.
/// </summary>
internal sealed class InductionCircuit(int kvHeads)
{
    public const int Vocabulary = 32, Context = 64, Hidden = 128, Heads = 4, HeadDim = 64, Intermediate = 8, Layers = 2;
    public const double RopeTheta = 1e6, NormEpsilon = 1e-5;

    /// <summary>Where the parts of the residual stream lie.</summary>
    public const int TokenSpace = 0, Constant = 32, PreviousSpace = 33, OutputSpace = 65, DecoySpace = 97, DecoyDims = 16;

    /// <summary>Both squares over D make 1, so that the first norm's scale is √(1 + ε).</summary>
    public const float TokenAmplitude = 8, ConstantAmplitude = 8;

    /// <summary>The rotary pairs by which head 0.0 finds the position before. Together no other offset within the context comes near.</summary>
    private static readonly int[] s_positionPairs = [0, 4, 8];

    /// <summary>Score of an exact hit of head 0.0 in each of its pairs: q·k / √K is this times Σ cos((δ − 1) ω).</summary>
    private const double PositionScore = 25;

    // Queries and keys of head 1.1: a match scores 8 · 8 / 33.5 · w² / √K = 38.
    private const float MatchWeight = 12.5f;

    // What the heads write of their values.
    private const float DecoyWeight = 2, OutputWeight = 23, UnembeddingWeight = 4;

    private readonly Dictionary<string, (int Rows, int Columns, float[] Values)> _tensors = [];

    private int KvHead(int head) => head / (Heads / kvHeads);

    /// <summary>All tensors under Hugging Face's names; a matrix is [outputs, inputs].</summary>
    public IReadOnlyDictionary<string, (int Rows, int Columns, float[] Values)> Build()
    {
        _tensors.Clear();
        Embeddings();
        for (int layer = 0; layer < Layers; layer++)
            Empty(layer);
        PreviousTokenHead(0, 0);
        DecoyHead(0, 1);
        InductionHead(1, 1);
        return _tensors;
    }

    private void Embeddings()
    {
        Add("model.embed_tokens.weight", Vocabulary, Hidden);
        Add("lm_head.weight", Vocabulary, Hidden);
        Add("model.norm.weight", 1, Hidden).AsSpan().Fill(1);
        for (int token = 0; token < Vocabulary; token++)
        {
            Set("model.embed_tokens.weight", token, TokenSpace + token, TokenAmplitude);
            Set("model.embed_tokens.weight", token, Constant, ConstantAmplitude);
            Set("lm_head.weight", token, OutputSpace + token, UnembeddingWeight);
        }
    }

    private void Empty(int layer)
    {
        Add(Name(layer, "input_layernorm"), 1, Hidden).AsSpan().Fill(1);
        Add(Name(layer, "post_attention_layernorm"), 1, Hidden).AsSpan().Fill(1);
        Add(Name(layer, "self_attn.q_proj"), Heads * HeadDim, Hidden);
        Add(Name(layer, "self_attn.k_proj"), kvHeads * HeadDim, Hidden);
        Add(Name(layer, "self_attn.v_proj"), kvHeads * HeadDim, Hidden);
        Add(Name(layer, "self_attn.o_proj"), Hidden, Heads * HeadDim);
        Add(Name(layer, "mlp.gate_proj"), Intermediate, Hidden);
        Add(Name(layer, "mlp.up_proj"), Intermediate, Hidden);
        Add(Name(layer, "mlp.down_proj"), Hidden, Intermediate);
    }

    /// <summary>
    /// q = (α, 0) and k = α (cos ω, sin ω) in each pair: rotated to t and s their product is α² cos((t − s − 1) ω), largest one position back.
    /// </summary>
    private void PreviousTokenHead(int layer, int head)
    {
        // α of a constant of 8 behind a norm's scale of 1, so that α² / √K is the score.
        double alpha = Math.Sqrt(PositionScore * Math.Sqrt(HeadDim)) / ConstantAmplitude;
        foreach (int pair in s_positionPairs)
        {
            double omega = Math.Pow(RopeTheta, -2.0 * pair / HeadDim);
            SetQuery(layer, head, pair, Constant, Rounded(alpha));
            SetKey(layer, head, pair, Constant, Rounded(alpha * Math.Cos(omega)));
            SetKey(layer, head, pair + HeadDim / 2, Constant, Rounded(alpha * Math.Sin(omega)));
        }

        for (int token = 1; token < Vocabulary; token++)
        {
            SetValue(layer, head, token, TokenSpace + token, 1);
            SetOutput(layer, head, token, PreviousSpace + token, 1);
        }
    }

    // Dimension 0 of the values is no token's: there the constant goes, also where the two heads share a kv head. Queries are zero: it looks everywhere alike.
    private void DecoyHead(int layer, int head)
    {
        SetValue(layer, head, 0, Constant, 1);
        for (int d = 0; d < DecoyDims; d++)
            SetOutput(layer, head, 0, DecoySpace + d, DecoyWeight);
    }

    private void InductionHead(int layer, int head)
    {
        for (int token = 1; token < Vocabulary; token++)
        {
            int slow = SlowDimension(token);
            SetQuery(layer, head, slow, TokenSpace + token, MatchWeight);
            SetKey(layer, head, slow, PreviousSpace + token, MatchWeight);
            SetValue(layer, head, token, TokenSpace + token, 1);
            SetOutput(layer, head, token, OutputSpace + token, OutputWeight);
        }
    }

    /// <summary>A dimension of a query or key whose rotary pair hardly turns within the context: at most 64 · 10⁻³ of a radian.</summary>
    public static int SlowDimension(int token) => token < 16 ? 16 + token : 32 + token;

    private float[] Add(string name, int rows, int columns)
    {
        float[] values = new float[rows * columns];
        _tensors.Add(name, (rows, columns, values));
        return values;
    }

    private void SetQuery(int layer, int head, int k, int d, float value) => Set(Name(layer, "self_attn.q_proj"), head * HeadDim + k, d, value);

    private void SetKey(int layer, int head, int k, int d, float value) => Set(Name(layer, "self_attn.k_proj"), KvHead(head) * HeadDim + k, d, value);

    private void SetValue(int layer, int head, int k, int d, float value) => Set(Name(layer, "self_attn.v_proj"), KvHead(head) * HeadDim + k, d, value);

    private void SetOutput(int layer, int head, int k, int d, float value) => Set(Name(layer, "self_attn.o_proj"), d, head * HeadDim + k, value);

    private void Set(string name, int row, int column, float value) => _tensors[name].Values[row * _tensors[name].Columns + column] = value;

    private static string Name(int layer, string part) => $"model.layers.{layer}.{part}.weight";

    /// <summary>To a thousandth of a power of two, so that another machine's cosine gives the same bits.</summary>
    private static float Rounded(double value) => (float)(Math.Round(value * 1024) / 1024);
}
