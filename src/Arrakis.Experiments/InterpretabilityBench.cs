using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Experiments;

/// <summary>
/// The base of benches: derive from it, write experiments as methods that call <see cref="LogExperiment(JsonObject, Func{ExperimentRun, JsonObject}, int, string, string, string, int, string)"/>,
/// and every run of one, what it was asked, of which model, by which code, and what came of it, is a file in a folder.
/// </summary>
/// <remarks>
/// Experiments that look at the weights alone may run on any number of threads; a recorded pass is one session's, and so one thread's at a time. Logs of any number of
/// processes may share a folder.
/// </remarks>
public abstract class InterpretabilityBench
{
    private static readonly JsonDocumentOptions s_resultOptions = new() { MaxDepth = RecordJson.Depth - 8 };

    /// <summary>A bench over a model.</summary>
    /// <param name="model">What experiments are done on; stays the caller's to dispose.</param>
    /// <param name="saveDir">The folder that runs are saved in; made where it does not exist.</param>
    /// <exception cref="ArrakisException">The folder cannot be made.</exception>
    protected InterpretabilityBench(HookedAutoModel model, string saveDir = "experiments")
    {
        ArgumentNullException.ThrowIfNull(model);
        Model = model;
        Log = new ExperimentLog(saveDir);
        Log.Create();
    }

    /// <summary>What experiments are done on.</summary>
    public HookedAutoModel Model { get; }

    /// <summary>Tools by name.</summary>
    public ToolSet Tools { get; } = new();

    /// <summary>The folder of runs.</summary>
    public ExperimentLog Log { get; }

    /// <summary>Runs an experiment and logs it: what it returns, or the exception that it ends in, which is thrown on.</summary>
    /// <param name="arguments">Its arguments by name, as the log is to hold them.</param>
    /// <param name="body">The experiment.</param>
    /// <param name="seed">The seed of its random choices.</param>
    /// <param name="experiment">Its name; null for the calling method's.</param>
    /// <param name="member">Left to the compiler: the calling method.</param>
    /// <param name="file">Left to the compiler: the source file, of which the name is logged.</param>
    /// <param name="line">Left to the compiler: the line.</param>
    /// <param name="text">Left to the compiler: the text of <paramref name="body"/>.</param>
    /// <returns>What the experiment returned.</returns>
    /// <exception cref="ArrakisException">The name cannot be a folder's.</exception>
    /// <exception cref="ExperimentNotLoggedException">The log cannot be written; the record is in the exception.</exception>
    public JsonObject LogExperiment(
        JsonObject arguments, Func<ExperimentRun, JsonObject> body, int seed = 0, string? experiment = null, [CallerMemberName] string member = "",
        [CallerFilePath] string file = "", [CallerLineNumber] int line = 0, [CallerArgumentExpression(nameof(body))] string text = "") =>
        LogExperiment(arguments, body, result => result, seed, experiment, member, file, line, text);

    /// <summary>The same for a result of any type.</summary>
    /// <param name="arguments">Its arguments by name, as the log is to hold them.</param>
    /// <param name="body">The experiment.</param>
    /// <param name="toJson">The result as the log is to hold it: <see cref="ResultJson"/> has the analyses', and <c>JsonSerializer.SerializeToNode</c> does the rest.</param>
    /// <param name="seed">The seed of its random choices.</param>
    /// <param name="experiment">Its name; null for the calling method's.</param>
    /// <param name="member">Left to the compiler: the calling method.</param>
    /// <param name="file">Left to the compiler: the source file, of which the name is logged.</param>
    /// <param name="line">Left to the compiler: the line.</param>
    /// <param name="text">Left to the compiler: the text of <paramref name="body"/>.</param>
    /// <inheritdoc cref="LogExperiment(JsonObject, Func{ExperimentRun, JsonObject}, int, string, string, string, int, string)"/>
    public T LogExperiment<T>(
        JsonObject arguments, Func<ExperimentRun, T> body, Func<T, JsonNode?> toJson, int seed = 0, string? experiment = null,
        [CallerMemberName] string member = "", [CallerFilePath] string file = "", [CallerLineNumber] int line = 0, [CallerArgumentExpression(nameof(body))] string text = "")
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(body);
        ArgumentNullException.ThrowIfNull(toJson);
        string name = experiment ?? member;
        ExperimentLog.CheckName(name);
        JsonObject asked = Own(arguments)!.AsObject();
        var source = new ExperimentSource(Path.GetFileName(file.Replace('\\', '/')), $"{GetType().Name}.{member}", text.ReplaceLineEndings("\n"));
        // What cannot be said of the model fails here, before the experiment is worth anything.
        (string hash, string kernels) = (Model.Hash, KernelTiers.Name(Model.Kernels));
        var run = new ExperimentRun(Model, Tools, seed);
        DateTimeOffset time = DateTimeOffset.UtcNow;
        long start = Stopwatch.GetTimestamp();

        T result;
        JsonNode? kept;
        Model.Recorded += run.OnRecorded;
        try
        {
            result = body(run);
            kept = Own(toJson(result));
        }
        catch (Exception e)
        {
            LogFailure(Record(null, new ExperimentFailure(e.GetType().FullName ?? e.GetType().Name, e.Message)), e);
            throw;
        }
        finally
        {
            Model.Recorded -= run.OnRecorded;
        }

        Log.Add(Record(kept, null));
        return result;

        ExperimentRecord Record(JsonNode? kept, ExperimentFailure? failure)
        {
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var content = new ExperimentContent
            {
                Experiment = name,
                Arguments = asked,
                Tools = [.. run.Used],
                Input = run.Inputs.Count > 0 ? run.Inputs[0] : null,
                MoreInputs = run.Inputs.Count > 1 ? [.. run.Inputs.Skip(1)] : null,
                ModelHash = hash,
                Seed = seed,
                Source = source,
                Result = kept,
                Failure = failure,
            };
            return new ExperimentRecord
            {
                Version = ExperimentLog.VersionOf(content),
                Content = content,
                Time = time,
                Seconds = seconds,
                Model = Model.Name,
                ModelSeed = Model.Seed,
                Kernels = kernels,
                Line = line,
                Profile = run.Profile,
            };
        }
    }

    /// <summary>The versions of an experiment, in the order in which they first ran.</summary>
    /// <inheritdoc cref="ExperimentLog.ListVersions"/>
    public IReadOnlyList<string> ListVersions(string experiment) => Log.ListVersions(experiment);

    /// <inheritdoc cref="ExperimentLog.GetVersion"/>
    public ExperimentRecord GetVersion(string version) => Log.GetVersion(version);

    /// <summary>What differs between two versions.</summary>
    /// <param name="before">A version, or the first of its digits.</param>
    /// <param name="after">Another.</param>
    /// <param name="tolerance">By how much two numbers may differ, relative to the larger, and still count as the same.</param>
    /// <exception cref="ArrakisException">There is no such version, or the tolerance is negative.</exception>
    public ExperimentDiff Compare(string before, string after, double tolerance = 0)
    {
        IReadOnlyList<ExperimentRecord> runs = Log.Read().Runs;
        return ExperimentDiff.Of(ExperimentLog.Find(runs, before), ExperimentLog.Find(runs, after), tolerance);
    }

    // A failure that cannot be logged either must not hide the first.
    private void LogFailure(ExperimentRecord record, Exception failure)
    {
        try
        {
            Log.Add(record);
        }
        catch (ExperimentNotLoggedException e)
        {
            throw new ExperimentNotLoggedException(record, $"{e.Message}; and the experiment failed: {failure.Message}", failure);
        }
    }

    /// <summary>A copy that nobody else holds, of what JSON can hold.</summary>
    private static JsonNode? Own(JsonNode? node) => node is null ? null : JsonNode.Parse(node.ToJsonString(RecordJson.Readable.Options), documentOptions: s_resultOptions);
}
