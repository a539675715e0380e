using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arrakis.Native;
using Arrakis.Native.Memory;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>
/// What the machine can do at most: fused multiply-adds of registers on registers, nothing loaded and nothing stored. Enough independent sums that neither
/// the latency (4 cycles on two pipes: 8 sums) nor the loop's own instructions are felt: 16 for AVX-512, 12 where there are 16 registers.
/// The loops were read with <c>DOTNET_JitDisasm='Avx512 Avx2 OfVector'</c>: vfmadd231ps of registers,
/// one decrement and one branch.
/// </summary>
internal static class FmaPeak
{
    // About 50 microseconds of work an item, so that a thread that wakes late delays the end by no more.
    private const int StepsPerItem = 24_000, ItemsPerThread = 40;

    private static float s_sink;

    /// <summary>GFLOP/s of all threads of a team together, with the instructions of a tier; the scalar tier is measured against <see cref="Vector{T}"/>.</summary>
    public static double Measure(KernelTier tier, WorkerTeam team)
    {
        Wake(tier, team);
        return Flops(tier, team.Size) / Clock.Seconds(() => Run(tier, team)) / 1e9;
    }

    /// <summary>Wakes threads that slept: a virtual machine takes a good part of a millisecond for it, and a yardstick takes two.</summary>
    public static void Wake(KernelTier tier, WorkerTeam team)
    {
        if (team.Size > 1)
            Run(tier, team);
    }

    /// <summary>A few milliseconds of multiply-adds.</summary>
    public static void Run(KernelTier tier, WorkerTeam team) => team.Run(new Job(tier), team.Size * ItemsPerThread);

    /// <summary>Floating-point operations of <see cref="Run"/>.</summary>
    public static double Flops(KernelTier tier, int threads) => (double)threads * ItemsPerThread * StepsPerItem * FlopsPerStep(tier);

    private static int FlopsPerStep(KernelTier tier) => tier switch
    {
        KernelTier.Avx512 => 2 * 16 * Vector512<float>.Count,
        KernelTier.Avx2 => 2 * 12 * Vector256<float>.Count,
        _ => 2 * 12 * Vector<float>.Count,
    };

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Avx512(int steps, Vector512<float> a, Vector512<float> b)
    {
        Vector512<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a, c12 = a, c13 = a, c14 = a, c15 = a;
        for (int i = 0; i < steps; i++)
        {
            c0 = Avx512F.FusedMultiplyAdd(a, b, c0);
            c1 = Avx512F.FusedMultiplyAdd(a, b, c1);
            c2 = Avx512F.FusedMultiplyAdd(a, b, c2);
            c3 = Avx512F.FusedMultiplyAdd(a, b, c3);
            c4 = Avx512F.FusedMultiplyAdd(a, b, c4);
            c5 = Avx512F.FusedMultiplyAdd(a, b, c5);
            c6 = Avx512F.FusedMultiplyAdd(a, b, c6);
            c7 = Avx512F.FusedMultiplyAdd(a, b, c7);
            c8 = Avx512F.FusedMultiplyAdd(a, b, c8);
            c9 = Avx512F.FusedMultiplyAdd(a, b, c9);
            c10 = Avx512F.FusedMultiplyAdd(a, b, c10);
            c11 = Avx512F.FusedMultiplyAdd(a, b, c11);
            c12 = Avx512F.FusedMultiplyAdd(a, b, c12);
            c13 = Avx512F.FusedMultiplyAdd(a, b, c13);
            c14 = Avx512F.FusedMultiplyAdd(a, b, c14);
            c15 = Avx512F.FusedMultiplyAdd(a, b, c15);
        }

        return Vector512.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11 + c12 + c13 + c14 + c15);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Avx2(int steps, Vector256<float> a, Vector256<float> b)
    {
        Vector256<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a;
        for (int i = 0; i < steps; i++)
        {
            c0 = Fma.MultiplyAdd(a, b, c0);
            c1 = Fma.MultiplyAdd(a, b, c1);
            c2 = Fma.MultiplyAdd(a, b, c2);
            c3 = Fma.MultiplyAdd(a, b, c3);
            c4 = Fma.MultiplyAdd(a, b, c4);
            c5 = Fma.MultiplyAdd(a, b, c5);
            c6 = Fma.MultiplyAdd(a, b, c6);
            c7 = Fma.MultiplyAdd(a, b, c7);
            c8 = Fma.MultiplyAdd(a, b, c8);
            c9 = Fma.MultiplyAdd(a, b, c9);
            c10 = Fma.MultiplyAdd(a, b, c10);
            c11 = Fma.MultiplyAdd(a, b, c11);
        }

        return Vector256.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float OfVector(int steps, Vector<float> a, Vector<float> b)
    {
        Vector<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a;
        for (int i = 0; i < steps; i++)
        {
            c0 = Vector.FusedMultiplyAdd(a, b, c0);
            c1 = Vector.FusedMultiplyAdd(a, b, c1);
            c2 = Vector.FusedMultiplyAdd(a, b, c2);
            c3 = Vector.FusedMultiplyAdd(a, b, c3);
            c4 = Vector.FusedMultiplyAdd(a, b, c4);
            c5 = Vector.FusedMultiplyAdd(a, b, c5);
            c6 = Vector.FusedMultiplyAdd(a, b, c6);
            c7 = Vector.FusedMultiplyAdd(a, b, c7);
            c8 = Vector.FusedMultiplyAdd(a, b, c8);
            c9 = Vector.FusedMultiplyAdd(a, b, c9);
            c10 = Vector.FusedMultiplyAdd(a, b, c10);
            c11 = Vector.FusedMultiplyAdd(a, b, c11);
        }

        return Vector.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11);
    }

    private readonly struct Job(KernelTier tier) : IJob<Job>
    {
        private readonly KernelTier _tier = tier;

        // Factors whose products are small beside the sums: no number grows out of range, and none becomes denormal.
        public static void Run(in Job job, int item, int worker) => s_sink = job._tier switch
        {
            KernelTier.Avx512 => Avx512(StepsPerItem, Vector512.Create(0.75f), Vector512.Create(1e-3f)),
            KernelTier.Avx2 => Avx2(StepsPerItem, Vector256.Create(0.75f), Vector256.Create(1e-3f)),
            _ => OfVector(StepsPerItem, new Vector<float>(0.75f), new Vector<float>(1e-3f)),
        };
    }
}
