using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>Results do not depend on the threads, on where the cache comes from, or on what else was recorded; on the kernels and the stored type only by rounding.</summary>
public sealed class SameResultsTests
{
    // Two ways to the same float32 numbers, each within 1e-6 of the exact ones (see FlowPropertyTests and HeadReadsTests).
    private const double Tolerance = 1e-5;

    // Slices of W_O begin inside blocks of 32 (at 24 and 48), and a kv head serves two heads.
    private static readonly LlamaConfig s_blocks = new()
    {
        HiddenSize = 64,
        IntermediateSize = 96,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        HeadDim = 24,
        VocabSize = 40,
    };

    public static TheoryData<KernelTier, ElementType> TiersByType => Engine.TiersByType;

    [Fact]
    public void Threads_change_no_bit() => FlowCases.Random(67).Sample(question =>
    {
        Dictionary<string, double[]>? first = null;
        for (int threads = 1; threads <= 3; threads++)
        {
            // A model of its own each: what is kept of a model between measures would be the first's else.
            using Analysed run = Analysed.Of(question.Input);
            Dictionary<string, double[]> results = Results(question, run.Model, run.Cache, new AnalysisOptions { Threads = threads });
            Assert.Equal(first ??= results, results);
        }
    }, iter: 25);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Every_tier_equals_the_reference(KernelTier tier) => Gen.Select(FlowCases.Random(11), Gen.Int[0, int.MaxValue]).Sample((question, seed) =>
    {
        var options = new AnalysisOptions { Kernels = tier, Threads = 1 };
        using Analysed run = Analysed.Of(question.Input);
        EqualTheReference(question with { Compute = options }, run, seed, options);
    }, iter: 25);

    /// <summary>Products of rows and of columns of every stored type, behind every measure.</summary>
    [Theory]
    [MemberData(nameof(TiersByType))]
    public void Every_stored_type_is_analysed_as_what_it_says(KernelTier tier, ElementType type)
    {
        var options = new AnalysisOptions { Kernels = tier, Threads = 1 };
        var input = new RandomInput(s_blocks, [.. Enumerable.Range(0, 9).Select(t => t * 11 % 40)], 5);
        using Analysed run = Analysed.Of(input, type: type);
        foreach (MlpTreatment mlp in Enum.GetValues<MlpTreatment>())
            EqualTheReference(new FlowCase(input, 0, 2, 3, 8, mlp, FlowTarget.Token(7)) { Compute = options }, run, (int)mlp, options);
        HeadReadsTests.SameWrite(run, 1, options);
        HeadReadsTests.SameWrite(run, 2, options);
    }

    [Fact]
    public void What_else_was_recorded_changes_nothing() => FlowCases.Random(23).Sample(question =>
    {
        using Analysed minimal = Analysed.Of(question.Input), all = Analysed.Of(question.Input, RecordingPlan.All);
        var options = new AnalysisOptions { Threads = 1 };
        Dictionary<string, double[]> expected = Results(question, minimal.Model, minimal.Cache, options);
        foreach ((string name, double[] actual) in Results(question, all.Model, all.Cache, options))
        {
            // mlp_out, attn_out and the last residual are recomputed where they are not recorded: relative to the largest of the measure, or to the unit of a share.
            double scale = Math.Max(1, expected[name].Append(0).Max(Math.Abs));
            Assert.Equal(expected[name].Length, actual.Length);
            for (int i = 0; i < actual.Length; i++)
                Close.To(expected[name][i], actual[i], Tolerance, $"{name} {i}", scale);
        }
    }, iter: 40);

    [Fact]
    public void A_cache_from_a_file_gives_the_same_bits() => FlowCases.Random(23).Sample(question =>
    {
        using Analysed run = Analysed.Of(question.Input);
        using var folder = new TemporaryFolder();
        run.Cache.Save(folder.File("cache.safetensors"));
        var options = new AnalysisOptions { Threads = 1 };
        Assert.Equal(
            Results(question, run.Model, run.Cache, options),
            Results(question, run.Model, run.Model.LoadCache(folder.File("cache.safetensors")), options));
    }, iter: 25);

    /// <summary>'heads' is enough where no MLP is passed and its outputs are not asked for, to the last layer too where the target is a logit.</summary>
    [Fact]
    public void Heads_are_enough_for_flow_past_the_MLPs_to_a_logit_or_below_the_last_layer()
    {
        RandomInput input = ResidualsTests.Small;
        using Analysed flow = Analysed.Of(input), heads = Analysed.Of(input, RecordingPlan.Heads);
        foreach (FlowCase question in new[]
        {
            new FlowCase(input, 0, 2, 0, 4, MlpTreatment.Source, FlowTarget.Token(3)),
            new FlowCase(input, 0, 1, 0, 4, MlpTreatment.Source, FlowTarget.Residual),
        })
        {
            FlowTrace expected = question.Trace(flow), actual = question.Trace(heads);
            Assert.Equal(expected.Total, actual.Total);
            Assert.Equal(expected.Edges, actual.Edges);
        }
    }

    private static void EqualTheReference(FlowCase question, Analysed run, int seed, AnalysisOptions options)
    {
        FlowPropertyTests.SameTrace(question, run);
        HeadReadsTests.Same(run, seed, HeadInputs.All, options);
        HeadWritesTests.Same(run, run.Frozen, question.From, options);
    }

    /// <summary>Every number of every measure.</summary>
    private static Dictionary<string, double[]> Results(FlowCase question, LlamaModel model, ActivationCache cache, AnalysisOptions options)
    {
        int layer = question.From + question.Layers - 1, d = question.Input.Config.HiddenSize;
        HeadWrites writes = HeadWrites.Measure(model, cache, layer, options);
        FlowTrace trace = FlowTracer.Trace(model, cache, question.Src, question.Dst, question.Options with { Paths = 20, AllSources = true, Compute = options });
        var results = new Dictionary<string, double[]>
        {
            ["write norms"] = HeadWritesTests.ByHead(writes.Heads, h => writes.Norms(h)),
            ["write shares"] = HeadWritesTests.ByHead(writes.Heads, h => writes.Shares(h)),
            ["write strengths"] = writes.Strengths.ToArray(),
            ["write OV norms"] = writes.OvNorms.ToArray(),
            ["flow totals"] = [trace.Total, .. trace.Sources!, .. trace.MlpSources ?? []],
            ["flow cuts"] = [.. trace.PerLayer.SelectMany(l => l.Heads.Append(l.Residual).Append(l.Mlp))],
            ["flow edges"] = [.. trace.Edges.OrderBy(e => (e.Layer, e.Head, e.Query, e.Key)).Select(e => e.Flow)],
            ["flow paths"] = [.. trace.Paths.Select(p => Math.Abs(p.Flow))],
        };
        ReadDirection[] directions = [ReadDirection.Dimension(d - 1), ReadDirection.Vector(ModelFiles.Numbers("v", d))];
        foreach (ReadDirection direction in layer > 0 ? [.. directions, ReadDirection.HeadWrite(layer - 1, 0)] : directions)
        {
            HeadReads reads = HeadReads.Measure(model, cache, layer, direction, options: options);
            results[$"read weights of {direction}"] = [.. reads.QWeights, .. reads.KWeights, .. reads.VWeights, .. reads.Strengths];
            results[$"read q of {direction}"] = HeadWritesTests.ByHead(reads.Heads, h => reads.QShares(h));
            results[$"read k of {direction}"] = HeadWritesTests.ByHead(reads.Heads, h => reads.KShares(h));
            results[$"read v of {direction}"] = HeadWritesTests.ByHead(reads.Heads, h => reads.VShares(h));
            results[$"read z of {direction}"] = HeadWritesTests.ByHead(reads.Heads, h => reads.ZShares(h));
        }

        return results;
    }
}
