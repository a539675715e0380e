using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>Numbers for a document; it holds finite ones only.</summary>
internal static class Json
{
    // Tokens are text in any script, and no document is a part of a page.
    private static readonly JsonSerializerOptions s_readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A value as it is written into a document.</summary>
    public static string Text(JsonNode? value) => value?.ToJsonString(s_readable) ?? "null";

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

    /// <summary>A document in pieces: the items of its array <paramref name="key"/>, which it holds empty, one at a time.</summary>
    public static IEnumerable<string> Pieces(JsonObject document, string key, IEnumerable<JsonNode> items)
    {
        string before = "{";
        foreach ((string name, JsonNode? value) in document)
        {
            string field = $"{before}{Text(JsonValue.Create(name))}:";
            before = ",";
            if (name != key)
            {
                yield return field + Text(value);
                continue;
            }

            yield return field + "[";
            bool isFirst = true;
            foreach (JsonNode item in items)
            {
                yield return (isFirst ? "" : ",") + Text(item);
                isFirst = false;
            }

            yield return "]";
        }

        yield return "}";
    }

    /// <summary>A number of a result, which is finite unless the model is broken.</summary>
    public static double Finite(double value) =>
        double.IsFinite(value) ? value : throw new ArrakisException($"the result holds {value}: the model's weights or activations hold values that are not finite");
}
