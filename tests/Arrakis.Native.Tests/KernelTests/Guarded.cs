using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>
/// Floats that begin one float past a 64-byte boundary, so that no vector of them is aligned, between guards: NaNs of a rare pattern, so that a guard
/// that is read as a term shows in the result, and one that is written shows here.
/// </summary>
internal sealed unsafe class Guarded
{
    private const int Guard = 65;
    private const uint Pattern = 0x7FC0_DEAD;

    // Pinned memory must be reachable as well, and its owner is not once only a pointer into it is in use. No check uses more than eight at a time.
    [ThreadStatic]
    private static Queue<Array>? s_recent;

    private readonly uint[] _memory;
    private readonly float* _start;

    public Guarded(int length)
    {
        _memory = Keep(GC.AllocateUninitializedArray<uint>(length + 2 * Guard + 16, pinned: true));
        _memory.AsSpan().Fill(Pattern);
        nint first = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_memory));
        // 64 floats of guard from the next 64-byte boundary, and the one that makes it odd.
        _start = (float*)(((first + 63) & ~63) + Guard * sizeof(float));
        Length = length;
    }

    public int Length { get; }

    public float* Pointer => _start;

    public Span<float> Values => new(_start, Length);

    public static implicit operator float*(Guarded buffer) => buffer._start;

    /// <summary>Keeps pinned memory until 15 more were kept.</summary>
    public static TElement[] Keep<TElement>(TElement[] memory)
    {
        Queue<Array> recent = s_recent ??= new();
        recent.Enqueue(memory);
        if (recent.Count > 16)
            recent.Dequeue();
        return memory;
    }

    /// <summary>Puts the guard's pattern everywhere.</summary>
    public Guarded Clear()
    {
        _memory.AsSpan().Fill(Pattern);
        return this;
    }

    /// <summary>The numbers given at the start, the guard everywhere else.</summary>
    public Guarded Set(ReadOnlySpan<float> values)
    {
        Clear();
        values.CopyTo(Values);
        return this;
    }

    /// <summary>Whether element i is still the guard.</summary>
    public bool IsUntouched(int i) => BitConverter.SingleToUInt32Bits(_start[i]) == Pattern;

    /// <summary>Nothing before the start, and nothing from <paramref name="length"/> on, was written.</summary>
    public void OnlyFirst(int length, string what)
    {
        var before = new ReadOnlySpan<uint>((uint*)_start - 64, 64);
        var after = new ReadOnlySpan<uint>((uint*)_start + length, Length - length + 64 - 16);
        if (before.ContainsAnyExcept(Pattern))
            Assert.Fail($"{what}: written before the start");
        if (after.ContainsAnyExcept(Pattern))
            Assert.Fail($"{what}: written {after.IndexOfAnyExcept(Pattern)} past the end");
    }
}
