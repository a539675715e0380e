using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary>A golden model, and what a float64 program computed from it under the field names of the command's JSON.</summary>
internal sealed class GoldenModel
{
    // Stated by the project: float32 against float64, relative to the largest of its kind.
    public const double Tolerance = 1e-4;

    private GoldenModel(string folder)
    {
        Folder = folder;
        Json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json"))).RootElement;
        Config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement;
        Ids = [.. Json.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
    }

    /// <summary>For <c>[MemberData]</c>.</summary>
    public static TheoryData<string> Names => ["gqa-f32", "mha-tied-f16", "mqa-llama3-bf16-sharded"];

    public static GoldenModel First => Load("gqa-f32");

    public string Folder { get; }

    public JsonElement Json { get; }

    public JsonElement Config { get; }

    public int[] Ids { get; }

    public int Layers => Config.GetProperty("num_hidden_layers").GetInt32();

    public int Heads => Config.GetProperty("num_attention_heads").GetInt32();

    /// <summary>The options that name the model and its input; one thread, because test classes run beside each other.</summary>
    public string[] Options => ["--model", Folder, "--ids", string.Join(',', Ids), "--threads", "1"];

    public static GoldenModel Load(string name) => new(Path.Combine(AppContext.BaseDirectory, "Golden", name));

    /// <summary>The document of a call with this model and input.</summary>
    public JsonElement Call(params string[] args) => Called.Json([.. args, .. Options]);
}

/// <summary>Looking at documents.</summary>
internal static class Documents
{
    public static string[] Keys(this JsonElement e) => [.. e.EnumerateObject().Select(property => property.Name)];

    public static JsonElement[] Items(this JsonElement e, string key) => [.. e.GetProperty(key).EnumerateArray()];

    public static int Int(this JsonElement e, string key) => e.GetProperty(key).GetInt32();

    public static double Number(this JsonElement e, string key) => e.GetProperty(key).GetDouble();

    public static int[] Ints(this JsonElement e, string key) => [.. e.GetProperty(key).EnumerateArray().Select(i => i.GetInt32())];

    /// <summary>All numbers of a value, whatever its nesting, in order.</summary>
    public static IEnumerable<double> Numbers(this JsonElement e) =>
        e.ValueKind == JsonValueKind.Array ? e.EnumerateArray().SelectMany(Numbers) : [e.GetDouble()];

    public static double[] Numbers(this JsonElement e, string key) => [.. e.GetProperty(key).Numbers()];

    /// <summary>Asserts that a document has exactly these keys, in this order.</summary>
    public static void HasKeys(this JsonElement e, params string[] keys) => Assert.Equal(keys, e.Keys());

    public static void Same(double[] expected, double[] actual, string what) => Close.ToLargest(expected, actual, GoldenModel.Tolerance, what);
}
