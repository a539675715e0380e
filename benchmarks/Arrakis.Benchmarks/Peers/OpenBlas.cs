using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Arrakis.Benchmarks.Peers;

/// <summary>
/// OpenBLAS by P/Invoke, where the machine has it (Debian: <c>apt-get install libopenblas0-pthread</c>); it is no dependency of anything. Left to
/// itself, one that is older than the processor takes it for one without AVX-512 (0.3.21 takes an Emerald Rapids for a Prescott), so there it is told to take it for a Skylake-X.
/// </summary>
internal static unsafe partial class OpenBlas
{
    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    private static readonly nint s_library;
    private static readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> s_sgemm;
    private static readonly delegate* unmanaged<int, void> s_setThreads;

    static OpenBlas()
    {
        // The library reads its environment when it is loaded, and the runtime's own copy of it is not the one that it reads.
        string? core = Vector512.IsHardwareAccelerated ? "SKYLAKEX" : null;
        if (!OperatingSystem.IsWindows())
        {
            _ = core is null ? UnsetEnvironment("OPENBLAS_CORETYPE") : SetEnvironment("OPENBLAS_CORETYPE", core, 1);
            _ = UnsetEnvironment("OPENBLAS_L2_SIZE");
        }

        if (!NativeLibrary.TryLoad("libopenblas.so.0", out s_library) && !NativeLibrary.TryLoad("openblas", out s_library))
        {
            Description = "not on this machine (Debian: libopenblas0-pthread)";
            return;
        }

        s_sgemm = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)NativeLibrary.GetExport(s_library, "cblas_sgemm");
        s_setThreads = (delegate* unmanaged<int, void>)NativeLibrary.GetExport(s_library, "openblas_set_num_threads");
        string configuration = Text("openblas_get_config"), taken = Text("openblas_get_corename");
        Description = $"{configuration.Split(' ')[1]}, core type {taken}"
            + (core is null ? "" : " (as it was told: left to itself, one that does not know the processor leaves AVX-512 unused)");
    }

    /// <summary>Whether the library is there.</summary>
    public static bool IsThere => s_library != 0;

    /// <summary>Its version and the core that it takes this one for; or that it is not there.</summary>
    public static string Description { get; }

    /// <summary>Ends a benchmark of it on a machine that does not have it, and no other.</summary>
    public static void Require()
    {
        if (!IsThere)
            throw new PlatformNotSupportedException($"OpenBLAS is {Description}");
    }

    /// <summary>y [tokens, outputs] = x [tokens, inputs] · wᵀ with w [outputs, inputs].</summary>
    public static void Multiply(int threads, float* x, float* w, float* y, int tokens, int inputs, int outputs)
    {
        s_setThreads(threads);
        s_sgemm(RowMajor, NoTranspose, Transpose, tokens, outputs, inputs, 1, x, inputs, w, inputs, 0, y, outputs);
    }

    /// <summary>Waits until its workers have gone to sleep: after a product they spin for 2^26 ticks of the time stamp counter, some 30 milliseconds.</summary>
    public static void LetWorkersSleep() => Thread.Sleep(50);

    private static string Text(string function) =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(s_library, function))())?.Trim() ?? "unknown";

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "unsetenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnsetEnvironment(string name);
}
