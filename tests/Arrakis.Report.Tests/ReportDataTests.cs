using System.Text.Json;
using Arrakis.Analysis;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Report.Tests;

/// <summary>The numbers behind the page are the analyses' own, and add up.</summary>
public sealed class ReportDataTests
{
    // Sums of float32 parts in double: what the analyses themselves are held to.
    private const double Rounding = 1e-4;

    [Fact]
    public void It_holds_what_the_page_shows_under_these_names()
    {
        using Reported reported = Reported.Golden();
        JsonElement data = reported.Data();
        Assert.Equal(
            ["format", "version", "model", "tokens", "attention", "writes", "reads", "reads_open", "composition", "logit", "flows", "left_out"],
            data.EnumerateObject().Select(field => field.Name));
        Assert.Equal("arrakis-report", data.Text("format"));
        Assert.Equal(reported.Model.Config.NumHiddenLayers, data.GetProperty("model").Int("layers"));
    }

    [Fact]
    public void Predictions_are_the_softmax_of_the_runs_logits()
    {
        using Reported reported = Reported.Golden();
        int vocabulary = reported.Model.Config.VocabSize;
        foreach (JsonElement token in reported.Data().Items("tokens"))
        {
            int t = token.Int("position");
            ReadOnlySpan<float> logits = reported.Cache.Flat(HookPoint.Logits).Slice(t * vocabulary, vocabulary);
            double[] probabilities = Softmax(logits);
            int[] order = [.. Enumerable.Range(0, vocabulary).OrderByDescending(id => probabilities[id])];
            JsonElement[] top = token.Items("top");
            Assert.Equal(order[..5], top.Select(candidate => candidate.Int("id")));
            Close.ToLargest([.. order[..5].Select(id => probabilities[id])], [.. top.Select(candidate => candidate.Number("prob"))], 1e-12, "probabilities");
            if (t + 1 == reported.Cache.Tokens)
            {
                Assert.Equal(JsonValueKind.Null, token.GetProperty("next").ValueKind);
                continue;
            }

            JsonElement next = token.GetProperty("next");
            Assert.Equal(reported.Cache.Ids[t + 1], next.Int("id"));
            Assert.Equal(Array.IndexOf(order, next.Int("id")), next.Int("rank"));
        }
    }

    [Fact]
    public void Patterns_are_those_of_the_run_and_each_row_is_a_whole()
    {
        using Reported reported = Reported.Golden();
        JsonElement attention = reported.Data().GetProperty("attention");
        Assert.InRange(attention.Number("error"), 0, 1e-5);
        Assert.Equal(reported.Model.Config.NumHiddenLayers * reported.Model.Config.NumAttentionHeads, attention.Items("heads").Length);
        foreach (JsonElement head in attention.Items("heads"))
        {
            JsonElement[] rows = head.Items("pattern");
            Assert.Equal(reported.Cache.Tokens, rows.Length);
            for (int t = 0; t < rows.Length; t++)
            {
                float[] row = [.. rows[t].EnumerateArray().Select(weight => weight.GetSingle())];
                Assert.Equal(t + 1, row.Length);
                for (int s = 0; s < row.Length; s++)
                    Assert.Equal(reported.Cache[HookPoint.Pattern, head.Int("layer")][head.Int("head"), t, s], row[s]);
            }
        }
    }

    [Fact]
    public void Writes_and_reads_are_those_that_the_analysis_measures()
    {
        using Reported reported = Reported.Golden(new ReportOptions { Dimension = 7, Threshold = 0.5 });
        JsonElement data = reported.Data();
        foreach (JsonElement layer in data.GetProperty("writes").Items("layers"))
        {
            HeadWrites expected = HeadWrites.Measure(reported.Model, reported.Cache, layer.Int("layer"), Reported.OneThread);
            Assert.Equal(expected.Select(0.5).Select(head => head.Head), layer.GetProperty("selected").EnumerateArray().Select(head => head.GetInt32()));
            foreach (JsonElement head in layer.Items("heads"))
            {
                Assert.Equal(expected.Strengths[head.Int("head")], head.Number("strength"));
                Assert.Equal(expected.Norms(head.Int("head")).ToArray(), head.Numbers("norm").Select(number => (float)number));
            }
        }

        JsonElement opened = data.Items("reads")[data.Int("reads_open")];
        Assert.Equal("dim:7", opened.Text("direction"));
        foreach (JsonElement layer in opened.Items("layers"))
        {
            HeadReads expected = HeadReads.Measure(reported.Model, reported.Cache, layer.Int("layer"), ReadDirection.Dimension(7), HeadInputs.All, Reported.OneThread);
            Assert.Equal(expected.Strengths.ToArray().Select(strength => (float)strength), layer.Numbers("strength").Select(number => (float)number));
            for (int h = 0; h < expected.Heads; h++)
                Close.To(expected.ZShares(h).ToArray().Average(share => (double)share), layer.Numbers("v_share")[h], 1e-6, "a mean share", scale: 1);
        }
    }

    [Theory]
    [InlineData(MlpTreatment.Frozen)]
    [InlineData(MlpTreatment.Source)]
    public void Sources_add_up_to_the_logit(MlpTreatment mlp)
    {
        using Reported reported = Reported.Golden(new ReportOptions { Mlp = mlp });
        JsonElement logit = reported.Data().GetProperty("logit");
        double sum = logit.Items("sources").Sum(source => source.Number("flow"));
        if (mlp == MlpTreatment.Source)
            sum += logit.Items("mlp_sources").Sum(source => source.Number("flow"));
        double scale = logit.Items("sources").Max(source => Math.Abs(source.Number("flow")));
        Close.To(logit.Number("logit"), sum, Rounding, "the sum of the sources", scale);
        Close.To(logit.Number("logit"), logit.Number("sum"), Rounding, "sum", scale);

        JsonElement direct = logit.GetProperty("direct");
        double parts = direct.Number("embedding") + direct.Items("layers").Sum(layer => layer.Number("mlp") + layer.Numbers("heads").Sum());
        Close.To(logit.Number("logit"), parts, Rounding, "the sum of the writes", scale);
    }

    [Fact]
    public void What_passes_the_tokens_is_the_total_at_every_height()
    {
        using Reported reported = Reported.Golden();
        JsonElement[] flows = reported.Data().Items("flows");
        Assert.Equal(flows.Length, flows.Select(flow => flow.Int("src")).Distinct().Count());
        foreach (JsonElement flow in flows)
        {
            double total = flow.Number("total");
            JsonElement[] through = flow.Items("through"), stays = flow.Items("stays");
            double scale = flow.Items("edges").Select(edge => Math.Abs(edge.Number("flow"))).Append(Math.Abs(total)).Max();
            Assert.Equal(reported.Model.Config.NumHiddenLayers + 1, through.Length);
            Assert.All(through, height => Close.To(total, height.Numbers("tokens").Sum(), Rounding, "what passes", scale));
            // Whatever has not come to the destination after the last layer never does: there is nothing of the kind.
            double[] last = through[^1].Numbers("tokens");
            for (int t = 0; t < last.Length; t++)
                Close.To(t == flow.Int("dst") ? total : 0, last[t], Rounding, $"what passes {t} after the last layer", scale);
            foreach (JsonElement cut in flow.Items("per_layer"))
                Close.To(cut.Number("residual"), stays[cut.Int("layer")].Numbers("tokens").Sum(), Rounding, "what stays", scale);
            Close.To(flow.Number("coverage") * total, flow.Items("paths").Sum(path => path.Number("flow")), Rounding, "coverage", scale);
        }
    }

    [Fact]
    public void The_flow_that_was_asked_for_comes_first()
    {
        using Reported reported = Reported.Golden(new ReportOptions { Destination = 4, Source = 2, Token = 9, Traces = 3 });
        JsonElement data = reported.Data(), logit = data.GetProperty("logit");
        Assert.Equal((4, 9), (logit.Int("position"), logit.Int("id")));
        Assert.Equal(reported.Cache[HookPoint.Logits][4, 9], (float)logit.Number("logit"));
        Assert.Equal(2, data.Items("flows")[0].Int("src"));
        Assert.Equal(3, data.Items("flows").Length);
    }

    [Fact]
    public void Labels_are_read_where_there_are_any_and_ids_where_not()
    {
        using Reported named = Reported.Golden(new ReportOptions { Label = id => $"<{id}>" });
        using Reported plain = Reported.Golden();
        JsonElement first = named.Data().Items("tokens")[0];
        Assert.Equal($"<{first.Int("id")}>", first.Text("text"));
        Assert.Equal($"{first.Int("id")}", plain.Data().Items("tokens")[0].Text("text"));
    }

    [Fact]
    public void One_token_and_one_layer_are_a_report_too()
    {
        using Reported reported = Reported.Random(layers: 1, heads: 2, tokens: 1);
        JsonElement data = reported.Data();
        Assert.Empty(data.Items("left_out"));
        Assert.Equal("unembedding", data.Items("reads")[data.Int("reads_open")].Text("kind"));
        Close.To(data.GetProperty("logit").Number("logit"), data.Items("flows").Single().Number("total"), Rounding, "all of it");
    }

    [Fact]
    public void Too_much_is_left_out_and_said()
    {
        // 80,200 spots a head, of which 4.3 million fit: 53 of 64 heads; and 5.1 million edges, more than are held.
        using Reported reported = Reported.Random(layers: 2, heads: 32, tokens: 400, new ReportOptions { Traces = 2, Paths = 3 });
        JsonElement data = reported.Data();
        string[] leftOut = [.. data.Items("left_out").Select(sentence => sentence.GetString()!)];
        Assert.Equal(53, data.GetProperty("attention").Items("heads").Length);
        Assert.Contains(leftOut, sentence => sentence.StartsWith("The attention patterns of 11 of 64 heads", StringComparison.Ordinal));
        Assert.Contains(leftOut, sentence => sentence.StartsWith("What stays at each token", StringComparison.Ordinal));
        Assert.Contains(leftOut, sentence => sentence.StartsWith("Composition scores of all but the strongest 500 of 1024", StringComparison.Ordinal));
        Assert.Contains(leftOut, sentence => sentence.StartsWith("The flow from ", StringComparison.Ordinal));
        Assert.Equal(JsonValueKind.Null, data.Items("flows")[0].GetProperty("stays").ValueKind);
        Assert.Equal(JsonValueKind.Null, data.Items("flows")[0].GetProperty("edges_in_all").ValueKind);
        Assert.InRange(reported.Page().Length, 0, 20_000_000);
    }

    [Theory]
    [InlineData(99, null, null, null, "the destination is 99, outside the input of")]
    [InlineData(-1, null, null, null, "the destination is -1, outside the input of")]
    [InlineData(null, 97, null, null, "token 97 is outside the vocabulary of 97")]
    [InlineData(2, null, 3, null, "the source is 3, after the destination 2")]
    [InlineData(2, null, -3, null, "the source is -3: positions count from 0")]
    [InlineData(null, null, null, 40, "dimension 40 is not in the residual stream: use 0 to 39")]
    public void What_there_is_not_is_refused(int? destination, int? token, int? source, int? dimension, string says)
    {
        var options = new ReportOptions { Destination = destination, Token = token, Source = source, Dimension = dimension };
        ArrakisException refused = Assert.Throws<ArrakisException>(() => Reported.Golden(options));
        Assert.StartsWith(says, refused.Message);
    }

    [Fact]
    public void A_recording_that_lacks_something_is_refused_by_its_name()
    {
        using Reported reported = Reported.Golden();
        using LlamaSession session = reported.Model.CreateSession(RecordingPlan.Flow);
        session.Forward(reported.Cache.Ids);
        ArrakisException refused = Assert.Throws<ArrakisException>(() => HeadReport.Measure(reported.Model, session.Cache));
        Assert.Equal("logits is not recorded: record 'logits'", refused.Message);
    }

    [Fact]
    public void It_stops_where_it_is_cancelled()
    {
        using Reported reported = Reported.Golden();
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => HeadReport.Measure(reported.Model, reported.Cache, cancellation: cancellation.Token));
    }

    private static double[] Softmax(ReadOnlySpan<float> logits)
    {
        double[] exponents = [.. logits.ToArray().Select(logit => Math.Exp(logit))];
        double sum = exponents.Sum();
        return [.. exponents.Select(exponent => exponent / sum)];
    }
}
