using System.Collections.Concurrent;
using System.Reflection;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Delivery.Tests;

/// <summary>
/// What is packed and published for the tests, each once and on first use, in a temporary folder beside nothing of the repository's own build. One build at a time.
/// </summary>
public sealed class Delivery : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly SemaphoreSlim _building = new(1);
    private readonly ConcurrentDictionary<string, Task<string>> _built = new();

    /// <summary>The repository, found from the tests upwards.</summary>
    public static string Repository { get; } = FindRepository();

    /// <summary>The version that the build files give.</summary>
    public static string Version { get; } =
        typeof(Delivery).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == "Version").Value!;

    /// <summary>
    /// A cache of packages of this run: what another run left behind under the same version must not be taken for this one's.
    /// </summary>
    public string PackageCache => _folder.File(".packages");

    /// <summary>A folder of one's own.</summary>
    public string NewFolder() => Directory.CreateDirectory(_folder.File(Guid.NewGuid().ToString("N"))).FullName;

    /// <summary>The folder with every package, packed as for a release.</summary>
    public Task<string> Packages() => Once("packages", async () =>
    {
        string packages = _folder.File("packages");
        foreach (string project in Directory.GetFiles(Path.Combine(Repository, "src"), "*.csproj", SearchOption.AllDirectories))
        {
            if (File.ReadAllText(project).Contains("<IsPackable>true", StringComparison.Ordinal))
                (await Ran.Dotnet(["pack", project, "-c", "Release", "-o", packages, .. Isolated], Repository)).Succeeded();
        }

        return packages;
    });

    /// <summary>The folder of a project published for a runtime, with properties such as <c>IlcInstructionSet=x86-64-v3</c>.</summary>
    public Task<string> Published(string project, string runtime, params string[] properties) => Once($"{project} {runtime} {string.Join(' ', properties)}", async () =>
    {
        string output = NewFolder();
        IEnumerable<string> all = properties.Select(property => $"-p:{property}");
        (await Ran.Dotnet(["publish", Path.Combine(Repository, project), "-c", "Release", "-r", runtime, "-o", output, .. all, .. Isolated], Repository)).Succeeded();
        return output;
    });

    public void Dispose()
    {
        _folder.Dispose();
        _building.Dispose();
    }

    // Warnings are errors in these builds too: that is what "clean" means of the trimmer and of NativeAOT's compiler. The analyzers have been over the same sources in the
    // solution's own build, and take a third of the time. All as for a release, so that none compiles anew what another has.
    private string[] Isolated => ["--artifacts-path", _folder.File("artifacts"), "-p:ContinuousIntegrationBuild=true", "-p:RunAnalyzers=false", "-warnaserror", "-nologo", "-v", "quiet"];

    private Task<string> Once(string what, Func<Task<string>> build) => _built.GetOrAdd(what, async _ =>
    {
        await _building.WaitAsync();
        try
        {
            return await build();
        }
        finally
        {
            _building.Release();
        }
    });

    private static string FindRepository()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Arrakis.Native.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("the repository is not above the tests");
        return folder;
    }
}

/// <summary>Every test class of this project shares what is built.</summary>
[CollectionDefinition(nameof(Delivery))]
public sealed class DeliveryTests : ICollectionFixture<Delivery>;
