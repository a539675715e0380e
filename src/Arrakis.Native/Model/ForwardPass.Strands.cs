using Arrakis.Native.Kernels;

namespace Arrakis.Native.Model;

// A chunk of many tokens is cut into as many strands as there are workers, and each worker takes its own through all blocks as if it were alone: what it computes stays in
// its core's caches, and nobody waits for anybody at the end of every product. All that a strand needs of others is the keys and values of the tokens before it.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    // Attention's multiply-adds take about so much longer than a product's, its exponentials included.
    private const double AttentionCost = 1.5;

    // Of the whole pass, made at its first run: its workers' strands, and whether one of them failed.
    private ForwardPass<TKernels>[]? _strands;
    private Action<int>? _runStrand;
    private CancellationToken _cancellation;
    private volatile bool _failed;

    // Of a strand: what it is a strand of, the strand before it, and of how many layers its own keys and values are stored.
    private ForwardPass<TKernels>? _whole;
    private ForwardPass<TKernels>? _before;
    private volatile int _layersStored;

    // Interventions keep state that one worker at a time may use.
    private bool InStrands =>
        team.Size > 1 && _tokens >= team.Size * MatrixProduct<TKernels>.LeastAlone(weights.Layers[0].Gate.Type) && Interventions is null;

    private void MakeStrands()
    {
        _strands = [.. team.Members.Select(member => new ForwardPass<TKernels>(config, weights, rotary, member, workspace, cache))];
        _runStrand = RunStrand;
    }

    private void BlocksInStrands(CancellationToken cancellation)
    {
        (_cancellation, _failed) = (cancellation, false);
        for (int i = 0; i < _strands!.Length; i++)
            _strands[i].BeginStrand(this, i > 0 ? _strands[i - 1] : null, StrandStart(i), StrandStart(i + 1));
        // The caller hears of progress on its own thread; the last strand is the one that may have to wait for keys.
        _strands[0].Progress = Progress;
        _strands[^1].Clock = Clock;
        try
        {
            team.RunMembers(_runStrand!);
        }
        finally
        {
            // A session keeps nothing of its caller's from one pass to the next.
            (_cancellation, _strands[0].Progress, _strands[^1].Clock) = (default, null, null);
        }

        Clock?.Lap(PassStage.Down, config.NumHiddenLayers - 1);
    }

    private void RunStrand(int number)
    {
        ForwardPass<TKernels> strand = _strands![number];
        try
        {
            strand.Blocks(_cancellation);
        }
        catch
        {
            _failed = true;
            throw;
        }
        finally
        {
            // If it failed, who waits for its keys goes on without them, to see that it did.
            strand._layersStored = int.MaxValue;
        }
    }

    private void BeginStrand(ForwardPass<TKernels> whole, ForwardPass<TKernels>? before, int start, int end)
    {
        (_whole, _before, _layersStored) = (whole, before, 0);
        (_chunk, _inChunk) = (whole._chunk, start);
        (_first, _tokens, _position) = (whole._first + start, end - start, whole._position + start);
        (_callTokens, _callKeys, _lastBlock, _rotary, ReadAhead) = (whole._callTokens, whole._callKeys, whole._lastBlock, whole._rotary, whole.ReadAhead);
        _cut = MatrixProduct<TKernels>.CutOf(_tokens, team.Size, weights.Layers[0].Gate.Type);
    }

    /// <summary>The token of the chunk where a strand begins: at whole vectors, and so that every strand takes as long, as later tokens see more keys.</summary>
    private int StrandStart(int strand)
    {
        if (strand == team.Size)
            return _tokens;
        double share = Cost(_tokens) * strand / team.Size;
        int start = 0;
        while (Cost(start + TKernels.Lanes / 2) < share)
            start += TKernels.Lanes;
        return start;
    }

    /// <summary>Multiply-adds of a block for so many first tokens of the chunk.</summary>
    private double Cost(double tokens)
    {
        double token = (double)_d * (2 * _q + 2 * _kv + 3 * _f), key = AttentionCost * 2 * _q;
        return tokens * (token + key * (_position + tokens / 2));
    }

    private void AwaitKeysOfEarlierStrands(int layer)
    {
        _layersStored = layer + 1;
        for (ForwardPass<TKernels>? strand = _before; strand is not null; strand = strand._before)
        {
            SpinWait spin = default;
            while (strand._layersStored <= layer)
            {
                if (!team.Help())
                    spin.SpinOnce(sleep1Threshold: -1);
            }
        }
    }
}
