using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>What an experiment has at hand while it runs. What it asks for is logged. For one thread.</summary>
public sealed class ExperimentRun
{
    private readonly ToolSet _tools;
    private readonly List<string> _used = [];
    private readonly List<int[]> _inputs = [];

    internal ExperimentRun(HookedAutoModel model, ToolSet tools, int seed)
    {
        (Model, _tools, Seed) = (model, tools, seed);
        Random = new Random(seed);
    }

    /// <summary>The model.</summary>
    public HookedAutoModel Model { get; }

    /// <summary>The seed of the experiment's random choices.</summary>
    public int Seed { get; }

    /// <summary>Random choices that the seed repeats.</summary>
    public Random Random { get; }

    /// <summary>A tool by its name, over the pass that was recorded last. A later pass is what it sees then, and is logged as one more input.</summary>
    /// <typeparam name="T">What the tool is.</typeparam>
    /// <param name="name">Its name in <see cref="InterpretabilityBench.Tools"/>.</param>
    /// <exception cref="ArrakisException">There is no such tool, it is not a <typeparamref name="T"/>, or it looks at a recorded pass and there has been none.</exception>
    public T UseTool<T>(string name)
        where T : class
    {
        T tool = _tools.Make<T>(name, new ToolInput(Model, LookAt));
        if (!_used.Contains(name))
            _used.Add(name);
        return tool;
    }

    /// <summary>Measures where a pass spends its time and bytes; logged beside the result, as it differs from run to run.</summary>
    /// <param name="ids">The token ids.</param>
    /// <param name="plan">What the passes record; null for nothing.</param>
    /// <param name="runs">How many passes.</param>
    /// <exception cref="ArrakisException">The input does not fit the model.</exception>
    public ModelProfile ProfileModel(ReadOnlySpan<int> ids, RecordingPlan? plan = null, int runs = 5) =>
        Profile = ModelProfile.Measure(Model.Model, ids, plan, Model.Options, runs);

    /// <summary>Draws two samples and tests whether their means differ by more than chance.</summary>
    /// <param name="nullSample">One number under the null hypothesis, with its own random choices.</param>
    /// <param name="alternativeSample">One number under the alternative.</param>
    /// <param name="samples">How many of each.</param>
    /// <param name="alpha">The level of the test.</param>
    /// <param name="method">How to test.</param>
    /// <exception cref="ArrakisException">The samples are too few, not finite, or constant where the test divides by their spread.</exception>
    public HypothesisTest TestHypothesis(
        Func<Random, double> nullSample, Func<Random, double> alternativeSample, int samples = 100, double alpha = 0.05, HypothesisMethod method = HypothesisMethod.Welch)
    {
        ArgumentNullException.ThrowIfNull(nullSample);
        ArgumentNullException.ThrowIfNull(alternativeSample);
        ArgumentOutOfRangeException.ThrowIfNegative(samples);
        if (!Enum.IsDefined(method))
            throw new ArgumentOutOfRangeException(nameof(method), method, "there is no such test");
        double[] a = [.. Enumerable.Range(0, samples).Select(_ => nullSample(Random))];
        double[] b = [.. Enumerable.Range(0, samples).Select(_ => alternativeSample(Random))];
        return method == HypothesisMethod.Welch ? HypothesisTest.Welch(a, b, alpha) : HypothesisTest.Permutation(a, b, alpha, seed: Seed);
    }

    internal IReadOnlyList<string> Used => _used;

    /// <summary>Every input that a tool looked at or could, in the order in which it first did.</summary>
    internal IReadOnlyList<int[]> Inputs => _inputs;

    internal ModelProfile? Profile { get; private set; }

    /// <summary>Called after every pass: the cache is one object for all of them, so that a tool that looked at one sees the next too.</summary>
    internal void OnRecorded()
    {
        if (_inputs.Count > 0)
            LookAt(Model.Cache!);
    }

    private void LookAt(ActivationCache cache)
    {
        if (!_inputs.Exists(ids => cache.Ids.SequenceEqual(ids)))
            _inputs.Add(cache.Ids.ToArray());
    }
}
