using System.Text.Json;
using Arrakis.Native.Tests.Reference;

namespace Arrakis.Native.Tests.Support;

/// <summary>
/// One golden model: a small random Llama with what an independent program computed from it in double precision.
/// </summary>
/// <param name="Name">The folder's name.</param>
/// <param name="Folder">The model's folder: config.json and safetensors.</param>
/// <param name="Ids">The input.</param>
/// <param name="Hooks">Every hook by TransformerLens name, stored as F32.</param>
/// <param name="Json">The analysis, with the field names of the command's JSON.</param>
public sealed record GoldenCase(string Name, string Folder, int[] Ids, IReadOnlyDictionary<string, TestTensor> Hooks, JsonElement Json)
{
    public ReferenceWeights Weights { get; } = ReferenceWeights.Load(Folder);

    public ReferenceRun Run() => new ReferenceModel(Weights).Run(Ids);
}

/// <summary>The golden models beside the tests. What is missing is a failure, never a test that quietly does nothing.</summary>
public static class Golden
{
    /// <summary>The models that must be there; a folder beyond these is tested as well.</summary>
    private static readonly string[] s_required = ["gqa-f32", "mha-tied-f16", "mqa-llama3-bf16-sharded"];

    public static string Root { get; } = Path.Combine(AppContext.BaseDirectory, "Golden");

    /// <summary>For <c>[MemberData]</c>: the name of every golden model.</summary>
    public static TheoryData<string> Names => [.. Find()];

    public static GoldenCase Load(string name)
    {
        string folder = Path.Combine(Root, name);
        JsonElement json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json"))).RootElement;
        int[] ids = [.. json.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
        return new GoldenCase(name, folder, ids, TestSafetensors.Read(Path.Combine(folder, "expected.safetensors")), json);
    }

    /// <summary>The name of every golden model.</summary>
    public static string[] Find()
    {
        string[] found = Directory.Exists(Root) ? [.. Directory.GetDirectories(Root).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)] : [];
        string[] missing = [.. s_required.Except(found)];
        return missing.Length == 0 ? found : throw new DirectoryNotFoundException($"{Root} lacks {string.Join(", ", missing)}");
    }
}
