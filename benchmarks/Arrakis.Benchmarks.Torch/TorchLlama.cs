using Arrakis.Native;
using Arrakis.Native.Model;
using Arrakis.Native.Weights;
using TorchSharp;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace Arrakis.Benchmarks.Torch;

/// <summary>What a pass of <see cref="TorchLlama"/> keeps.</summary>
internal enum Kept
{
    /// <summary>Nothing: attention is libtorch's own fused one.</summary>
    Nothing,

    /// <summary>Every hook point but <c>attn.hook_result</c> and the logits of all positions, which cost arithmetic that a bare pass does not do.</summary>
    AllButResultAndLogits,

    /// <summary>Every hook point.</summary>
    All,
}

/// <summary>The engine's forward pass written with libtorch, over copies of a model's float32 weights.</summary>
internal sealed class TorchLlama : IDisposable
{
    private readonly LlamaConfig _c;
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _embedding, _unembedding, _finalNorm;
    private readonly Layer[] _layers;
    private readonly List<Tensor> _kept = [];
    private readonly Tensor _cos, _sin, _mask;
    private Kept _keep;

    public TorchLlama(LlamaConfig config, LlamaWeights weights, int tokens)
    {
        _c = config;
        _embedding = Matrix(weights.Embedding);
        _unembedding = config.TieWordEmbeddings ? _embedding : Matrix(weights.Unembedding);
        _finalNorm = tensor(weights.FinalNorm);
        _layers = [.. weights.Layers.Select(w => new Layer(
            tensor(w.AttentionNorm), Matrix(w.Query), Matrix(w.Key), Matrix(w.Value), Matrix(w.Output), tensor(w.MlpNorm), Matrix(w.Gate), Matrix(w.Up), Matrix(w.Down)))];
        int half = config.HeadDim / 2;
        float[] angles = [.. Enumerable.Range(0, tokens * half).Select(i => (float)(i / half * Math.Pow(config.RopeTheta, -2.0 * (i % half) / config.HeadDim)))];
        using Tensor angle = tensor(angles).reshape(tokens, 1, half);
        (_cos, _sin) = (angle.cos(), angle.sin());
        _mask = full(tokens, tokens, float.NegativeInfinity).triu(1);
    }

    /// <summary>The logits [V] of the last position.</summary>
    public float[] Forward(long[] ids, Kept keep)
    {
        using IDisposable inference = inference_mode();
        using DisposeScope scope = NewDisposeScope();
        _keep = keep;
        Tensor x = Keep(_embedding.index_select(0, tensor(ids)));
        foreach (Layer layer in _layers)
            x = Block(layer, x);
        Tensor normed = Norm(keep == Kept.All ? x : x.narrow(0, ids.Length - 1, 1), _finalNorm);
        Tensor logits = Keep(F.linear(normed, _unembedding));
        float[] last = logits[-1].data<float>().ToArray();
        _kept.ForEach(kept => kept.Dispose());
        _kept.Clear();
        return last;
    }

    public void Dispose() => _scope.Dispose();

    private Tensor Block(Layer w, Tensor pre)
    {
        int heads = _c.NumAttentionHeads, kvHeads = _c.NumKeyValueHeads, k = _c.HeadDim;
        // What is not kept goes back to the allocator after every block, much as it would in Python, where nothing outlives its last use.
        using DisposeScope scope = NewDisposeScope();
        Tensor normed = Norm(pre, w.AttentionNorm);
        Tensor query = Keep(F.linear(normed, w.Query).reshape(-1, heads, k));
        Tensor key = Keep(F.linear(normed, w.Key).reshape(-1, kvHeads, k));
        Tensor value = Keep(F.linear(normed, w.Value).reshape(-1, kvHeads, k));
        Tensor z = Keep(Attend(Keep(Rotate(query)), Keep(Rotate(key)), value).transpose(0, 1).contiguous());
        if (_keep == Kept.All)
            Keep(einsum("thk,dhk->thd", z, w.Output.reshape(-1, heads, k)));
        Tensor attentionOut = Keep(F.linear(z.reshape(-1, heads * k), w.Output));
        Tensor mid = Keep(pre + attentionOut);

        normed = Norm(mid, w.MlpNorm);
        Tensor gate = Keep(F.linear(normed, w.Gate)), up = Keep(F.linear(normed, w.Up));
        Tensor hidden = Keep(F.silu(gate) * up);
        Tensor mlpOut = Keep(F.linear(hidden, w.Down));
        return Keep((mid + mlpOut).MoveToOuterDisposeScope());
    }

    /// <summary>z [H, T, K].</summary>
    private Tensor Attend(Tensor query, Tensor key, Tensor value)
    {
        Tensor q = query.transpose(0, 1), k = OfEveryHead(key), v = OfEveryHead(value);
        if (_keep == Kept.Nothing)
            return F.scaled_dot_product_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), is_casual: true).squeeze(0);
        Tensor scores = Keep(q.matmul(k.transpose(1, 2)).mul_(1 / MathF.Sqrt(_c.HeadDim)).add_(_mask));
        return Keep(scores.softmax(-1)).matmul(v);
    }

    private Tensor OfEveryHead(Tensor x) => x.transpose(0, 1).repeat_interleave(_c.HeadsPerKeyValueHead, 0);

    private Tensor Norm(Tensor x, Tensor gamma)
    {
        Tensor scale = Keep(x.square().mean([-1], keepdim: true).add_(_c.RmsNormEps).sqrt_());
        return Keep(x / scale) * gamma;
    }

    private Tensor Rotate(Tensor x)
    {
        Tensor[] halves = x.chunk(2, -1);
        return cat([halves[0] * _cos - halves[1] * _sin, halves[1] * _cos + halves[0] * _sin], -1);
    }

    // What is kept lives until the pass is over.
    private Tensor Keep(Tensor x)
    {
        if (_keep != Kept.Nothing)
            _kept.Add(x.DetachFromDisposeScope());
        return x;
    }

    private static unsafe Tensor Matrix(WeightMatrix w)
    {
        float[] values = new ReadOnlySpan<float>(w.Row(0), w.Rows * w.Columns).ToArray();
        return tensor(values).reshape(w.Rows, w.Columns);
    }

    private sealed record Layer(
        Tensor AttentionNorm, Tensor Query, Tensor Key, Tensor Value, Tensor Output, Tensor MlpNorm, Tensor Gate, Tensor Up, Tensor Down);
}
