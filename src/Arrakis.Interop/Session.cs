using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Interop;

/// <summary>An arrakis_session: a session with the model that its analyses need. One call at a time: a second thread is refused.</summary>
internal sealed unsafe class Session : IDisposable
{
    private readonly Model _shared;
    private readonly LlamaModel _model;
    private readonly LlamaSession _session;
    private readonly AnalysisOptions _compute;
    private int _busy;

    public Session(Model model, RecordingPlan plan, int threads, KernelTier kernels)
    {
        _shared = model.Share();
        _model = model.Engine;
        try
        {
            _session = _model.CreateSession(plan, new SessionOptions { Threads = threads, Kernels = kernels });
        }
        catch
        {
            _shared.Dispose();
            throw;
        }

        _compute = new AnalysisOptions { Threads = threads, Kernels = kernels };
    }

    private LlamaConfig Config => _model.Config;

    private ActivationCache Cache => _session.Cache;

    public void Run(bool isNew, ReadOnlySpan<int> ids, float* logits, nuint capacity)
    {
        using Turn turn = TakeTurn();
        Span<float> buffer = Border.Out(logits, capacity, Config.VocabSize, "logits");
        ReadOnlySpan<float> last = isNew ? _session.Forward(ids) : _session.Append(ids);
        if (!buffer.IsEmpty)
            last.CopyTo(buffer);
    }

    public void Read(string hook, float* values, nuint capacity, nuint* shape)
    {
        using Turn turn = TakeTurn();
        ReadOnlyTensorSpan<float> recorded = Cache[hook];
        Span<float> buffer = Border.Out(values, capacity, checked((int)recorded.FlattenedLength), "values");
        if (!buffer.IsEmpty)
            recorded.FlattenTo(buffer);
        for (int axis = 0; axis < 3 && shape != null; axis++)
            shape[axis] = axis < recorded.Rank ? (nuint)recorded.Lengths[axis] : 0;
    }

    public void WriteNorms(int layer, float* norms, nuint normsCapacity, float* shares, nuint sharesCapacity)
    {
        using Turn turn = TakeTurn();
        int tokens = Cache.Tokens, count = Config.NumAttentionHeads * tokens;
        Span<float> normsBuffer = Border.Out(norms, normsCapacity, count, "norms"), sharesBuffer = Border.Out(shares, sharesCapacity, count, "shares");
        HeadWrites writes = HeadWrites.Measure(_model, Cache, layer, _compute);
        for (int head = 0; head < writes.Heads; head++)
        {
            if (!normsBuffer.IsEmpty)
                writes.Norms(head).CopyTo(normsBuffer[(head * tokens)..]);
            if (!sharesBuffer.IsEmpty)
                writes.Shares(head).CopyTo(sharesBuffer[(head * tokens)..]);
        }
    }

    public void ReadProjections(int layer, int dimension, float* direction, double* weights, nuint weightsCapacity, float* shares, nuint sharesCapacity)
    {
        using Turn turn = TakeTurn();
        int tokens = Cache.Tokens, heads = Config.NumAttentionHeads;
        Span<double> weightsBuffer = Border.Out(weights, weightsCapacity, 3 * heads, "weights");
        Span<float> sharesBuffer = Border.Out(shares, sharesCapacity, 3 * heads * tokens, "shares");
        ReadDirection read = direction == null ? ReadDirection.Dimension(dimension) : ReadDirection.Vector(new ReadOnlySpan<float>(direction, Config.HiddenSize));
        HeadReads reads = HeadReads.Measure(_model, Cache, layer, read, options: _compute);
        if (!weightsBuffer.IsEmpty)
        {
            reads.QWeights.CopyTo(weightsBuffer);
            reads.KWeights.CopyTo(weightsBuffer[heads..]);
            reads.VWeights.CopyTo(weightsBuffer[(2 * heads)..]);
        }

        for (int head = 0; head < heads && !sharesBuffer.IsEmpty; head++)
        {
            reads.QShares(head).CopyTo(sharesBuffer[(head * tokens)..]);
            reads.KShares(head).CopyTo(sharesBuffer[((heads + head) * tokens)..]);
            reads.VShares(head).CopyTo(sharesBuffer[((2 * heads + head) * tokens)..]);
        }
    }

    public void Flow(in FlowRequest request, FlowTotal* total, double* heads, nuint headsCapacity, double* sources, nuint sourcesCapacity)
    {
        using Turn turn = TakeTurn();
        int perLayer = Config.NumAttentionHeads;
        // How many layers there are to write of is known once the request has been checked, by the trace.
        FlowTrace trace = FlowTracer.Trace(_model, Cache, request.Source, request.Destination, request.Options(_compute));
        Span<double> headsBuffer = Border.Out(heads, headsCapacity, trace.PerLayer.Count * perLayer, "heads");
        Span<double> sourcesBuffer = Border.Out(sources, sourcesCapacity, trace.Sources!.Count, "sources");
        FlowConservation conservation = trace.Conservation!.Value;
        *total = new FlowTotal { Total = trace.Total, Sum = conservation.Sum, Expected = conservation.Expected };
        for (int layer = 0; layer < trace.PerLayer.Count && !headsBuffer.IsEmpty; layer++)
        {
            for (int head = 0; head < perLayer; head++)
                headsBuffer[layer * perLayer + head] = trace.PerLayer[layer].Heads[head];
        }

        for (int position = 0; position < sourcesBuffer.Length; position++)
            sourcesBuffer[position] = trace.Sources[position];
    }

    public void Dispose()
    {
        using Turn turn = TakeTurn();
        _session.Dispose();
        _shared.Dispose();
    }

    // The engine guards its own passes; an analysis, which reads what a pass would overwrite, is guarded here.
    private Turn TakeTurn()
    {
        if (Interlocked.Exchange(ref _busy, 1) != 0)
            throw new BorderException(Status.NotNow, "the session is in use by another thread: give each thread its own session of the model");
        return new Turn(this);
    }

    private readonly ref struct Turn(Session session)
    {
        public void Dispose() => Volatile.Write(ref session._busy, 0);
    }
}
