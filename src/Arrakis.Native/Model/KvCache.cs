using Arrakis.Native.Memory;

namespace Arrakis.Native.Model;

/// <summary>
/// Rotated keys and values of a sequence: for every layer and kv head a matrix [positions, padded head dim]. Rows are padded with zeros to whole vectors,
/// and there are a few more rows than positions, because a register tile reads (never writes) whole tiles.
/// </summary>
internal sealed unsafe class KvCache(LlamaConfig config, Arena arena)
{
    /// <summary>More rows than any tier's tile has.</summary>
    public const int SpareRows = 8;

    // The widest vector.
    private const int Lanes = 16;

    private readonly nint[] _keys = new nint[config.NumHiddenLayers];
    private readonly nint[] _values = new nint[config.NumHiddenLayers];

    /// <summary>Positions that fit.</summary>
    public int Capacity { get; private set; }

    /// <summary>Floats from one position to the next: K rounded up to whole vectors.</summary>
    public int RowStride { get; } = (config.HeadDim + Lanes - 1) / Lanes * Lanes;

    /// <summary>Floats from one kv head to the next.</summary>
    public nint HeadStride => (nint)(Capacity + SpareRows) * RowStride;

    /// <summary>The keys of a layer's first kv head.</summary>
    public float* Keys(int layer) => (float*)_keys[layer];

    /// <summary>The values of a layer's first kv head.</summary>
    public float* Values(int layer) => (float*)_values[layer];

    /// <summary>Makes room for <paramref name="positions"/>, keeping the first <paramref name="kept"/>.</summary>
    public void Reserve(int positions, int kept)
    {
        if (positions <= Capacity)
            return;
        nint[] oldKeys = [.. _keys], oldValues = [.. _values];
        nint oldStride = HeadStride;
        // Doubling keeps the copying of a long generation linear; the model's own limit is enough in any case.
        int capacity = Math.Max(positions, Math.Min(Capacity * 2, config.MaxPositionEmbeddings));
        // The old memory stays reachable while it is copied: the arena drops its slabs, the pinned arrays live on in this reference.
        object? old = kept > 0 ? arena.Detach() : null;
        Capacity = capacity;
        long perLayer = HeadStride * config.NumKeyValueHeads;
        arena.Reset(2 * config.NumHiddenLayers * Arena.Footprint(perLayer));
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            _keys[layer] = (nint)arena.Take(perLayer);
            _values[layer] = (nint)arena.Take(perLayer);
            for (int g = 0; g < config.NumKeyValueHeads && kept > 0; g++)
            {
                Copy((float*)oldKeys[layer] + g * oldStride, Keys(layer) + g * HeadStride, kept);
                Copy((float*)oldValues[layer] + g * oldStride, Values(layer) + g * HeadStride, kept);
            }
        }

        GC.KeepAlive(old);
    }

    private void Copy(float* source, float* destination, int rows)
    {
        long bytes = (long)rows * RowStride * sizeof(float);
        Buffer.MemoryCopy(source, destination, bytes, bytes);
    }
}
