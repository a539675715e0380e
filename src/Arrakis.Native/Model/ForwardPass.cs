using System.Diagnostics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Model;

/// <summary>A forward pass over one sequence, whatever its kernels.</summary>
internal abstract class ForwardPass
{
    /// <summary>What the next pass changes, bound to it; null for nothing.</summary>
    public BoundInterventions? Interventions { get; set; }

    /// <summary>Told after every block, and after what follows the last, what part of the pass is done; where workers have strands of their own, after every block of the caller's.</summary>
    public IProgress<double>? Progress { get; set; }

    /// <summary>Reads the weights ahead of the next pass; null where they need not be.</summary>
    public ReadAhead? ReadAhead { get; set; }

    /// <summary>Runs tokens that follow the first <paramref name="past"/> positions of the sequence.</summary>
    /// <param name="ids">T token ids, checked by the caller.</param>
    /// <param name="past">Positions of the sequence whose keys and values are in the cache.</param>
    /// <param name="cancellation">Looked at before every block.</param>
    public abstract void Run(ReadOnlySpan<int> ids, int past, CancellationToken cancellation);

    /// <summary>attn.hook_result of a layer [T, H, D] from its z [T, H, K].</summary>
    public abstract void ComputeResult(int layer, ReadOnlySpan<float> z, Span<float> result);

    /// <summary>Times the stages of every pass; null for none.</summary>
    public PassClock? Clock { get; set; }

    /// <summary>The pass for a tier that this machine has.</summary>
    public static ForwardPass Create(KernelTier tier, LlamaConfig config, LlamaWeights weights, RotaryTable rotary, WorkerTeam team, Workspace workspace, KvCache cache) =>
        tier switch
        {
            KernelTier.Scalar => new ForwardPass<ScalarKernels>(config, weights, rotary, team, workspace, cache),
            KernelTier.Vector => new ForwardPass<VectorKernels>(config, weights, rotary, team, workspace, cache),
            KernelTier.Avx2 => new ForwardPass<Avx2Kernels>(config, weights, rotary, team, workspace, cache),
            KernelTier.Avx512 => new ForwardPass<Avx512Kernels>(config, weights, rotary, team, workspace, cache),
            _ => throw new ArgumentOutOfRangeException(nameof(tier), tier, null),
        };
}

/// <summary>
/// The Llama (Touvron et al. 2023), read from top to bottom: embed; then in every block norm, project to q, k and v, rotate, attend, project, add, norm,
/// gate, up, down, add; then norm and unembed. Recording is where a value is written to (<see cref="Workspace.At"/>), not a branch around the mathematics.
/// </summary>
internal sealed unsafe partial class ForwardPass<TKernels>(
    LlamaConfig config, LlamaWeights weights, RotaryTable rotary, WorkerTeam team, Workspace workspace, KvCache cache) : ForwardPass
    where TKernels : struct, IKernels
{
    // Tokens that go through the blocks together. Enough that reading the weights costs nothing beside the arithmetic; what is not recorded
    // needs memory for no more than these. Bits do not depend on it.
    private const int MostTokensAtOnce = 512;

    private readonly int _d = config.HiddenSize;
    private readonly int _q = config.NumAttentionHeads * config.HeadDim;
    private readonly int _kv = config.NumKeyValueHeads * config.HeadDim;
    private readonly int _f = config.IntermediateSize;

    // The tokens that are on their way through the blocks: from _first of the call on, _tokens of them, the first at position _position. They are a chunk of _chunk tokens,
    // or the strand of one that begins at its token _inChunk.
    private int _first;
    private int _tokens;
    private int _chunk;
    private int _inChunk;
    private Cut _cut;
    private int _position;
    private int _callTokens;
    private int _callKeys;
    private Extent _lastBlock;
    private RotaryTable.Values _rotary = rotary.For(0);

    /// <summary>How far all tokens go through a block.</summary>
    private enum Extent
    {
        /// <summary>To the keys and values that later tokens look at.</summary>
        Keys,

        /// <summary>To what every head mixes, <see cref="HookPoint.Z"/>.</summary>
        Attention,

        /// <summary>To its end.</summary>
        Whole,
    }

    public override void Run(ReadOnlySpan<int> ids, int past, CancellationToken cancellation)
    {
        Debug.Assert(TKernels.TileRows - 1 <= KvCache.SpareRows, "a tile of keys reads past the cache");
        // Chunks of nearly equal length: the weights are read for none that is much shorter than the others.
        int chunks = (ids.Length + MostTokensAtOnce - 1) / MostTokensAtOnce;
        int chunk = (ids.Length + chunks - 1) / chunks;
        (_callTokens, _callKeys) = (ids.Length, past + ids.Length);
        cache.Reserve(_callKeys, past);
        _rotary = rotary.For(_callKeys);
        if (team.Size > 1 && _strands is null)
            MakeStrands();
        long packed = MatrixProduct<TKernels>.PackedLength(chunk, Math.Max(Math.Max(_d, _f), _q)), hidden = MatrixProduct<TKernels>.PackedLength(chunk, _f);
        long perWorker = Math.Max(MatrixProduct<TKernels>.ScratchLength(chunk), AttentionScratch(config, _callKeys));
        workspace.Prepare(_callTokens, _callKeys, chunk, packed, hidden, team.Size, Arena.Footprint(perWorker), InterventionFloats(chunk));

        _lastBlock = LastBlock();
        Clock?.Start();
        for (_first = 0; _first < ids.Length; _first += _tokens)
        {
            _chunk = _tokens = Math.Min(chunk, ids.Length - _first);
            _cut = MatrixProduct<TKernels>.CutOf(_tokens, team.Size, weights.Layers[0].Gate.Type);
            // Finish, of the pass before, went on from its last token.
            (_inChunk, _position) = (0, past + _first);
            Embed(ids.Slice(_first, _tokens));
            Clock?.Lap(PassStage.Embed);
            if (InStrands)
                BlocksInStrands(cancellation);
            else
                Blocks(cancellation);
            Finish();
            Progress?.Report((double)(_first + _tokens) / _callTokens);
        }

        // What this thread stored past the caches is to be seen by whoever is handed the recording; workers' stores are, since they were counted off.
        if (Sse.IsSupported)
            Sse.StoreFence();
    }

    /// <summary>
    /// Of the last block and the logits, nobody reads more than the last token's, unless they are recorded or a plan may change them: its other tokens are done where no later
    /// token looks at them any more. Of thirty blocks' arithmetic that is a thirtieth.
    /// </summary>
    private Extent LastBlock()
    {
        if (_callTokens == 1 || Interventions is not null)
            return Extent.Whole;
        Extent extent = Extent.Keys;
        for (HookPoint point = HookPoint.Q; point <= HookPoint.Logits; point++)
        {
            Extent needed = point > HookPoint.Z ? Extent.Whole : point is HookPoint.K or HookPoint.V or HookPoint.RotK ? Extent.Keys : Extent.Attention;
            if (needed > extent && workspace.Recorded(point, point.IsPerLayer() ? config.NumHiddenLayers - 1 : 0) != null)
                extent = needed;
        }

        return extent;
    }

    private void Blocks(CancellationToken cancellation)
    {
        int last = config.NumHiddenLayers - 1;
        for (int layer = 0; layer <= last && _whole is not { _failed: true }; layer++)
        {
            cancellation.ThrowIfCancellationRequested();
            ReadAhead?.WaitFor(layer);
            Block(layer, layer < last ? Extent.Whole : _lastBlock);
            // What comes after the blocks counts as one more.
            Progress?.Report((_first - _inChunk + _chunk * (layer + 1.0) / (config.NumHiddenLayers + 1)) / _callTokens);
        }
    }

    private float* At(HookPoint point, int layer = 0) => workspace.At(point, layer, _first, _inChunk);

    private float* Normed => workspace.Normed + (nint)_inChunk * _d;

    // Whole vectors of tokens are packed.
    private nint PackedInChunk => _inChunk / TKernels.Lanes * TKernels.Lanes;

    private float* Packed => workspace.Packed + PackedInChunk * Math.Max(Math.Max(_d, _f), _q);

    private float* PackedHidden => workspace.PackedHidden + PackedInChunk * _f;

    private void Embed(ReadOnlySpan<int> ids)
    {
        float* x = At(HookPoint.ResidPre);
        for (int t = 0; t < ids.Length; t++)
            TKernels.Widen(weights.Embedding.Type, weights.Embedding.Row(ids[t]), _d, x + (nint)t * _d);
        Intervene(0, HookPoint.Embed);
    }

    /// <summary>The rest of the last block, where it is the last token's alone, and the logits.</summary>
    private void Finish()
    {
        if (_lastBlock != Extent.Whole)
        {
            if (_first + _tokens < _callTokens)
                return;
            // A strand of one token. What of it was done with the others is done again, to the same bits.
            _inChunk = _tokens - 1;
            (_first, _position, _tokens) = (_first + _inChunk, _position + _inChunk, 1);
            _cut = MatrixProduct<TKernels>.CutOf(_tokens, team.Size, weights.Layers[0].Gate.Type);
            Block(config.NumHiddenLayers - 1, Extent.Whole);
        }

        Unembed();
        Clock?.Lap(PassStage.Unembed);
    }

    private void Block(int layer, Extent extent)
    {
        LlamaLayer w = weights.Layers[layer];
        float* pre = At(HookPoint.ResidPre, layer), mid = At(HookPoint.ResidMid, layer), post = At(HookPoint.ResidPost, layer);

        // Attention: what every head reads and writes.
        float* q = At(HookPoint.Q, layer), k = At(HookPoint.K, layer), v = At(HookPoint.V, layer);
        float* rotQ = At(HookPoint.RotQ, layer), z = At(HookPoint.Z, layer), attnOut = At(HookPoint.AttnOut, layer);
        Intervene(layer, HookPoint.ResidPre);
        Panels x = Norm(layer, HookPoint.Ln1Scale, HookPoint.Ln1Normalized, pre, w.AttentionNorm);
        Clock?.Lap(PassStage.AttentionNorm, layer);
        ReadOnlySpan<Product> projections = [new(w.Query, q, _q), new(w.Key, k, _kv), new(w.Value, v, _kv)];
        Project(Normed, x, extent == Extent.Keys ? projections[1..] : projections);
        Intervene(layer, HookPoint.Q, HookPoint.K, HookPoint.V);
        Clock?.Lap(PassStage.QueryKeyValue, layer);
        RotateAndStore(layer, extent == Extent.Keys ? 0 : config.NumAttentionHeads, q, k, v, rotQ);
        InterveneRotated(layer, k);
        Clock?.Lap(PassStage.Rotate, layer);
        if (extent == Extent.Keys)
            return;
        AwaitKeysOfEarlierStrands(layer);
        Panels mixed = Attend(layer, rotQ, z);
        Intervene(layer, HookPoint.Z);
        Clock?.Lap(PassStage.Attend, layer);
        if (extent == Extent.Attention)
            return;
        ProjectHeads(layer, z, mixed, attnOut);
        InterveneResult(layer, z, attnOut);
        Intervene(layer, HookPoint.AttnOut);
        Clock?.Lap(PassStage.Output, layer);

        // The MLP: SiLU(gate) ∘ up, and back down.
        float* mlpOut = At(HookPoint.MlpOut, layer);
        x = AddNorm(layer, HookPoint.ResidMid, pre, attnOut, HookPoint.Ln2Scale, HookPoint.Ln2Normalized, mid, w.MlpNorm);
        Clock?.Lap(PassStage.MlpNorm, layer);
        GateUpDown(layer, x, mlpOut);
        Intervene(layer, HookPoint.MlpOut);
        Add(mid, mlpOut, post);
        Intervene(layer, HookPoint.ResidPost);
        Clock?.Lap(PassStage.Down, layer);
    }

    /// <summary>attn_out = Σ_h z[h] W_O[h], the sum of what every head writes, which is kept where it is wanted.</summary>
    private void ProjectHeads(int layer, float* z, Panels mixed, float* attnOut)
    {
        WeightMatrix output = weights.Layers[layer].Output;
        bool recorded = workspace.Recorded(HookPoint.Result, layer) != null;
        if (mixed.Data == null)
            mixed = Pack(z, _q);
        if (_callTokens > 1 && config.HeadDim <= MatrixProduct<TKernels>.MostDepth)
        {
            Project(z, mixed, [new(output, attnOut, _d) { PartDepth = config.HeadDim, Parts = recorded ? At(HookPoint.Result, layer) : null }]);
            return;
        }

        Project(z, mixed, [new(output, attnOut, _d)]);
        if (recorded)
            HeadResults(layer, z, At(HookPoint.Result, layer), _tokens, Packed, workspace.Workers);
    }

    /// <summary>mlp_out = (SiLU(gate) ∘ up) W_downᵀ with gate = x W_gateᵀ and up = x W_upᵀ, in one go where nobody looks in between.</summary>
    private void GateUpDown(int layer, in Panels x, float* mlpOut)
    {
        LlamaLayer w = weights.Layers[layer];
        if (_callTokens > 1 && !Intervened(layer, HookPoint.MlpPre, HookPoint.MlpPreLinear, HookPoint.MlpPost))
        {
            Panels packed = MatrixProduct<TKernels>.MultiplyGated(
                team, x, new(w.Gate, IfRecorded(HookPoint.MlpPre, layer), _f), new(w.Up, IfRecorded(HookPoint.MlpPreLinear, layer), _f),
                IfRecorded(HookPoint.MlpPost, layer), PackedHidden, workspace.Workers);
            Clock?.Lap(PassStage.GateUp, layer);
            MatrixProduct<TKernels>.Multiply(team, packed, [new(w.Down, mlpOut, _d)], workspace.Workers);
            return;
        }

        float* gate = At(HookPoint.MlpPre, layer), up = At(HookPoint.MlpPreLinear, layer), hidden = At(HookPoint.MlpPost, layer);
        Project(Normed, x, [new(w.Gate, gate, _f), new(w.Up, up, _f)]);
        Intervene(layer, HookPoint.MlpPre, HookPoint.MlpPreLinear);
        SiluMultiply(gate, up, hidden);
        Intervene(layer, HookPoint.MlpPost);
        Clock?.Lap(PassStage.GateUp, layer);
        Project(hidden, Pack(hidden, _f), [new(w.Down, mlpOut, _d)]);
    }

    private float* IfRecorded(HookPoint point, int layer) => workspace.Recorded(point, layer) == null ? null : At(point, layer);

    private void Unembed()
    {
        float* stream = At(HookPoint.ResidPost, config.NumHiddenLayers - 1);
        Panels x = Norm(0, HookPoint.LnFinalScale, HookPoint.LnFinalNormalized, stream, weights.FinalNorm);
        if (workspace.Recorded(HookPoint.Logits, 0) != null)
        {
            Project(Normed, x, [new(weights.Unembedding, At(HookPoint.Logits), config.VocabSize)]);
        }
        else if (_first + _tokens == _callTokens)
        {
            float* last = Normed + (nint)(_tokens - 1) * _d;
            Project(last, Pack(last, _d, MatrixProduct<TKernels>.CutOf(1, team.Size, weights.Unembedding.Type)), [new(weights.Unembedding, workspace.LastLogits, config.VocabSize)]);
        }

        InterveneLogits();
    }

    private Panels Pack(float* x, int depth) => Pack(x, depth, _cut);

    // Nothing of a call of one token, whose products read its row.
    private Panels Pack(float* x, int depth, in Cut cut) =>
        _callTokens == 1 ? default : MatrixProduct<TKernels>.Pack(team, x, depth, cut, depth, Packed);

    /// <summary>
    /// y = x Wᵀ for every product, of x packed. A call of one token is bound by reading the weights and takes the kernels for that, which read its one row.
    /// </summary>
    private void Project(float* row, in Panels x, ReadOnlySpan<Product> products)
    {
        if (_callTokens == 1)
            MatrixProduct<TKernels>.MultiplyOne(team, row, products);
        else
            MatrixProduct<TKernels>.Multiply(team, x, products, workspace.Workers);
    }
}
