using System.Text.Json;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary><c>arrakis report</c>.</summary>
public sealed class ReportTests
{
    [Fact]
    public void It_writes_the_page_its_numbers_and_its_graph_and_says_where()
    {
        using var folder = new TemporaryFolder();
        GoldenModel golden = GoldenModel.First;
        string page = folder.File("page.html"), data = folder.File("data.json"), graph = folder.File("graph.json");
        JsonElement said = golden.Call("report", "-o", page, "--data", data, "--graph", graph, "--dst", "-2", "--src", "1", "--token", "9", "--dim", "3");
        said.HasKeys("page", "data", "graph", "bytes", "position", "token", "src", "left_out");
        Assert.Equal((golden.Ids.Length - 2, 9, 1), (said.Int("position"), said.Int("token"), said.Int("src")));
        Assert.Equal(new FileInfo(page).Length, said.Int("bytes"));
        Assert.StartsWith("<!doctype html>", File.ReadAllText(page));
        JsonElement numbers = JsonDocument.Parse(File.ReadAllBytes(data)).RootElement;
        Assert.Equal("dim:3", numbers.GetProperty("reads")[numbers.Int("reads_open")].GetProperty("direction").GetString());
        Assert.Equal("links", JsonDocument.Parse(File.ReadAllBytes(graph)).RootElement.Keys()[^1]);
        // Only what was asked for, and nothing beside it.
        Assert.Equal(["data.json", "graph.json", "page.html"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void Its_logit_is_the_flows()
    {
        using var folder = new TemporaryFolder();
        GoldenModel golden = GoldenModel.First;
        string data = folder.File("data.json");
        golden.Call("report", "-o", folder.File("page.html"), "--data", data, "--src", "2");
        JsonElement report = JsonDocument.Parse(File.ReadAllBytes(data)).RootElement;
        int token = report.GetProperty("logit").Int("id");
        JsonElement flow = golden.Call("flow", "--src", "2", "--dst", "-1", "--target", $"token:{token}", "--all-sources");
        Assert.Equal(flow.Items("sources").Select(source => source.Number("flow")), report.GetProperty("logit").Items("sources").Select(source => source.Number("flow")));
        Assert.Equal(flow.Number("total"), report.Items("flows")[0].Number("total"));
    }

    [Fact]
    public void Without_a_model_and_a_prompt_it_reports_the_default()
    {
        using var folder = new TemporaryFolder();
        string page = folder.File("page.html");
        Assert.Contains("The page:", Called.Text("report", "-o", page, "--data", folder.File("data.json")));
        Assert.Contains("tales", File.ReadAllText(page), StringComparison.Ordinal);
        Assert.Contains("Mara", File.ReadAllText(folder.File("data.json")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "see arrakis report --help", "report")]
    [InlineData(2, "--traces is '0': use a whole number, 1 or more", "report", "-o", "{0}", "--traces", "0")]
    [InlineData(2, "name the same file", "report", "-o", "{0}", "--data", "{0}")]
    [InlineData(1, "--dst is 99, outside the input", "report", "-o", "{0}", "--dst", "99")]
    [InlineData(2, "--output is empty: name a file", "report", "-o", "")]
    [InlineData(2, "--data is empty: name a file", "report", "-o", "{0}", "--data", "")]
    [InlineData(2, "--src 3 comes after --dst 2: a token is only read by those after it; swap them", "report", "-o", "{0}", "--src", "3", "--dst", "2")]
    [InlineData(2, "--src 3 is position 3, after --dst -5 at 0", "report", "-o", "{0}", "--model", "induction", "--ids", "1,2,3,4,5", "--src", "3", "--dst", "-5")]
    [InlineData(1, "token 32 is outside the vocabulary of 32", "report", "-o", "{0}", "--model", "induction", "--token", "32")]
    [InlineData(1, "its folder does not exist; make it first", "report", "-o", "{0}", "--data", "{1}")]
    [InlineData(1, "it is a folder; name a file", "report", "-o", "{0}", "--graph", "{2}")]
    public void What_is_wrong_is_one_line_and_nothing_is_written(int code, string says, params string[] call)
    {
        using var folder = new TemporaryFolder();
        string page = folder.File("page.html"), nowhere = Path.Combine(folder.Path, "none", "data.json");
        Called called = Called.With([.. call.Select(word => word.Replace("{0}", page).Replace("{1}", nowhere).Replace("{2}", folder.Path))]);
        Assert.Equal(code, called.Code);
        Assert.Equal("", called.Output);
        Assert.StartsWith("arrakis: ", called.Error);
        Assert.Contains(says, called.Error);
        Assert.Equal(1, called.Error.Count(c => c == '\n'));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void A_page_that_is_there_outlives_a_call_that_fails()
    {
        using var folder = new TemporaryFolder();
        string page = folder.Write("page.html", "mine");
        Called called = Called.With("report", "-o", page, "--data", Path.Combine(folder.Path, "none", "data.json"));
        Assert.Equal(1, called.Code);
        Assert.Equal("mine", File.ReadAllText(page));
    }

    [Fact]
    public void It_stops_where_it_is_cancelled()
    {
        using var folder = new TemporaryFolder();
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Called called = Called.With(cancellation.Token, "report", "-o", folder.File("page.html"));
        Assert.Equal((130, "", ""), (called.Code, called.Output, called.Error));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }
}
