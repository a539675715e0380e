using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Memory;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>What may be used from several threads may be; what may not, says so; and what was disposed says that.</summary>
public sealed class SharingTests
{
    private static readonly LlamaConfig s_config = new()
    {
        HiddenSize = 256, IntermediateSize = 512, NumHiddenLayers = 6, NumAttentionHeads = 4, NumKeyValueHeads = 2, HeadDim = 64, VocabSize = 50, MaxPositionEmbeddings = 400,
    };

    private static readonly int[] s_ids = [.. Enumerable.Range(0, 256).Select(i => i * 7 % 50)];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_session_used_twice_at_once_refuses_the_second_and_finishes_the_first(int threads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(null, Engine.Options(threads: threads));
        float[] expected = session.Forward(s_ids).ToArray();
        // From within the pass, so that it is under way whatever the machine does: a second thread tries all that it could.
        List<string> refused = [];
        session.Progress = new Told(_ =>
        {
            var second = new Thread(() => refused.AddRange(
                from call in new Action[] { () => session.Forward([1]), () => session.Append([1]), () => session.Interventions = InterventionPlan.None, session.Dispose }
                select Record.Exception(call)?.Message ?? "not refused"));
            second.Start();
            second.Join();
        });
        Assert.Equal(expected, session.Forward(s_ids).ToArray());
        session.Progress = null;
        Assert.Equal(4 * (s_config.NumHiddenLayers + 1), refused.Count);
        Assert.All(refused, message => Assert.Equal("the session is in use by another thread: give each thread its own session of the model", message));
        Assert.Equal(expected, session.Forward(s_ids).ToArray());
    }

    [Fact]
    public void A_recording_is_read_by_many_threads_at_once()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward(s_ids.AsSpan(0, 20));
        Dictionary<string, float[]> expected = Engine.Values(session.Cache);
        // attn.hook_result is not recorded: it is computed from z, by whoever asks first.
        float[] result = session.Cache.Flat(HookPoint.Result, 3).ToArray();
        Parallel.For(0, 8, i =>
        {
            Engine.SameBits(expected, Engine.Values(session.Cache), $"thread {i}");
            Assert.Equal(result, session.Cache.Flat(HookPoint.Result, 3).ToArray());
        });
    }

    [Fact]
    public void What_was_disposed_says_so()
    {
        LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 1);
        LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward([1, 2]);
        ActivationCache cache = session.Cache;
        session.Dispose();
        session.Dispose();
        Assert.Throws<ObjectDisposedException>(() => session.Forward([1]).Length);
        Assert.Throws<ObjectDisposedException>(() => session.Append([1]).Length);
        Assert.Throws<ObjectDisposedException>(() => session.Logits.Length);
        Assert.Throws<ObjectDisposedException>(() => cache.Flat(HookPoint.Z).Length);
        Assert.Throws<ObjectDisposedException>(() => cache.Save("nowhere"));
        model.Dispose();
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.CreateSession());
    }

    [Fact]
    public void A_span_that_is_kept_shows_other_numbers_after_the_next_pass()
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward([1, 2, 3]);
        ReadOnlySpan<float> kept = session.Cache.Flat(HookPoint.ResidPre, 1);
        float[] before = kept.ToArray();
        session.Forward([4, 5, 6]);
        Assert.False(kept.SequenceEqual(before));
    }

    [Fact]
    public void A_span_that_is_kept_past_its_model_never_shows_memory_that_is_gone()
    {
        WeakReference memory = IsReadAfterItsModel();
        // The other half of the proof: with the span gone the memory goes too, so that nothing but the span was what held it.
        Collect();
        Assert.False(memory.IsAlive);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference IsReadAfterItsModel()
    {
        ReadOnlySpan<float> kept = Kept(out float[] before, out WeakReference memory);
        Collect();
        // Another model's session takes memory of the same sizes: were this let go, it could be given out again.
        using LlamaModel other = LlamaModel.CreateRandom(ModelFiles.Small, 2);
        using LlamaSession next = other.CreateSession(RecordingPlan.Heads, Engine.Options());
        next.Forward([7, 8, 9]);
        Collect();
        Assert.True(memory.IsAlive);
        Assert.Equal(before, kept.ToArray());
        return memory;
    }

    // By itself, so that nobody's stack holds the session or the model any more.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ReadOnlySpan<float> Kept(out float[] values, out WeakReference memory)
    {
        using LlamaModel model = LlamaModel.CreateRandom(ModelFiles.Small, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward([1, 2, 3]);
        Assert.True(MemoryMarshal.TryGetArray(session.Cache.Values(HookPoint.ResidPre, 1), out ArraySegment<float> slab));
        memory = new WeakReference(slab.Array);
        ReadOnlySpan<float> kept = session.Cache.Flat(HookPoint.ResidPre, 1);
        values = kept.ToArray();
        return kept;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Progress_is_told_on_the_callers_thread_after_every_block_and_ends_at_1(int threads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config with { MaxPositionEmbeddings = 600 }, 1);
        using LlamaSession session = model.CreateSession(null, Engine.Options(threads: threads));
        var told = new List<(int Thread, double Part)>();
        session.Progress = new Told(part => told.Add((Environment.CurrentManagedThreadId, part)));
        session.Forward([.. s_ids, .. s_ids, .. s_ids.AsSpan(0, 88)]);
        // Two chunks of 300 tokens through six blocks, and what comes after them.
        double[] expected = [.. Enumerable.Range(1, 14).Select(step => step / 14.0)];
        Assert.Equal(1, told[^1].Part);
        Assert.Equal(expected, told.Select(t => t.Part), (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.All(told, t => Assert.Equal(Environment.CurrentManagedThreadId, t.Thread));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_pass_cancelled_in_any_layer_leaves_the_sequence_where_it_was_and_the_arenas_in_the_pool(int threads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        HashSet<Arena> pooled = Pooled(model, returned: true);
        float[] expected, continued;
        using (LlamaSession calm = model.CreateSession(null, Engine.Options()))
        {
            expected = calm.Forward(s_ids).ToArray();
            continued = calm.Append([3]).ToArray();
        }

        using (LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options(threads: threads)))
        {
            for (int layer = 0; layer < s_config.NumHiddenLayers - 1; layer++)
            {
                Assert.True(CancelIn(session, layer), $"no pass was cancelled in layer {layer}");
                Assert.Equal(0, session.Position);
                Assert.Equal(expected, session.Forward(s_ids).ToArray());
                Assert.Throws<OperationCanceledException>(() => session.Append([9], new CancellationToken(canceled: true)).Length);
                Assert.Equal(s_ids.Length, session.Position);
                Assert.Equal(continued, session.Append([3]).ToArray());
            }
        }

        Assert.Equal(pooled, Pooled(model, returned: false));
    }

    // The caller's strand fails in any layer, with others before and behind it.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void What_progress_throws_comes_out_as_itself_and_the_session_goes_on(int threads)
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1);
        using LlamaSession session = model.CreateSession(null, Engine.Options(threads: threads));
        float[] expected = session.Forward(s_ids).ToArray();
        for (int layer = 0; layer < s_config.NumHiddenLayers; layer++)
        {
            int left = layer;
            session.Progress = new Told(_ =>
            {
                if (left-- == 0)
                    throw new TimeoutException();
            });
            Assert.Throws<TimeoutException>(() => session.Forward(s_ids).Length);
            session.Progress = null;
            Assert.Equal(expected, session.Forward(s_ids).ToArray());
        }
    }

    // Progress is told after every block; what is cancelled there is seen before the next.
    private static bool CancelIn(LlamaSession session, int layer)
    {
        using var source = new CancellationTokenSource();
        int blocks = 0;
        session.Progress = new Told(_ =>
        {
            if (blocks++ == layer)
                source.Cancel();
        });
        try
        {
            session.Forward(s_ids, source.Token);
            return false;
        }
        catch (OperationCanceledException)
        {
            return blocks == layer + 1;
        }
        finally
        {
            session.Progress = null;
        }
    }

    private sealed class Told(Action<double> told) : IProgress<double>
    {
        public void Report(double value) => told(value);
    }

    private static HashSet<Arena> Pooled(LlamaModel model, bool returned)
    {
        HashSet<Arena> arenas = [model.Arenas.Get(), model.Arenas.Get()];
        foreach (Arena arena in returned ? arenas : [])
            model.Arenas.Return(arena);
        return arenas;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }
}
