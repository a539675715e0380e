using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Arrakis.Native.Kernels;

/// <summary>
/// Bringing into cache what a product with one vector comes to some rows later: four bytes a number or one, a core waits for memory, and the hardware alone runs too
/// short ahead of it.
/// </summary>
internal static unsafe class Streaming
{
    /// <summary>
    /// Distances in bytes: a core reads 3 KB while memory answers once, and more than that must be on its way. Of 2 to 16 KB these were the fastest in turns on a Zen 5: float32 a tenth
    /// faster with one page than with two, half precision a fifth faster with two. On an Emerald Rapids no two of them differ beyond the noise.
    /// </summary>
    public const int OnePage = 4096, TwoPages = 8192;

    /// <summary>Bytes that are fetched at once.</summary>
    public const int Line = 64;

    /// <summary>Fetches the cache lines of a run of <paramref name="bytes"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fetch<THint>(byte* at, int bytes) where THint : struct, IHint
    {
        for (int line = 0; line < bytes; line += Line)
            THint.Prefetch(at + line);
    }

    /// <summary>Where to. A type, so that a loop holds one instruction and no question.</summary>
    public interface IHint
    {
        static abstract void Prefetch(byte* line);
    }

    /// <summary>Into L1 and past L2, which weights that are read once a token had better leave alone on AMD's cores: float32 a tenth more tokens than by way of it.</summary>
    public readonly struct PastL2 : IHint
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Prefetch(byte* line) => Sse.PrefetchNonTemporal(line);
    }

    /// <summary>Into L2, which is soon enough for what a tile reads later.</summary>
    public readonly struct IntoL2 : IHint
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Prefetch(byte* line) => Sse.Prefetch1(line);
    }

    /// <summary>
    /// Into every cache, on all others: Intel's leave a line that is fetched past L2 in L1 alone. A small model then came from memory for every token (1.4 times the
    /// time), and of a large one no more was on its way than L1 itself waits for (2.5 times).
    /// </summary>
    public readonly struct IntoAll : IHint
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Prefetch(byte* line) => Sse.Prefetch0(line);
    }
}
