using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Arrakis.Native.Memory;

/// <summary>
/// One owner's memory: slabs of pinned floats from which aligned runs are taken in order, all given back at once by <see cref="Reset"/>.
/// Slabs are managed arrays on the pinned heap and not native memory on purpose: a span that outlives its session then shows stale numbers,
/// but never memory that is gone. Taking the same runs after a reset gives the same addresses and allocates nothing.
/// </summary>
internal sealed unsafe class Arena
{
    /// <summary>Every run starts on a cache line, which is also the widest vector.</summary>
    public const int AlignmentBytes = 64;

    private const int AlignmentFloats = AlignmentBytes / sizeof(float);

    /// <summary>Floats of slack behind every run: a vector load or a register tile may read (never write) past a run's end.</summary>
    public const int SlackFloats = 64;

    private static readonly long s_maxSlab = Array.MaxLength - AlignmentFloats;

    private readonly List<float[]> _slabs = [];
    private int _slab;
    private long _used;

    /// <summary>Bytes held, used or not.</summary>
    public long CapacityBytes { get; private set; }

    /// <summary>Floats that a run of <paramref name="count"/> takes up, with its slack and alignment.</summary>
    public static long Footprint(long count) => checked(count + SlackFloats + AlignmentFloats - 1) / AlignmentFloats * AlignmentFloats;

    /// <summary>Gives back every run, and makes room for <paramref name="totalFloats"/> (the sum of their footprints), in one slab where it fits.</summary>
    /// <exception cref="ArrakisException">The machine refuses the memory.</exception>
    public void Reset(long totalFloats)
    {
        _slab = 0;
        _used = 0;
        if (_slabs.Count > 0 && CapacityBytes / sizeof(float) >= totalFloats)
            return;
        _slabs.Clear();
        CapacityBytes = 0;
        AddSlab(Math.Min(totalFloats, s_maxSlab));
    }

    /// <summary>The next run of <paramref name="count"/> floats, aligned to a cache line. Its contents are whatever was there.</summary>
    /// <exception cref="ArrakisException">The machine refuses the memory, or a single run is longer than an array may be.</exception>
    public float* Take(long count)
    {
        long footprint = Footprint(count);
        if (footprint > s_maxSlab)
            throw new ArrakisException($"one tensor of {count} numbers is more than the {s_maxSlab} that fit in one array: use fewer tokens");
        while (_slab < _slabs.Count && Room(_slabs[_slab]) < _used + footprint)
        {
            _slab++;
            _used = 0;
        }

        if (_slab == _slabs.Count)
            AddSlab(footprint);
        float* run = Start(_slabs[_slab]) + _used;
        _used += footprint;
        return run;
    }

    /// <summary>A run that this arena handed out, as memory that keeps its slab alive.</summary>
    public ReadOnlyMemory<float> AsMemory(float* run, long count)
    {
        foreach (float[] slab in _slabs)
        {
            long offset = run - (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(slab));
            if (offset >= 0 && offset + count <= slab.Length)
                return slab.AsMemory((int)offset, (int)count);
        }

        throw new ArgumentException("the run is not of this arena", nameof(run));
    }

    /// <summary>Lets go of every slab. What is returned keeps them, and with them every run, alive.</summary>
    public float[][] Detach()
    {
        float[][] slabs = [.. _slabs];
        _slabs.Clear();
        CapacityBytes = 0;
        return slabs;
    }

    /// <summary>Takes back what <see cref="Detach"/> let go of, instead of what is held now.</summary>
    public void Attach(float[][] slabs)
    {
        _slabs.Clear();
        _slabs.AddRange(slabs);
        CapacityBytes = sizeof(float) * slabs.Sum(slab => Room(slab));
    }

    private static float* Start(float[] slab)
    {
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(slab));
        return (float*)((address + AlignmentBytes - 1) & ~(nint)(AlignmentBytes - 1));
    }

    private static long Room(float[] slab) => slab.LongLength - AlignmentFloats;

    private void AddSlab(long floats)
    {
        try
        {
            _slabs.Add(GC.AllocateUninitializedArray<float>(checked((int)(floats + AlignmentFloats)), pinned: true));
        }
        catch (OutOfMemoryException e)
        {
            throw new ArrakisException($"the machine has no {floats * sizeof(float)} bytes left for this run: record less, or use fewer tokens", e);
        }

        CapacityBytes += floats * sizeof(float);
    }
}
