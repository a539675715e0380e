using System.IO.Compression;
using System.Reflection.PortableExecutable;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Arrakis.Delivery.Tests;

/// <summary>What is in the packages, and that a stranger's program and the tool work from them alone.</summary>
[Collection(nameof(Delivery))]
public sealed partial class PackageTests(Delivery delivery)
{
    [Theory]
    [InlineData("Arrakis.Native", "System.Numerics.Tensors", "Microsoft.Extensions.ObjectPool")]
    [InlineData("Arrakis.Analysis", "Arrakis.Native")]
    [InlineData("Arrakis.Text", "Arrakis.Native", "Google.Protobuf", "Microsoft.ML.Tokenizers")]
    public async Task A_library_depends_on_these_and_on_nothing_else(string id, params string[] dependencies)
    {
        using ZipArchive package = await Open($"{id}.{Delivery.Version}.nupkg");
        XElement[] listed = [.. Manifest(package).Descendants().Where(element => element.Name.LocalName == "dependency")];
        Assert.Equal(dependencies.Order(StringComparer.Ordinal), listed.Select(d => d.Attribute("id")!.Value).Order(StringComparer.Ordinal));
        // The project's own see each other's internals: exactly the version they were made with.
        foreach (XElement own in listed.Where(d => d.Attribute("id")!.Value.StartsWith("Arrakis", StringComparison.Ordinal)))
            Assert.Equal($"[{Delivery.Version}]", own.Attribute("version")!.Value);
    }

    [Theory]
    [InlineData("Arrakis.Native")]
    [InlineData("Arrakis.Analysis")]
    [InlineData("Arrakis.Text")]
    [InlineData("arrakis")]
    public async Task A_package_has_its_page_licence_notice_icon_and_symbols(string id)
    {
        using ZipArchive package = await Open($"{id}.{Delivery.Version}.nupkg");
        XDocument manifest = Manifest(package);
        string Value(string name) => manifest.Descendants().Single(element => element.Name.LocalName == name).Value;
        Assert.Equal(id, Value("id"));
        Assert.Equal(Delivery.Version, Value("version"));
        Assert.Equal("Apache-2.0", Value("license"));
        Assert.Equal("PACKAGE.md", Value("readme"));
        Assert.Equal("icon.png", Value("icon"));
        Assert.NotEmpty(Value("description"));
        Assert.Contains("llama", Value("tags"), StringComparison.Ordinal);
        foreach (string file in new[] { "PACKAGE.md", "icon.png", "NOTICE" })
            Assert.NotNull(package.GetEntry(file));
        using ZipArchive symbols = await Open($"{id}.{Delivery.Version}.snupkg");
        Assert.Contains(symbols.Entries, entry => entry.Name == $"{id}.pdb");
    }

    [Theory]
    [InlineData("Arrakis.Native")]
    [InlineData("Arrakis.Analysis")]
    [InlineData("Arrakis.Text")]
    public async Task A_library_is_documented_and_deterministic_and_names_no_place(string id)
    {
        using ZipArchive package = await Open($"{id}.{Delivery.Version}.nupkg"), symbols = await Open($"{id}.{Delivery.Version}.snupkg");
        Assert.NotNull(package.GetEntry($"lib/net10.0/{id}.xml"));
        byte[] assembly = Bytes(package.GetEntry($"lib/net10.0/{id}.dll")!), pdb = Bytes(symbols.GetEntry($"lib/net10.0/{id}.pdb")!);
        using var reader = new PEReader(new MemoryStream(assembly));
        Assert.Contains(reader.ReadDebugDirectory(), entry => entry.Type == DebugDirectoryEntryType.Reproducible);
        byte[] place = Encoding.UTF8.GetBytes(Delivery.Repository + "/");
        Assert.Equal(-1, assembly.AsSpan().IndexOf(place));
        Assert.Equal(-1, pdb.AsSpan().IndexOf(place));
    }

    [Fact]
    public async Task The_READMEs_example_runs_in_an_empty_project_outside_the_repository()
    {
        string folder = await Consumer("app");
        string readme = await File.ReadAllTextAsync(Path.Combine(Delivery.Repository, "README.md"));
        await File.WriteAllTextAsync(Path.Combine(folder, "Program.cs"), Example().Match(readme).Groups[1].Value);
        await Add(folder, "Arrakis.Analysis");
        Ran ran = (await Ran.Dotnet(["run", "-c", "Release"], folder)).Succeeded();
        Assert.StartsWith("head 3 looks from 5 to 2 with 0.", ran.Lines[0], StringComparison.Ordinal);
        Assert.Contains(ran.Lines, line => line.Contains("of what stands there; identity off by ", StringComparison.Ordinal));
        Assert.Matches("^1( -> .*)?   [+-]0\\.[0-9]{3}$", ran.Lines[^1]);
    }

    [Theory]
    [InlineData("src/Arrakis.Native/PACKAGE.md", "Arrakis.Native")]
    [InlineData("src/Arrakis.Analysis/PACKAGE.md", "Arrakis.Analysis")]
    public async Task The_example_on_a_packages_page_runs_on_a_model_of_the_users(string page, string package)
    {
        string folder = await Consumer("page");
        string model = Path.Combine(AppContext.BaseDirectory, "Golden", "gqa-f32");
        string code = Example().Match(await File.ReadAllTextAsync(Path.Combine(Delivery.Repository, page))).Groups[1].Value;
        await File.WriteAllTextAsync(Path.Combine(folder, "Program.cs"), code.Replace("path/to/model", model, StringComparison.Ordinal).Replace("99", "42", StringComparison.Ordinal));
        await Add(folder, package);
        (await Ran.Dotnet(["run", "-c", "Release"], folder)).Succeeded();
    }

    [Fact]
    public async Task The_example_on_the_tokenizers_page_tells_a_tale()
    {
        string folder = await Consumer("text");
        string code = Example().Match(await File.ReadAllTextAsync(Path.Combine(Delivery.Repository, "src", "Arrakis.Text", "PACKAGE.md"))).Groups[1].Value;
        string model = Path.Combine(Delivery.Repository, "weights", "tales");
        await File.WriteAllTextAsync(Path.Combine(folder, "Program.cs"), code
            .Replace("path/to/model", model, StringComparison.Ordinal).Replace("Once upon a time", "When Mara and Jon went to the well, Jon gave the cup to", StringComparison.Ordinal));
        await Add(folder, "Arrakis.Text");
        Ran ran = (await Ran.Dotnet(["run", "-c", "Release"], folder)).Succeeded();
        Assert.Contains("<s>|When|Mara|and|Jon|went", ran.Lines[0], StringComparison.Ordinal);
        Assert.StartsWith("Mara", ran.Lines[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_tool_installs_and_tells_its_story_in_any_folder()
    {
        string folder = delivery.NewFolder(), packages = await delivery.Packages();
        (await Ran.Dotnet(["tool", "install", "arrakis", "--version", Delivery.Version, "--tool-path", "tools", "--add-source", packages], folder, ("NUGET_PACKAGES", delivery.PackageCache))).Succeeded();
        string tool = Path.Combine(folder, "tools", "arrakis"), elsewhere = delivery.NewFolder();
        Ran story = (await Ran.Process(tool, [], elsewhere)).Succeeded();
        Assert.Contains("Next:   Mara (", story.Output, StringComparison.Ordinal);
        Ran json = (await Ran.Process(tool, ["info", "--json", "--model", "induction-gqa"], elsewhere)).Succeeded();
        Assert.StartsWith("{", json.Output, StringComparison.Ordinal);
        Ran wrong = await Ran.Process(tool, ["flow", "--nothing"], elsewhere);
        Assert.Equal(2, wrong.ExitCode);
    }

    /// <summary>An empty project that finds packages in the folder and, for what is not there, where this machine's NuGet looks anyway.</summary>
    private async Task<string> Consumer(string name)
    {
        string folder = Directory.CreateDirectory(Path.Combine(delivery.NewFolder(), name)).FullName, packages = await delivery.Packages();
        (await Ran.Dotnet(["new", "console", "--no-restore"], folder)).Succeeded();
        await File.WriteAllTextAsync(Path.Combine(folder, "nuget.config"), $"""
            <configuration>
              <config><add key="globalPackagesFolder" value="{delivery.PackageCache}" /></config>
              <packageSources><add key="here" value="{packages}" /></packageSources>
            </configuration>
            """);
        return folder;
    }

    private static async Task Add(string folder, string package) => (await Ran.Dotnet(["add", "package", package, "--version", Delivery.Version], folder)).Succeeded();

    private async Task<ZipArchive> Open(string file) => await ZipFile.OpenReadAsync(Path.Combine(await delivery.Packages(), file));

    private static XDocument Manifest(ZipArchive package)
    {
        using Stream stream = package.Entries.Single(entry => entry.Name.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
        return XDocument.Load(stream);
    }

    private static byte[] Bytes(ZipArchiveEntry entry)
    {
        using Stream stream = entry.Open();
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        return copy.ToArray();
    }

    [GeneratedRegex("```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Example();
}
