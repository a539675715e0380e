namespace Arrakis.Native.Memory;

/// <summary>One run of floats for each worker of a team.</summary>
internal readonly unsafe struct WorkerScratch(float* start, nint stride)
{
    private readonly float* _start = start;
    private readonly nint _stride = stride;

    /// <summary>The worker's own run.</summary>
    public float* Of(int worker) => _start + worker * _stride;
}
