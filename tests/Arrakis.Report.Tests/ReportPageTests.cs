using System.Buffers.Binary;
using System.IO.Compression;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Arrakis.Report.Tests;

/// <summary>The page holds everything it needs, and the numbers of the document.</summary>
public sealed partial class ReportPageTests
{
    // A 65535th, rounded: half of one, and what a float of that size rounds.
    private const double OfPatterns = 0.5 / 65535 + 1e-7;

    [Fact]
    public void Its_data_are_the_document_with_long_rows_packed()
    {
        using Reported reported = Reported.Golden();
        (JsonElement packed, byte[] numbers) = Unpack(reported.Page());
        Same(reported.Data(), packed, numbers, "$");
    }

    [Fact]
    public void It_names_the_model_and_not_where_it_lies()
    {
        using Reported reported = Reported.Golden();
        string page = reported.Page();
        Assert.Contains("<title>gqa-f32: ", page);
        string name = reported.Model.Name;
        Assert.NotEqual("gqa-f32", name);
        Assert.DoesNotContain(name, page);
        JsonElement[] documents = [Unpack(page).Document, reported.Data(), reported.Graph()];
        Assert.Equal(["gqa-f32", "gqa-f32"], documents[..2].Select(document => document.GetProperty("model").Text("name")));
        Assert.Equal("gqa-f32", documents[2].GetProperty("metadata").Text("scan"));
        Assert.All(documents, document => Assert.DoesNotContain(name, document.GetRawText()));
    }

    [Fact]
    public void It_names_no_other_place()
    {
        using Reported reported = Reported.Golden();
        string page = DataScript().Replace(reported.Page(), "");
        // The one name that looks like an address is SVG's.
        Assert.Equal(["http://www.w3.org/2000/svg"], Address().Matches(page).Select(match => match.Value).Distinct());
        Assert.All(Reference().Matches(page), match => Assert.Matches("^(#|data:)", match.Groups[1].Value));
        Assert.Contains("default-src 'none'", page);
        Assert.DoesNotContain("{{", page);
    }

    [Theory]
    [InlineData("</script><script>alert(1)</script>")]
    [InlineData("{{data}} & <b>\"'")]
    public void Names_are_never_read_as_markup(string name)
    {
        using Reported reported = Reported.Golden(new ReportOptions { Label = _ => name });
        string page = reported.Page();
        Assert.DoesNotContain(name, page);
        Assert.Equal(name, Unpack(page).Document.GetProperty("tokens")[0].GetProperty("text").GetString());
    }

    [Fact]
    public void Sixty_four_tokens_of_32_layers_of_32_heads_stay_under_20_MB()
    {
        using Reported reported = Reported.Random(layers: 32, heads: 32, tokens: 64, new ReportOptions { Traces = 1, Paths = 1, Composition = false });
        Assert.Equal(32 * 32, reported.Report.Patterns.Count);
        Assert.InRange(reported.Page().Length, 1_000_000, 20_000_000);
    }

    private static (JsonElement Document, byte[] Numbers) Unpack(string page)
    {
        byte[] deflated = Convert.FromBase64String(DataScript().Match(page).Groups[1].Value);
        using var inflate = new ZLibStream(new MemoryStream(deflated), CompressionMode.Decompress);
        using var all = new MemoryStream();
        inflate.CopyTo(all);
        byte[] bytes = all.ToArray();
        int length = (int)BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        Assert.Equal(0, length % 4);
        return (JsonDocument.Parse(bytes.AsMemory(4, length)).RootElement, bytes[(4 + length)..]);
    }

    private static void Same(JsonElement expected, JsonElement packed, byte[] numbers, string place)
    {
        if (packed.ValueKind == JsonValueKind.Object && packed.TryGetProperty("packed", out JsonElement type))
        {
            SameRow(Flat(expected), type.GetString()!, packed, numbers, place);
            return;
        }

        Assert.True(expected.ValueKind == packed.ValueKind, $"{place} is {packed.ValueKind}, not {expected.ValueKind}");
        switch (expected.ValueKind)
        {
            case JsonValueKind.Object:
                Assert.Equal(expected.EnumerateObject().Select(field => field.Name), packed.EnumerateObject().Select(field => field.Name));
                foreach (JsonProperty field in expected.EnumerateObject())
                    Same(field.Value, packed.GetProperty(field.Name), numbers, $"{place}.{field.Name}");
                break;
            case JsonValueKind.Array:
                Assert.Equal(expected.GetArrayLength(), packed.GetArrayLength());
                for (int i = 0; i < expected.GetArrayLength(); i++)
                    Same(expected[i], packed[i], numbers, $"{place}[{i}]");
                break;
            default:
                Assert.Equal(expected.GetRawText(), packed.GetRawText());
                break;
        }
    }

    private static void SameRow(float[] expected, string type, JsonElement packed, byte[] numbers, string place)
    {
        int at = packed.Int("at"), size = type == "f32" ? sizeof(float) : sizeof(ushort);
        Assert.Equal(expected.Length, packed.Int("count"));
        Assert.Equal(0, at % sizeof(float));
        for (int i = 0; i < expected.Length; i++)
        {
            ReadOnlySpan<byte> bytes = numbers.AsSpan(at + i * size);
            double value = type == "f32" ? BinaryPrimitives.ReadSingleLittleEndian(bytes) : BinaryPrimitives.ReadUInt16LittleEndian(bytes) / 65535.0;
            Assert.True(Math.Abs(value - expected[i]) <= (type == "f32" ? 0 : OfPatterns), $"{place}[{i}] is {value:R}, not {expected[i]:R}");
        }
    }

    private static float[] Flat(JsonElement e) => e.ValueKind == JsonValueKind.Array ? [.. e.EnumerateArray().SelectMany(Flat)] : [e.GetSingle()];

    [GeneratedRegex("""<script type="text/plain" id="data">([^<]*)</script>""")]
    private static partial Regex DataScript();

    [GeneratedRegex("""https?://[^"'\s)]*""")]
    private static partial Regex Address();

    [GeneratedRegex("""(?:src|href)="([^"]*)"|url\(([^)]*)\)""")]
    private static partial Regex Reference();
}
