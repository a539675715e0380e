using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Analysis.Tests;

/// <summary>
/// The hand-built model (weights/induction and its variant with grouped queries), whose every number is known: tokens lie at dimensions 0–31, a constant at 32, the previous
/// token at 33–64, the output at 65–96 and the decoy's write at 97–112; token 0 begins a sequence and is copied by nobody.
/// </summary>
public sealed class InductionCircuitTests
{
    private const int Constant = 32, PreviousSpace = 33, Words = 31, Context = 64;
    private const double Epsilon = 1e-5, Hidden = 128;

    // Positions of "0 5 9 3 7 5": the second 5 stands at 5, so 9 is to come, which stood at 2 behind the first 5 at 1.
    private static readonly int[] s_prompt = [0, 5, 9, 3, 7, 5];

    // Float32 sums of a few terms; weights of the rotary pairs are rounded to 1/1024, which moves a pattern of 0.9999 by a few 1e-7.
    private const double Tolerance = 1e-5;

    // Head 0.0 looks at the position before with at least 0.9999, wherever within the context (weights/induction/README.md): what it leaves to all others.
    private const double Elsewhere = 1e-4;

    public static TheoryData<string> Variants => ["induction", "induction-gqa"];

    [Theory]
    [MemberData(nameof(Variants))]
    public void Completes_random_repeats_up_to_its_context(string variant)
    {
        using LlamaModel model = Load(variant);
        using LlamaSession session = model.CreateSession(RecordingPlan.Parse("logits,pattern"), Engine.Options());
        var random = new Random(1);
        for (int period = 2; period <= Words; period++)
        {
            int[] words = [.. Enumerable.Range(1, Words).OrderBy(_ => random.Next()).Take(period)];
            int[] ids = [0, .. Enumerable.Range(0, Context - 1).Select(t => words[t % period])];
            session.Forward(ids);
            for (int t = 1; t < Context; t++)
            {
                Assert.True(session.Cache[HookPoint.Pattern, 0][0, t, t - 1] >= 1 - Elsewhere, $"period {period}: head 0.0 looks from {t} past {t - 1}");
                if (t <= period)
                    continue;
                double[] logits = Engine.Widen(session.Cache.Flat(HookPoint.Logits).Slice(t * 32, 32));
                Assert.Equal(words[t % period], Engine.ArgMax(logits));
                double matches = 0;
                for (int s = t + 1 - period; s > 0; s -= period)
                    matches += session.Cache[HookPoint.Pattern, 1][1, t, s];
                Assert.True(matches >= 1 - Elsewhere, $"period {period}: head 1.1 looks from {t} at the matches with {matches}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Write_norms_are_those_of_the_closed_form(string variant)
    {
        using Run run = new(variant, s_prompt);
        HeadWrites below = HeadWrites.Measure(run.Model, run.Cache, 0), above = HeadWrites.Measure(run.Model, run.Cache, 1);
        double embedding = 8 * 8 + 8 * 8, r0 = Math.Sqrt(embedding / Hidden + Epsilon);
        double decoy = Math.Sqrt(16) * 2 * 8 / r0, previous = 8 / r0;
        double r1 = Math.Sqrt((embedding + decoy * decoy + previous * previous) / Hidden + Epsilon);
        for (int t = 0; t < s_prompt.Length; t++)
        {
            Close.To(decoy, below.Norms(1)[t], Tolerance, $"the decoy's write at {t}");
            // Behind the first two positions lies a token that nobody copies.
            if (t >= 2)
                Close.To(previous, below.Norms(0)[t], 1e-4, $"the previous token's write at {t}");
            else
                Assert.True(below.Norms(0)[t] < 1e-3, $"head 0.0 copies the beginning at {t}");
        }

        Close.To(23 * 8 / r1, above.Norms(1)[5], 1e-4, "the induction head's write");
        foreach ((HeadWrites writes, int head) in new[] { (below, 2), (below, 3), (above, 0), (above, 2), (above, 3) })
            Assert.Equal(new float[s_prompt.Length], writes.Norms(head).ToArray());
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void The_decoy_is_the_write_head_and_carries_nothing(string variant)
    {
        using Run run = new(variant, s_prompt);
        var heads = new ReadWriteHeads(run.Model, run.Cache);
        Assert.Equal([1], heads.IdentifyWriteHeads(0).Select(h => h.Head));
        Assert.Equal([1], heads.IdentifyWriteHeads(1).Select(h => h.Head));
        FlowTrace trace = run.Trace(src: 2);
        Assert.Equal(0, trace.PerLayer[0].Heads[1]);
        Assert.DoesNotContain(trace.Edges, edge => edge is { Layer: 0, Head: 1 });
        Assert.DoesNotContain(trace.Paths, path => path.Steps.Any(step => step is { Layer: 0, Head: 1 }));
    }

    [Theory]
    [InlineData("induction", false)]
    [InlineData("induction-gqa", true)]
    public void Heads_read_their_declared_dimensions_and_no_other(string variant, bool grouped)
    {
        using LlamaModel model = Load(variant);
        int[] tokens = [.. Enumerable.Range(1, Words)], previous = [.. Enumerable.Range(PreviousSpace + 1, Words)], constant = [Constant];
        for (int d = 0; d < (int)Hidden; d++)
        {
            HeadReads below = HeadReads.FromWeights(model, 0, ReadDirection.Dimension(d)), above = HeadReads.FromWeights(model, 1, ReadDirection.Dimension(d));
            // A group shares its keys and values, whatever its heads do with them.
            int[] pair = grouped ? [.. tokens, Constant] : tokens;
            Reads(below.QWeights, d, constant, [], [], []);
            Reads(below.KWeights, d, constant, grouped ? constant : [], [], []);
            Reads(below.VWeights, d, pair, grouped ? pair : constant, [], []);
            Reads(above.QWeights, d, [], tokens, [], []);
            Reads(above.KWeights, d, grouped ? previous : [], previous, [], []);
            Reads(above.VWeights, d, grouped ? tokens : [], tokens, [], []);
        }
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Composition_is_of_keys_alone_and_at_its_ceiling(string variant)
    {
        using LlamaModel model = Load(variant);
        CompositionScore k = HeadComposition.Measure(model, CompositionKind.K, (0, 0), (1, 1));
        // 31 equal singular values on either side, aligned: each ‖·‖_F is √31 of them.
        Close.To(1 / Math.Sqrt(Words), k.Score, Tolerance, "K-composition");
        Close.To(k.Ceiling, k.Score, Tolerance, "K-composition against its ceiling");
        Assert.Equal(0, HeadComposition.Measure(model, CompositionKind.Q, (0, 0), (1, 1)).Score);
        Assert.Equal(0, HeadComposition.Measure(model, CompositionKind.V, (0, 0), (1, 1)).Score);
        foreach (CompositionKind kind in Enum.GetValues<CompositionKind>())
            Assert.Equal(0, HeadComposition.Measure(model, kind, (0, 1), (1, 1)).Score);
        Close.To(1, HeadCopying.Measure(model, 1)[1], Tolerance, "copying");
        Assert.Equal(0, HeadCopying.Measure(model, 0)[0]);
    }

    /// <summary>
    /// Patterns are frozen in a flow, so what the previous-token head does for the pattern is not in it (V-composition is zero): the logit comes from the token to be
    /// copied through the residual and head 1.1. That the key there comes from the token before, through head 0.0, is what its key share says.
    /// </summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void The_route_carries_the_logit_and_the_key(string variant)
    {
        using Run run = new(variant, s_prompt);
        FlowTrace value = run.Trace(src: 2);
        double logit = value.Conservation!.Value.Expected;
        FlowStep[] route = [new(0, null, 2, 2, false), new(1, 1, 2, 5, false)];
        Assert.Equal(route, value.Paths[0].Steps);
        Close.To(1, value.Paths[0].Flow / logit, Tolerance, "the route's part of the logit");
        Assert.True(value.ConservationError < 1e-5, $"conservation is off by {value.ConservationError}");
        Assert.Equal(HeadRoles.Both, value.Heads.Single(h => h is { Layer: 1, Head: 1 }).Role);

        FlowTrace key = run.Trace(src: 1);
        Assert.True(Math.Abs(key.Total) < 1e-6 * logit, $"the first 5 moves {key.Total} of the logit by itself");
        Close.To(1, key.Heads.Single(h => h is { Layer: 1, Head: 1 }).KShare, Tolerance, "the key share");
    }

    /// <summary>With the attention score as the target, the whole route is a flow: the key that the induction head finds comes from the token before, through head 0.0.</summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void The_score_of_the_induction_head_comes_through_the_previous_token_head(string variant)
    {
        using Run run = new(variant, s_prompt);
        var options = new FlowOptions { Layers = 1, Target = FlowTarget.Key(1, query: 5), AllSources = true };
        FlowTrace key = FlowTracer.Trace(run.Model, run.Cache, 1, 2, options);
        double score = key.Conservation!.Value.Expected;
        Assert.Equal(new FlowStep(0, 0, 1, 2, false), key.Paths[0].Steps[0]);
        Close.To(1, key.Paths[0].Flow / score, Tolerance, "the route's part of the score");
        Assert.True(key.ConservationError < 1e-5, $"conservation is off by {key.ConservationError}");

        FlowTrace query = FlowTracer.Trace(run.Model, run.Cache, 5, 5, options with { Target = FlowTarget.Query(1, key: 2) });
        Close.To(score, query.Conservation!.Value.Expected, Tolerance, "the score from its other side");
        Close.To(1, query.Total / score, Tolerance, "the query's part of the score");
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Detectors_and_attribution_find_the_circuit(string variant)
    {
        using Run run = new(variant, s_prompt);
        IReadOnlyList<HeadDetection> found = HeadDetectors.Detect(run.Model, period: 16).Heads;
        Assert.Equal((0, 0), Where(found.MaxBy(h => h.PreviousToken)));
        Assert.Equal((1, 1), Where(found.MaxBy(h => h.Induction)));
        Close.To(1, found.Max(h => h.PreviousToken), Elsewhere, "the previous-token score");
        Close.To(1, found.Max(h => h.Induction), Elsewhere, "the induction score");
        DirectLogitAttribution parts = DirectLogitAttribution.Measure(run.Model, run.Cache, 5, s_prompt[2]);
        Close.To(1, parts.Heads(1)[1] / parts.Logit, Tolerance, "head 1.1's part of the logit");

        static (int, int) Where(HeadDetection h) => (h.Layer, h.Head);
    }

    private static void Reads(ReadOnlySpan<double> weights, int d, params ReadOnlySpan<int[]> declared)
    {
        for (int h = 0; h < weights.Length; h++)
            Assert.True(weights[h] != 0 == declared[h].Contains(d), $"head {h} reads dimension {d} with {weights[h]}");
    }

    private static LlamaModel Load(string variant)
    {
        string root = AppContext.BaseDirectory;
        while (!Directory.Exists(Path.Combine(root, "weights", variant)))
            root = Path.GetDirectoryName(root) ?? throw new DirectoryNotFoundException($"weights/{variant} is not above the tests");
        return LlamaModel.Load(Path.Combine(root, "weights", variant));
    }

    private sealed class Run : IDisposable
    {
        private readonly LlamaSession _session;

        public Run(string variant, int[] ids)
        {
            Model = Load(variant);
            _session = Model.CreateSession(RecordingPlan.Flow, Engine.Options());
            _session.Forward(ids);
        }

        public LlamaModel Model { get; }

        public ActivationCache Cache => _session.Cache;

        /// <summary>To the logit of what comes next.</summary>
        public FlowTrace Trace(int src) => FlowTracer.Trace(Model, Cache, src, s_prompt.Length - 1, new FlowOptions { Target = FlowTarget.Token(s_prompt[2]), AllSources = true });

        public void Dispose()
        {
            _session.Dispose();
            Model.Dispose();
        }
    }
}
