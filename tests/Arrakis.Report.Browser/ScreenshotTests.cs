using System.Text.Json;
using Arrakis.Native.Tests.Support;
using PuppeteerSharp;

namespace Arrakis.Report.Browser;

/// <summary>
/// The README's screenshots. The script <c>screenshots</c> calls these with <c>ARRAKIS_PAGE</c>, a page to open, and <c>ARRAKIS_SCREENSHOTS</c>, a folder to put them
/// into; without, they are of a report on the induction circuit, and gone when the test is.
/// </summary>
public sealed class ScreenshotTests(Chromium chromium) : IClassFixture<Chromium>
{
    // A page without pictures would be far below, a picture too large for a README above.
    private const int Least = 4_000, Most = 120_000;
    private const int Quality = 80;

    [Theory]
    [InlineData("attention-light", "#attention", 1200, 700, false)]
    [InlineData("writes-dark", "#writes", 1200, 640, true)]
    [InlineData("flow-light", "#flow .picture", 1200, 760, false)]
    [InlineData("flow-dark", "#flow .picture", 1200, 760, true)]
    public async Task Pictures_are_drawn_in_light_and_dark(string name, string place, int width, int height, bool dark)
    {
        using var folder = new TemporaryFolder();
        string file = Path.Combine(Environment.GetEnvironmentVariable("ARRAKIS_SCREENSHOTS") ?? folder.Path, name + ".webp");
        IPage page = await chromium.OpenTabAsync(width, height, dark);
        await using Shown? own = Environment.GetEnvironmentVariable("ARRAKIS_PAGE") is { } given
            ? await Opened(page, given)
            : await Shown.OpenAsync(chromium, "induction", Shown.Repeating, width: width, height: height, dark: dark);
        page = own?.Page ?? page;
        await page.EvaluateFunctionAsync("place => document.querySelector(place).scrollIntoView({ behavior: 'instant' })", place);
        // Squares are painted when they come into sight: two frames later they are.
        await page.EvaluateExpressionAsync("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(drawn))))");
        // Asked of Chromium itself: PuppeteerSharp takes a quality for JPEG alone, and without one Chromium's WebP breaks small letters.
        JsonElement shot = await page.Client.SendAsync<JsonElement>("Page.captureScreenshot", new { format = "webp", quality = Quality });
        await File.WriteAllBytesAsync(file, shot.GetProperty("data").GetBytesFromBase64());
        Assert.InRange(new FileInfo(file).Length, Least, Most);
    }

    private static async Task<Shown?> Opened(IPage page, string file)
    {
        await page.GoToAsync(new Uri(Path.GetFullPath(file)).AbsoluteUri);
        await page.WaitForSelectorAsync("html[data-ready]");
        return null;
    }
}
