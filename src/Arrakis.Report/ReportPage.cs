using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;
using System.Text;

namespace Arrakis.Report;

/// <summary>The page: one HTML file with its style, its program and its data in it, that asks the network for nothing.</summary>
public static class ReportPage
{
    // One picture a file; common.js first, because the others add to what it begins, and start.js, which draws them, last.
    private static readonly string[] s_scripts =
    [
        "common.js", "format.js", "data.js", "maps.js", "tokens.js", "attention.js", "pattern.js", "writes.js", "reads.js", "composition.js", "sources.js", "flow.js",
        "flowpanel.js", "start.js",
    ];

    /// <summary>Writes the page.</summary>
    public static void Write(HeadReport report, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(stream);
        string page = Resource("page.html");
        var parts = new Dictionary<string, Func<string>>
        {
            ["title"] = () => WebUtility.HtmlEncode($"{report.Model}: what its attention heads did"),
            ["style"] = () => Resource("page.css"),
            ["script"] = () => string.Join('\n', s_scripts.Select(Resource)),
            ["data"] = () => Convert.ToBase64String(Pack(report)),
        };
        using var writer = new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true);
        int at = 0;
        while (page.IndexOf("{{", at, StringComparison.Ordinal) is >= 0 and int begin)
        {
            int end = page.IndexOf("}}", begin, StringComparison.Ordinal);
            writer.Write(page.AsSpan(at, begin - at));
            writer.Write(parts[page[(begin + 2)..end]]());
            at = end + 2;
        }

        writer.Write(page.AsSpan(at));
    }

    /// <summary>
    /// The document and its packed numbers, deflated as zlib does: the length of the document's bytes, the document, spaces up to a multiple of four, the numbers.
    /// </summary>
    private static byte[] Pack(HeadReport report)
    {
        var numbers = new PackedNumbers();
        using var document = new MemoryStream();
        ReportData.Write(report, document, numbers);
        while (document.Length % sizeof(float) != 0)
            document.WriteByte((byte)' ');
        using var packed = new MemoryStream();
        using (var deflate = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            Span<byte> length = stackalloc byte[sizeof(uint)];
            BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)document.Length);
            deflate.Write(length);
            deflate.Write(document.GetBuffer(), 0, (int)document.Length);
            deflate.Write(numbers.Bytes);
        }

        return packed.ToArray();
    }

    private static string Resource(string name)
    {
        using Stream stream = typeof(ReportPage).Assembly.GetManifestResourceStream($"Page/{name}")
            ?? throw new InvalidOperationException($"the page's {name} is not in the assembly");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
