using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Benchmarks.Measuring;
using Arrakis.Benchmarks.Reach;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace Arrakis.Benchmarks.Results;

/// <summary>
/// <c>results</c>: every claim, and BenchmarkDotNet's tables of what the claims do not cover, into <c>benchmarks/results/&lt;processor&gt;/</c>.
/// </summary>
internal sealed class ResultsCommand : Command
{
    // Kernels by tier, and the analyses. Prompts, decoding and recording are among the claims, where they are compared round by round.
    private static readonly Type[] s_benchmarks =
    [
        typeof(ProductBenchmarks), typeof(DotsBenchmarks), typeof(WriteBenchmarks), typeof(ReadBenchmarks), typeof(CompositionBenchmarks),
        typeof(CopyingBenchmarks), typeof(AttributionBenchmarks), typeof(SourcesBenchmarks), typeof(FlowBenchmarks), typeof(RouteBenchmarks), typeof(PatchingBenchmarks),
    ];

    // For files that people read, not for web pages.
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Option<string?> _output = new("--output") { Description = "Another folder than benchmarks/results/<processor>", HelpName = "FOLDER" };

    public ResultsCommand()
        : base("results", "Everything, into benchmarks/results/<processor>/: some fifteen minutes on a machine that does nothing else")
    {
        Add(_output);
        var choice = new Choice();
        choice.AddTo(this);
        SetAction(call => Run(call.GetValue(_output) ?? Path.Combine(FindRepository(), "benchmarks", "results", Machine.Folder), choice.Only(call), choice.Effort(call)));
    }

    private static int Run(string folder, Func<string, bool> only, Effort effort)
    {
        ClaimGroup[] groups = [.. ClaimGroup.All.Where(group => only(group.Name))];
        Type[] benchmarks = [.. s_benchmarks.Where(type => only(type.Name))];
        Directory.CreateDirectory(folder);
        IReadOnlyList<(string Name, string Value)> facts = Machine.Facts();
        if (groups.Length > 0)
            WriteClaims(folder, facts, groups, effort);
        if (benchmarks.Length > 0)
            WriteBenchmarks(folder, facts, benchmarks);
        Console.WriteLine(groups.Length + benchmarks.Length > 0 ? $"written to {folder}" : "nothing has that in its name: nothing written");
        return 0;
    }

    private static void WriteClaims(string folder, IReadOnlyList<(string Name, string Value)> facts, ClaimGroup[] groups, Effort effort)
    {
        using var table = new StringWriter();
        using var both = new Twice(Console.Out, table);
        IReadOnlyList<Claim> claims = ReachCommand.Measure(groups, effort, both);
        Write(folder, "reach.md", $"# Reach\n\n{Facts(facts)}\nMedians of ratios taken within one round; see ../../README.md.\n\n{table}");
        Write(folder, "reach.json", Json(facts, "claims", claims.Select(ClaimResults.Of)));
    }

    private static void WriteBenchmarks(string folder, IReadOnlyList<(string Name, string Value)> facts, Type[] benchmarks)
    {
        string artifacts = Directory.CreateTempSubdirectory("arrakis-").FullName;
        try
        {
            var tables = new List<string>();
            var cases = new List<JsonNode>();
            foreach (Type type in benchmarks)
            {
                Console.Error.WriteLine($"{type.Name} …");
                Summary summary = BenchmarkRunner.Run(type, Quick(artifacts));
                tables.Add($"## {type.Name}\n\n{Table(summary)}");
                Console.WriteLine(tables[^1]);
                cases.AddRange(summary.Reports.Select(report => BenchmarkResults.Of(summary, report)));
            }

            Write(folder, "benchmarks.md", $"# Benchmarks\n\n{Facts(facts)}\n{string.Join("\n", tables)}");
            Write(folder, "benchmarks.json", Json(facts, "benchmarks", cases));
        }
        finally
        {
            Directory.Delete(artifacts, recursive: true);
        }
    }

    // In this process, and a second or so a benchmark: the whole has to end while a machine is still the same.
    private static IConfig Quick(string artifacts) => BenchmarkConfig.With(
        Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(1).WithIterationCount(9).WithIterationTime(TimeInterval.FromMilliseconds(60)),
        ManualConfig.CreateEmpty().AddColumnProvider(DefaultColumnProviders.Instance).AddLogger(NullLogger.Instance).WithArtifactsPath(artifacts));

    private static string Table(Summary summary)
    {
        if (summary.HasCriticalValidationErrors)
            throw new InvalidOperationException(string.Join("; ", summary.ValidationErrors.Select(error => error.Message)));
        var log = new AccumulationLogger();
        MarkdownExporter.GitHub.ExportToLog(summary, log);
        return log.GetLog();
    }

    private static string Facts(IEnumerable<(string Name, string Value)> facts) => string.Concat(facts.Select(fact => $"- {fact.Name}: {fact.Value}\n"));

    private static string Json(IEnumerable<(string Name, string Value)> facts, string name, IEnumerable<JsonNode> rows)
    {
        var machine = new JsonObject();
        foreach ((string key, string value) in facts)
            machine[key] = value;
        return new JsonObject { ["machine"] = machine, [name] = new JsonArray([.. rows]) }.ToJsonString(s_json) + "\n";
    }

    /// <summary>Beside its place and renamed: a results file is whole, or the one from before.</summary>
    private static void Write(string folder, string name, string text)
    {
        string place = Path.Combine(folder, name);
        File.WriteAllText(place + ".tmp", text);
        File.Move(place + ".tmp", place, overwrite: true);
    }

    private static string FindRepository()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Arrakis.Native.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException("the repository is not above this program: say where the results go with --output");
    }
}
