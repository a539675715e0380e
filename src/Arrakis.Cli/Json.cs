using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>Numbers for a document; it holds finite ones only.</summary>
internal static class Json
{
    public static JsonValue Number(double value) => JsonValue.Create(Finite(value));

    /// <summary>As many digits as a float has.</summary>
    public static JsonValue Number(float value)
    {
        Finite(value);
        return JsonValue.Create(value);
    }

    public static JsonArray Numbers(ReadOnlySpan<float> values)
    {
        var array = new JsonArray();
        foreach (float value in values)
            array.Add((JsonNode)Number(value));
        return array;
    }

    public static JsonArray Numbers(IEnumerable<double> values) => Array(values.Select(value => Number(value)));

    public static JsonArray Numbers(IEnumerable<int> values) => Array(values.Select(value => JsonValue.Create(value)));

    public static JsonArray Array(IEnumerable<JsonNode?> items) => [.. items];

    private static double Finite(double value) =>
        double.IsFinite(value) ? value : throw new ArrakisException($"the result holds {value}: the model's weights or activations hold values that are not finite");
}
