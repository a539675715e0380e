using System.Runtime.InteropServices;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Interop;

/// <summary>The functions of arrakis.h, in its order. What each does is said there.</summary>
internal static unsafe class Exports
{
    private const int Abi = 1;

    [UnmanagedCallersOnly(EntryPoint = "arrakis_abi")]
    public static int GetAbi() => Abi;

    [UnmanagedCallersOnly(EntryPoint = "arrakis_last_error")]
    public static nuint LastError(byte* buffer, nuint capacity) => Border.LastError(buffer, capacity);

    [UnmanagedCallersOnly(EntryPoint = "arrakis_model_open")]
    public static Status OpenModel(byte* path, WeightMemory memory, nint* model) => Border.Cross(() =>
    {
        Border.NotNull(model, "model");
        string place = Border.Text(path, "path");
        if (!Enum.IsDefined(memory))
            throw new BorderException(Status.Invalid, $"memory is {(int)memory}: use ARRAKIS_MAPPED or ARRAKIS_COPIED");
        *model = Border.Open(new Model(LlamaModel.Load(place, new LoadOptions { Memory = memory })));
    });

    [UnmanagedCallersOnly(EntryPoint = "arrakis_model_shape")]
    public static Status GetShape(nint model, Shape* shape) => Border.Cross(() =>
    {
        Border.NotNull(shape, "shape");
        *shape = Shape.Of(Border.Get<Model>(model).Engine.Config);
    });

    [UnmanagedCallersOnly(EntryPoint = "arrakis_model_close")]
    public static Status CloseModel(nint model) => Border.Cross(() => Border.Close<Model>(model));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_session_open")]
    public static Status OpenSession(nint model, byte* record, int threads, KernelTier kernels, nint* session) => Border.Cross(() =>
    {
        Border.NotNull(session, "session");
        if (!Enum.IsDefined(kernels))
            throw new BorderException(Status.Invalid, $"kernels is {(int)kernels}: use one of ARRAKIS_KERNELS_…");
        RecordingPlan plan = RecordingPlan.Parse(Border.Text(record, "record"));
        *session = Border.Open(new Session(Border.Get<Model>(model), plan, threads, kernels));
    });

    [UnmanagedCallersOnly(EntryPoint = "arrakis_session_close")]
    public static Status CloseSession(nint session) => Border.Cross(() => Border.Close<Session>(session));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_forward")]
    public static Status Forward(nint session, int* ids, nuint count, float* logits, nuint capacity) =>
        Border.Cross(() => Border.Get<Session>(session).Run(isNew: true, Border.In(ids, count, "ids"), logits, capacity));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_append")]
    public static Status Append(nint session, int* ids, nuint count, float* logits, nuint capacity) =>
        Border.Cross(() => Border.Get<Session>(session).Run(isNew: false, Border.In(ids, count, "ids"), logits, capacity));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_hook")]
    public static Status Hook(nint session, byte* name, float* values, nuint capacity, nuint* shape) => Border.Cross(() =>
    {
        string hook = Border.Text(name, "name");
        Border.Get<Session>(session).Read(hook, values, capacity, shape);
    });

    [UnmanagedCallersOnly(EntryPoint = "arrakis_write_norms")]
    public static Status WriteNorms(nint session, int layer, float* norms, nuint normsCapacity, float* shares, nuint sharesCapacity) =>
        Border.Cross(() => Border.Get<Session>(session).WriteNorms(layer, norms, normsCapacity, shares, sharesCapacity));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_read_projections")]
    public static Status ReadProjections(
        nint session, int layer, int dimension, float* direction, double* weights, nuint weightsCapacity, float* shares, nuint sharesCapacity) =>
        Border.Cross(() => Border.Get<Session>(session).ReadProjections(layer, dimension, direction, weights, weightsCapacity, shares, sharesCapacity));

    [UnmanagedCallersOnly(EntryPoint = "arrakis_flow")]
    public static Status Flow(
        nint session, FlowRequest* request, FlowTotal* total, double* heads, nuint headsCapacity, double* sources, nuint sourcesCapacity) => Border.Cross(() =>
    {
        Border.NotNull(request, "request");
        Border.NotNull(total, "total");
        Border.Get<Session>(session).Flow(*request, total, heads, headsCapacity, sources, sourcesCapacity);
    });
}

/// <summary>arrakis_shape.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Shape
{
    public int Layers, Heads, KvHeads, HeadDim, HiddenSize, IntermediateSize, VocabSize, Context;

    public static Shape Of(LlamaConfig config) => new()
    {
        Layers = config.NumHiddenLayers,
        Heads = config.NumAttentionHeads,
        KvHeads = config.NumKeyValueHeads,
        HeadDim = config.HeadDim,
        HiddenSize = config.HiddenSize,
        IntermediateSize = config.IntermediateSize,
        VocabSize = config.VocabSize,
        Context = config.MaxPositionEmbeddings,
    };
}

/// <summary>arrakis_flow_request.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FlowRequest
{
    public int Source, Destination, From, Layers, Token, MlpIsSource;

    public readonly FlowOptions Options(AnalysisOptions compute) => new()
    {
        From = From,
        Layers = Layers,
        Target = Token < 0 ? FlowTarget.Residual : FlowTarget.Token(Token),
        Mlp = MlpIsSource != 0 ? MlpTreatment.Source : MlpTreatment.Frozen,
        AllSources = true,
        Paths = 0,
        Edges = 0,
        Compute = compute,
    };
}

/// <summary>arrakis_flow_total.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FlowTotal
{
    public double Total, Sum, Expected;
}
