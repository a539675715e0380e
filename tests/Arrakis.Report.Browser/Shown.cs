using System.Globalization;
using System.Text.Json;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using PuppeteerSharp;

namespace Arrakis.Report.Browser;

/// <summary>A report's page open in a tab, its data beside it, and everything that the page complained of or asked the network for.</summary>
internal sealed class Shown : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<string> _faults = [];

    private Shown(IPage page) => Page = page;

    /// <summary>A prompt that repeats, for the induction circuit.</summary>
    public static int[] Repeating { get; } = [0, 23, 26, 25, 19, 10, 20, 29, 18, 23, 26, 25, 19, 10, 20, 29];

    public IPage Page { get; }

    /// <summary>The document of <c>--data</c>, as it was written to disk.</summary>
    public JsonElement Data { get; private set; }

    public static async Task<Shown> OpenAsync(Chromium chromium, string model, int[] ids, ReportOptions? options = null, int width = 1280, int height = 900, bool dark = false)
    {
        var shown = new Shown(await chromium.OpenTabAsync(width, height, dark));
        string address = shown.Write(model, ids, options);
        shown.Page.Console += (_, e) => shown._faults.Add($"{e.Message.Type}: {e.Message.Text}");
        shown.Page.PageError += (_, e) => shown._faults.Add($"error: {e.Message}");
        shown.Page.Request += (_, e) =>
        {
            if (e.Request.Url != address && !e.Request.Url.StartsWith("data:", StringComparison.Ordinal))
                shown._faults.Add($"request: {e.Request.Url}");
        };
        await shown.Page.GoToAsync(address);
        await shown.Page.WaitForSelectorAsync("html[data-ready]");
        return shown;
    }

    /// <summary>The text of an element.</summary>
    public Task<string> TextAsync(string selector) => Page.EvaluateFunctionAsync<string>("s => document.querySelector(s).textContent", selector);

    /// <summary>How many elements there are.</summary>
    public Task<int> CountAsync(string selector) => Page.EvaluateFunctionAsync<int>("s => document.querySelectorAll(s).length", selector);

    /// <summary>The number that an element shows.</summary>
    public async Task<double> NumberAsync(string selector) => Number(await TextAsync(selector));

    /// <summary>A number as the page writes it, at the end of a text.</summary>
    public static double Number(string text) =>
        double.Parse(text.Trim().Split(' ', ':')[^1].Replace('−', '-').Replace("+", "", StringComparison.Ordinal), NumberStyles.Float, CultureInfo.InvariantCulture);

    /// <summary>Asserts that nothing went wrong so far, and nothing was asked for.</summary>
    public void HasNoFaults() => Assert.Empty(_faults);

    public async ValueTask DisposeAsync()
    {
        await Page.CloseAsync();
        _folder.Dispose();
    }

    private string Write(string folder, int[] ids, ReportOptions? options)
    {
        using LlamaModel model = LlamaModel.Load(Path.Combine(AppContext.BaseDirectory, folder));
        using LlamaSession session = model.CreateSession(HeadReport.Plan);
        session.Forward(ids);
        HeadReport report = HeadReport.Measure(model, session.Cache, options);
        using (FileStream data = File.Create(_folder.File("data.json")))
            ReportData.Write(report, data);
        using (FileStream page = File.Create(_folder.File("page.html")))
            ReportPage.Write(report, page);
        Data = JsonDocument.Parse(File.ReadAllBytes(_folder.File("data.json"))).RootElement;
        return new Uri(_folder.File("page.html")).AbsoluteUri;
    }
}
