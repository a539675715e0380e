using System.Text;
using System.Text.Json;

namespace Arrakis.Native.Weights;

/// <summary>
/// A JSON object out of a file, read field by field; every refusal names the file, the key and the value. A null counts as absent, as in Hugging Face's configurations.
/// </summary>
internal sealed class JsonFields
{
    private const long LongestFile = 100_000_000;

    private readonly Dictionary<string, JsonElement> _fields = [];
    private readonly string _prefix;

    private JsonFields(string path, string prefix, JsonElement element)
    {
        Path = path;
        _prefix = prefix;
        foreach (JsonProperty field in element.EnumerateObject())
        {
            if (!_fields.TryAdd(field.Name, field.Value))
                throw Fault(field.Name, "stands twice");
        }
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The keys of the object.</summary>
    public IReadOnlyCollection<string> Keys => _fields.Keys;

    /// <summary>Reads a file that must hold one JSON object, and hands it to <paramref name="use"/>.</summary>
    public static T Read<T>(string path, Func<JsonFields, T> use)
    {
        using MappedFile file = MappedFile.Copy(path, LongestFile, "JSON");
        byte[] bytes = file.Span(0, (int)file.Length).ToArray();
        int start = bytes.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0;
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes.AsMemory(start));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw Said.Fault(path, $"holds a JSON {KindOf(document.RootElement)}, where an object is wanted");
            return use(new JsonFields(path, "", document.RootElement));
        }
        catch (JsonException e)
        {
            throw Said.Fault(path, $"{WhereJsonBreaks(bytes.AsSpan(start))} on line {e.LineNumber + 1}", e);
        }
        catch (InvalidOperationException e)
        {
            // Text that is no UTF-8, or half a surrogate pair, shows only when it is read.
            throw Said.Fault(path, "holds text that is not Unicode", e);
        }
    }

    /// <summary>Whether a key is there and not null.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>Whether a key is there, even with a null.</summary>
    public bool HasKey(string key) => _fields.ContainsKey(key);

    /// <summary>An integer that must be there.</summary>
    public int Integer(string key) => OptionalInteger(key) ?? throw Fault(key, "is missing");

    /// <summary>An integer, or null where there is none.</summary>
    public int? OptionalInteger(string key) => Find(key) is JsonElement value ? ToInteger(key, value) : null;

    /// <summary>A number that must be there.</summary>
    public double Number(string key) => OptionalNumber(key) ?? throw Fault(key, "is missing");

    /// <summary>A number, or null where there is none.</summary>
    public double? OptionalNumber(string key)
    {
        if (Find(key) is not JsonElement value)
            return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number))
            return number;
        throw Fault(key, $"is {Show(value)}: supported is a finite number");
    }

    /// <summary>True or false; absent is <paramref name="otherwise"/>.</summary>
    public bool Flag(string key, bool otherwise) => Find(key) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        JsonElement value => throw Fault(key, $"is {Show(value)}: supported is true or false"),
    };

    /// <summary>A string, or null where there is none.</summary>
    public string? OptionalText(string key)
    {
        if (Find(key) is not JsonElement value)
            return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Fault(key, $"is {Show(value)}: supported is a string");
    }

    /// <summary>An object, or null where there is none.</summary>
    public JsonFields? OptionalObject(string key)
    {
        if (Find(key) is not JsonElement value)
            return null;
        if (value.ValueKind != JsonValueKind.Object)
            throw Fault(key, $"is {Show(value)}: supported is an object");
        return new JsonFields(Path, $"{_prefix}{Said.Name(key)}.", value);
    }

    /// <summary>The objects of a list; empty where there is none.</summary>
    public List<JsonFields> Objects(string key)
    {
        var objects = new List<JsonFields>();
        foreach (JsonElement item in Items(key))
        {
            string place = $"{Said.Name(key)}[{objects.Count}]";
            if (item.ValueKind != JsonValueKind.Object)
                throw Fault(place, $"is {Show(item)}: supported is an object");
            objects.Add(new JsonFields(Path, $"{_prefix}{place}.", item));
        }

        return objects;
    }

    /// <summary>The values of a list; empty where there is none.</summary>
    public List<JsonElement> Items(string key)
    {
        if (Find(key) is not JsonElement value)
            return [];
        return value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : throw Fault(key, $"is {Show(value)}: supported is a list");
    }

    /// <summary>Whether a key holds an object.</summary>
    public bool IsObject(string key) => Find(key) is { ValueKind: JsonValueKind.Object };

    /// <summary>An integer, a list of integers, or nothing.</summary>
    public List<int> Integers(string key)
    {
        var values = new List<int>();
        if (Find(key) is not JsonElement value)
            return values;
        if (value.ValueKind != JsonValueKind.Array)
            values.Add(ToInteger(key, value));
        else
        {
            foreach (JsonElement item in value.EnumerateArray())
                values.Add(ToInteger(key, item));
        }

        return values;
    }

    /// <summary>A refusal: <c>file: key what</c>.</summary>
    public ModelFormatException Fault(string key, string what) => Said.Fault(Path, $"{_prefix}{Said.Name(key)} {what}");

    /// <summary>A refusal of the value that stands there: <c>file: key is value: supported is …</c>.</summary>
    public ModelFormatException Unsupported(string key, string supported) =>
        Fault(key, Find(key) is JsonElement value ? $"is {Show(value)}: supported is {supported}" : $"is missing: supported is {supported}");

    private JsonElement? Find(string key) =>
        _fields.TryGetValue(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private int ToInteger(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int integer)
            ? integer
            : throw Fault(key, $"is {Show(value)}: supported is an integer");

    private static string Show(JsonElement value) => Said.Name(value.GetRawText());

    private static string KindOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => "array",
        JsonValueKind.String => "string",
        JsonValueKind.Number => "number",
        JsonValueKind.Null => "null",
        _ => "true or false",
    };

    /// <summary>What stands where the JSON breaks, and after which key: Python writes NaN and Infinity, which are no JSON.</summary>
    private static string WhereJsonBreaks(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        string? key = null;
        try
        {
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.PropertyName)
                    key = reader.GetString();
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // This is the place that was looked for.
        }

        ReadOnlySpan<byte> rest = json[(int)reader.BytesConsumed..];
        rest = rest[..Math.Min(rest.Length, 40)].Trim(" :\t\r\n"u8);
        int end = rest.IndexOfAny(",}\n"u8);
        string found = Encoding.UTF8.GetString(end > 0 ? rest[..end] : rest);
        string value = found.Length == 0 ? "its end" : Said.Name(found);
        return key is null ? $"is not valid JSON at {value}" : $"{Said.Name(key)} is {value}: not valid JSON";
    }
}
