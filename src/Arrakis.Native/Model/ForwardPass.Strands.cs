using Arrakis.Native.Kernels;

namespace Arrakis.Native.Model;

// A chunk of many tokens is cut into as many strands as there are workers, and each worker takes its own through all blocks as if it were alone: what it computes stays in
// its core's caches, and nobody waits for anybody at the end of every product. All that a strand needs of others is the keys and values of the tokens before it.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    // Attention's multiply-adds take about so much longer than a product's, its exponentials included.
    private const double AttentionCost = 1.5;

    private ForwardPass<TKernels>[]? _strands;
    private Action<int>? _runStrand;
    private CancellationToken _cancellation;

    // Of a strand: the strand before it, and of how many layers its own keys and values are stored.
    private ForwardPass<TKernels>? _before;
    private volatile int _layersStored;

    // Interventions keep state that one worker at a time may use.
    private bool InStrands =>
        team.Size > 1 && _tokens >= team.Size * MatrixProduct<TKernels>.LeastAlone(weights.Layers[0].Gate.Type) && Interventions is null;

    private void BlocksInStrands(CancellationToken cancellation)
    {
        _strands ??= [.. team.Members.Select(member => new ForwardPass<TKernels>(config, weights, rotary, member, workspace, cache))];
        _runStrand ??= RunStrand;
        _cancellation = cancellation;
        for (int strand = 0; strand < _strands.Length; strand++)
            _strands[strand].BeginStrand(this, strand > 0 ? _strands[strand - 1] : null, StrandStart(strand), StrandStart(strand + 1));
        // The caller hears of progress on its own thread; the last strand is the one that may have to wait for keys.
        _strands[0].Progress = Progress;
        _strands[^1].Clock = Clock;
        team.RunMembers(_runStrand);
    }

    private void RunStrand(int strand)
    {
        try
        {
            _strands![strand].Blocks(_cancellation);
        }
        finally
        {
            // If it failed, who waits for its keys goes on without them: nobody will see what comes of it.
            _strands![strand]._layersStored = int.MaxValue;
        }
    }

    private void BeginStrand(ForwardPass<TKernels> whole, ForwardPass<TKernels>? before, int start, int end)
    {
        (_before, _layersStored) = (before, 0);
        (_chunk, _inChunk) = (whole._chunk, start);
        (_first, _tokens, _position) = (whole._first + start, end - start, whole._position + start);
        (_callTokens, _callKeys, _rotary, ReadAhead) = (whole._callTokens, whole._callKeys, whole._rotary, whole.ReadAhead);
        _cut = MatrixProduct<TKernels>.CutOf(_tokens, team.Size);
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
