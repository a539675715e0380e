using System.Text.Json;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report.Tests;

/// <summary>A run, and what is reported of it.</summary>
internal sealed class Reported : IDisposable
{
    private readonly LlamaSession _session;

    private Reported(LlamaModel model, int[] ids, ReportOptions options)
    {
        Model = model;
        _session = model.CreateSession(HeadReport.Plan, new SessionOptions { Threads = 1 });
        _session.Forward(ids);
        Report = HeadReport.Measure(model, _session.Cache, options with { Compute = OneThread });
    }

    /// <summary>Test classes run beside each other.</summary>
    public static AnalysisOptions OneThread { get; } = new() { Threads = 1 };

    public LlamaModel Model { get; }

    public ActivationCache Cache => _session.Cache;

    public HeadReport Report { get; }

    /// <summary>The golden model of three layers of six heads with its prompt.</summary>
    public static Reported Golden(ReportOptions? options = null)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "Golden", "gqa-f32");
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
        return new(LlamaModel.Load(folder), [.. expected.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())], options ?? new ReportOptions());
    }

    /// <summary>A model of random weights and a prompt of random tokens.</summary>
    public static Reported Random(int layers, int heads, int tokens, ReportOptions? options = null)
    {
        var config = new LlamaConfig
        {
            HiddenSize = 16,
            IntermediateSize = 8,
            NumHiddenLayers = layers,
            NumAttentionHeads = heads,
            NumKeyValueHeads = heads / 2,
            HeadDim = 2,
            VocabSize = 40,
        };
        var random = new Random(1);
        return new(LlamaModel.CreateRandom(config, 1), [.. Enumerable.Range(0, tokens).Select(_ => random.Next(config.VocabSize))], options ?? new ReportOptions());
    }

    /// <summary>The document of <c>--data</c>.</summary>
    public JsonElement Data() => Document(stream => ReportData.Write(Report, stream));

    /// <summary>The document of <c>--graph</c>.</summary>
    public JsonElement Graph() => Document(stream => AttributionGraph.Write(Report, stream));

    /// <summary>The page.</summary>
    public string Page()
    {
        using var stream = new MemoryStream();
        ReportPage.Write(Report, stream);
        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    public void Dispose()
    {
        _session.Dispose();
        Model.Dispose();
    }

    private static JsonElement Document(Action<Stream> write)
    {
        using var stream = new MemoryStream();
        write(stream);
        return JsonDocument.Parse(stream.ToArray()).RootElement;
    }
}

/// <summary>Looking at documents.</summary>
internal static class Documents
{
    public static JsonElement[] Items(this JsonElement e, string key) => [.. e.GetProperty(key).EnumerateArray()];

    public static int Int(this JsonElement e, string key) => e.GetProperty(key).GetInt32();

    public static double Number(this JsonElement e, string key) => e.GetProperty(key).GetDouble();

    public static string? Text(this JsonElement e, string key) => e.GetProperty(key).GetString();

    public static double[] Numbers(this JsonElement e, string key) => [.. e.GetProperty(key).EnumerateArray().Select(number => number.GetDouble())];
}
