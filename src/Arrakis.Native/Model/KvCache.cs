using Arrakis.Native.Memory;

namespace Arrakis.Native.Model;

/// <summary>
/// Rotated keys and values of a sequence: for every layer and kv head a matrix [positions, padded head dim]. Rows are padded with zeros to whole vectors,
/// and there are a few more rows than positions, because a register tile reads (never writes) whole tiles.
/// </summary>
internal sealed unsafe class KvCache(LlamaConfig config, Arena arena)
{
    /// <summary>At least as many rows as a tile of any tier may overhang: one less than it has.</summary>
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
    /// <exception cref="ArrakisException">The machine refuses the memory; what was to be kept still is.</exception>
    public void Reserve(int positions, int kept)
    {
        if (positions <= Capacity)
            return;
        // Doubling keeps the copying of a long generation linear; the model's own limit is enough in any case.
        int capacity = Math.Max(positions, (int)Math.Min(Capacity * 2L, config.MaxPositionEmbeddings));
        // The old memory stays reachable while it is copied: the arena drops its slabs, the pinned arrays live on in this reference.
        float[][]? old = kept > 0 ? arena.Detach() : null;
        if (old is null)
            Capacity = 0;
        nint[] keys = new nint[_keys.Length], values = new nint[_values.Length];
        nint headStride = (nint)(capacity + SpareRows) * RowStride;
        try
        {
            Take(headStride * config.NumKeyValueHeads, keys, values);
        }
        catch when (old is not null)
        {
            arena.Attach(old);
            throw;
        }

        for (int layer = 0; layer < config.NumHiddenLayers && kept > 0; layer++)
        {
            for (int g = 0; g < config.NumKeyValueHeads; g++)
            {
                Copy(Keys(layer) + g * HeadStride, (float*)keys[layer] + g * headStride, kept);
                Copy(Values(layer) + g * HeadStride, (float*)values[layer] + g * headStride, kept);
            }
        }

        GC.KeepAlive(old);
        keys.CopyTo(_keys, 0);
        values.CopyTo(_values, 0);
        Capacity = capacity;
    }

    private void Take(long perLayer, nint[] keys, nint[] values)
    {
        arena.Reset(2 * config.NumHiddenLayers * Arena.Footprint(perLayer));
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            keys[layer] = (nint)arena.Take(perLayer);
            values[layer] = (nint)arena.Take(perLayer);
        }
    }

    private void Copy(float* source, float* destination, int rows)
    {
        long bytes = (long)rows * RowStride * sizeof(float);
        Buffer.MemoryCopy(source, destination, bytes, bytes);
    }
}
