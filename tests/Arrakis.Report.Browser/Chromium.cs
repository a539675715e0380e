using PuppeteerSharp;

namespace Arrakis.Report.Browser;

/// <summary>Debian's Chromium, headless, one for all tests.</summary>
public sealed class Chromium : IAsyncLifetime
{
    private readonly DirectoryInfo _profile = Directory.CreateTempSubdirectory("arrakis-chromium-");
    private IBrowser? _browser;

    /// <summary>Where it is looked for; <c>CHROMIUM</c> in the environment names another place.</summary>
    private static string Program => Environment.GetEnvironmentVariable("CHROMIUM") ?? "/usr/bin/chromium";

    public async Task InitializeAsync()
    {
        Assert.True(File.Exists(Program), $"{Program} is not there: apt-get install chromium fonts-dejavu-core, or set CHROMIUM to where a Chromium is");
        _browser = await Puppeteer.LaunchAsync(new LaunchOptions
        {
            ExecutablePath = Program,
            Headless = true,
            UserDataDir = _profile.FullName,
            // As root there is no sandbox; and a browser that looks for updates would be a browser that asks the network.
            Args =
            [
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars",
            ],
        });
    }

    public async Task DisposeAsync()
    {
        if (_browser is not null)
            await _browser.CloseAsync();
        _profile.Delete(recursive: true);
    }

    /// <summary>A tab of this size.</summary>
    public async Task<IPage> OpenTabAsync(int width, int height, bool dark = false)
    {
        IPage page = await _browser!.NewPageAsync();
        await page.SetViewportAsync(new ViewPortOptions { Width = width, Height = height });
        await page.EmulateMediaFeaturesAsync([new() { MediaFeature = MediaFeature.PrefersColorScheme, Value = dark ? "dark" : "light" }]);
        return page;
    }
}
