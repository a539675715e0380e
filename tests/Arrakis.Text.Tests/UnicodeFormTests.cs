using System.Text;
using Arrakis.Native.Tests.Support;
using Arrakis.Text.Steps;

namespace Arrakis.Text.Tests;

/// <summary>Unicode's normal forms. Every program of this repository runs without the tables for them, so a child process runs what needs them.</summary>
public sealed class UnicodeFormTests
{
    private const string WithoutTables = "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT";

    // é, ﬁ and the Å that is the unit: composed, decomposed, and with the compatible characters in their place.
    [Theory]
    [InlineData("NFC", "\u00E9\uFB01\u00C5")]
    [InlineData("NFD", "e\u0301\uFB01A\u030A")]
    [InlineData("NFKC", "\u00E9fi\u00C5")]
    [InlineData("NFKD", "e\u0301fiA\u030A")]
    public void A_form_is_refused_without_tables_and_takes_any_text_with_them(string form, string normalized)
    {
        string json = $$"""{"type":"{{form}}"}""";
        if (Environment.GetEnvironmentVariable(WithoutTables) is not "0")
        {
            // .NET then calls any text normalized; a wrong token would come of it.
            Native.ModelFormatException refusal = Assert.Throws<Native.ModelFormatException>(() => StepTests.Read(json, Normalizers.Read));
            Assert.Contains("Unicode's tables", refusal.Message, StringComparison.Ordinal);
            return;
        }

        Func<string, string> normalize = StepTests.Read(json, Normalizers.Read);
        const string Text = "e\u0301\uFB01\u212B";
        Assert.Equal(normalized, normalize(Text));
        Assert.Equal($"{normalized}\uFFFE\u0301\uFFFE\uFFFE{normalized}\uFFFE", normalize($"{Text}\uFFFE\u0301\uFFFE\uFFFE{Text}\uFFFE"));
        string all = normalize(string.Concat(Enumerable.Range(0, 0x110000).Where(Rune.IsValid).Select(char.ConvertFromUtf32)));
        Assert.Equal(all, normalize(all));
    }

    [FactWithTables]
    public async Task Forms_with_tables()
    {
        string output = await Rerun.Tests(
            typeof(UnicodeFormTests).Assembly, $"FullyQualifiedName~{nameof(A_form_is_refused_without_tables_and_takes_any_text_with_them)}", (WithoutTables, "0"));
        Assert.Matches("Passed: +4", output);
    }

    /// <summary>Skipped where .NET is told to do without, for want of ICU.</summary>
    private sealed class FactWithTablesAttribute : FactAttribute
    {
        public FactWithTablesAttribute() => Skip = Environment.GetEnvironmentVariable(WithoutTables) is "1" or "true" ? "This machine has no tables." : null;
    }
}
