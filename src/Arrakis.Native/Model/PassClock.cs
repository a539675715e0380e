using System.Diagnostics;

namespace Arrakis.Native.Model;

/// <summary>The parts of a forward pass that are timed by themselves, in the order of the pass; all but the first and the last are in every layer.</summary>
internal enum PassStage
{
    Embed,
    AttentionNorm,
    QueryKeyValue,
    Rotate,
    Attend,
    Output,
    MlpNorm,
    GateUp,
    Down,
    Unembed,
}

/// <summary>
/// Times the stages of a pass: everything since the last lap belongs to the stage that a lap names. A pass without a clock pays a test for null a stage. Where every
/// worker takes a strand of the tokens through the blocks, the stages are those of the last strand, and what it waits for at the end is in the last block's. What the last token
/// goes through alone is in the last block's too.
/// </summary>
internal sealed class PassClock(int layers)
{
    private const int PerLayer = PassStage.Unembed - PassStage.AttentionNorm;

    private readonly long[] _ticks = new long[layers * PerLayer + 2];
    private long _last;

    /// <summary>What the last pass spent, in ticks of <see cref="Stopwatch"/>, by <see cref="Index"/>.</summary>
    public ReadOnlySpan<long> Ticks => _ticks;

    /// <summary>Where a stage stands; the layer is ignored where it has none.</summary>
    public int Index(int layer, PassStage stage) => stage switch
    {
        PassStage.Embed => 0,
        PassStage.Unembed => _ticks.Length - 1,
        _ => layer * PerLayer + (int)stage,
    };

    /// <summary>Begins a pass.</summary>
    public void Start()
    {
        Array.Clear(_ticks);
        _last = Stopwatch.GetTimestamp();
    }

    /// <summary>Ends a stage; of a pass in chunks, that of a chunk.</summary>
    public void Lap(PassStage stage, int layer = 0)
    {
        long now = Stopwatch.GetTimestamp();
        _ticks[Index(layer, stage)] += now - _last;
        _last = now;
    }
}
