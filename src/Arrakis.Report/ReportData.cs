using System.Text.Json;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Report;

/// <summary>
/// The numbers behind the page, as one JSON document; the page holds the same document with its long rows packed. Field names are those of the command's other
/// documents.
/// </summary>
/// <remarks>
/// <c>format</c>, <c>version</c>; <c>model</c>: name and shape; <c>tokens</c>: each with its likeliest successors and the one it has; <c>attention</c>: the pattern of
/// each head that there is room for, rows by query, that of query t with keys 0 … t; <c>writes</c>: per layer and head write norms and signed shares by token, OV norm
/// and strength, and the selected heads; <c>reads</c>: per direction and layer read weights q, k, v, strengths, and the mean over the tokens of the signed shares of q, k
/// and (as the pattern mixes it) v; <c>reads_open</c>: which the page opens with; <c>composition</c>: per kind the strongest pairs; <c>logit</c>: what is taken apart, by source token and, at its own position, by
/// head and MLP (<c>direct</c>); <c>flows</c>: from one position each, as <c>arrakis flow</c> gives them, with what passes (<c>through</c>) and stays
/// (<c>stays</c>) at each token; <c>left_out</c>: sentences.
/// </remarks>
public static class ReportData
{
    /// <summary>Writes the document.</summary>
    public static void Write(HeadReport report, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(stream);
        Write(report, stream, new WrittenNumbers());
    }

    internal static void Write(HeadReport report, Stream stream, Numbers numbers)
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("format", "arrakis-report");
        json.WriteString("version", "1");
        Model(json, report);
        Tokens(json, report);
        Attention(json, report, numbers);
        Writes(json, report, numbers);
        Reads(json, report, numbers);
        Composition(json, report);
        Logit(json, report, numbers);
        json.WriteStartArray("flows");
        foreach (FlowReport flow in report.Flows)
            FlowData.Write(json, flow, numbers);
        json.WriteEndArray();
        json.WriteStartArray("left_out");
        foreach (string sentence in report.LeftOut)
            json.WriteStringValue(sentence);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Model(Utf8JsonWriter json, HeadReport report)
    {
        LlamaConfig c = report.Config;
        json.WriteStartObject("model");
        json.WriteString("name", report.Model);
        json.WriteNumber("layers", c.NumHiddenLayers);
        json.WriteNumber("heads", c.NumAttentionHeads);
        json.WriteNumber("kv_heads", c.NumKeyValueHeads);
        json.WriteNumber("head_dim", c.HeadDim);
        json.WriteNumber("hidden_size", c.HiddenSize);
        json.WriteNumber("vocab_size", c.VocabSize);
        json.WriteNumber("parameters", c.ParameterCount);
        json.WriteEndObject();
    }

    private static void Tokens(Utf8JsonWriter json, HeadReport report)
    {
        json.WriteStartArray("tokens");
        foreach (TokenReport token in report.Tokens)
        {
            json.WriteStartObject();
            json.WriteNumber("position", token.Position);
            json.WriteNumber("id", token.Id);
            json.WriteString("text", token.Text);
            json.WriteStartArray("top");
            foreach (TokenCandidate candidate in token.Top)
                Candidate(json, candidate);
            json.WriteEndArray();
            json.WritePropertyName("next");
            if (token.Next is { } next)
                Candidate(json, next);
            else
                json.WriteNullValue();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void Candidate(Utf8JsonWriter json, TokenCandidate candidate)
    {
        json.WriteStartObject();
        Candidate(json, candidate.Id, candidate.Text, candidate.Logit, candidate.Probability, candidate.Rank);
        json.WriteEndObject();
    }

    private static void Candidate(Utf8JsonWriter json, int id, string text, double logit, double probability, int rank)
    {
        json.WriteNumber("id", id);
        json.WriteString("text", text);
        json.WriteNumber("logit", logit);
        json.WriteNumber("prob", probability);
        json.WriteNumber("rank", rank);
    }

    private static void Attention(Utf8JsonWriter json, HeadReport report, Numbers numbers)
    {
        json.WriteStartObject("attention");
        json.WriteStartArray("heads");
        foreach (AttentionPattern pattern in report.Patterns)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", pattern.Layer);
            json.WriteNumber("head", pattern.Head);
            numbers.Pattern(json, "pattern", pattern.Rows);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("error", report.PatternError);
        json.WriteEndObject();
    }

    private static void Writes(Utf8JsonWriter json, HeadReport report, Numbers numbers)
    {
        json.WriteStartObject("writes");
        json.WriteString("rule", RuleName(report.Rule));
        json.WriteNumber("threshold", report.Threshold);
        json.WriteStartArray("layers");
        foreach (HeadWrites layer in report.Writes)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", layer.Layer);
            Heads(json, "selected", layer.Select(report.Threshold, report.Rule));
            json.WriteNumber("error", layer.ShareError);
            json.WriteStartArray("heads");
            for (int h = 0; h < layer.Heads; h++)
            {
                json.WriteStartObject();
                json.WriteNumber("head", h);
                json.WriteNumber("strength", layer.Strengths[h]);
                json.WriteNumber("ov_norm", layer.OvNorms[h]);
                numbers.Row(json, "norm", layer.Norms(h));
                numbers.Row(json, "share", layer.Shares(h));
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Reads(Utf8JsonWriter json, HeadReport report, Numbers numbers)
    {
        json.WriteStartArray("reads");
        foreach (ReadReport read in report.Reads)
        {
            json.WriteStartObject();
            json.WriteString("direction", read.Layers.Count > 0 ? read.Layers[0].Direction.ToString() : "");
            json.WriteString("kind", read.Kind.ToString().ToLowerInvariant());
            json.WriteNumber("index", read.Index);
            if (read.Layer is { } writer)
                json.WriteNumber("layer", writer);
            if (read.Text is { } text)
                json.WriteString("text", text);
            json.WriteStartArray("layers");
            foreach (HeadReads layer in read.Layers)
                Read(json, layer, report, numbers);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("reads_open", report.OpenRead);
    }

    private static void Read(Utf8JsonWriter json, HeadReads layer, HeadReport report, Numbers numbers)
    {
        json.WriteStartObject();
        json.WriteNumber("layer", layer.Layer);
        Heads(json, "selected", layer.Select(report.Threshold, report.Rule));
        json.WriteNumber("error", layer.ShareError);
        numbers.Row(json, "strength", layer.Strengths);
        numbers.Row(json, "q", layer.QWeights);
        numbers.Row(json, "k", layer.KWeights);
        numbers.Row(json, "v", layer.VWeights);
        numbers.Row(json, "q_share", MeanShares.Q(layer));
        numbers.Row(json, "k_share", MeanShares.K(layer));
        numbers.Row(json, "v_share", MeanShares.V(layer));
        json.WriteEndObject();
    }

    private static void Composition(Utf8JsonWriter json, HeadReport report)
    {
        json.WriteStartArray("composition");
        foreach (CompositionReport kind in report.Composition)
        {
            json.WriteStartObject();
            json.WriteString("kind", kind.Kind.ToString().ToLowerInvariant());
            json.WriteNumber("pairs", kind.Pairs);
            json.WriteStartArray("scores");
            foreach (CompositionScore score in kind.Scores)
            {
                json.WriteStartObject();
                Head(json, "from", score.FromLayer, score.FromHead);
                Head(json, "to", score.ToLayer, score.ToHead);
                json.WriteNumber("score", score.Score);
                json.WriteNumber("normalized", score.Normalized);
                json.WriteNumber("ceiling", score.Ceiling);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void Logit(Utf8JsonWriter json, HeadReport report, Numbers numbers)
    {
        LogitReport logit = report.Logit;
        json.WriteStartObject("logit");
        json.WriteNumber("position", logit.Position);
        Candidate(json, logit.Token.Id, logit.Token.Text, logit.Token.Logit, logit.Token.Probability, logit.Token.Rank);
        json.WriteString("mlp", FlowData.MlpName(logit.Trace.Mlp));
        json.WriteStartArray("sources");
        for (int t = 0; t < logit.Trace.Sources!.Count; t++)
        {
            json.WriteStartObject();
            json.WriteNumber("position", t);
            json.WriteNumber("flow", logit.Trace.Sources[t]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (logit.Trace.MlpSources is { } mlps)
            FlowData.MlpSources(json, mlps);
        FlowConservation whole = logit.Trace.Conservation!.Value;
        json.WriteNumber("sum", whole.Sum);
        json.WriteNumber("expected", whole.Expected);
        json.WriteNumber("error", whole.Error);
        Direct(json, logit.Direct, numbers);
        json.WriteEndObject();
    }

    private static void Direct(Utf8JsonWriter json, DirectLogitAttribution direct, Numbers numbers)
    {
        json.WriteStartObject("direct");
        json.WriteNumber("embedding", direct.Embedding);
        json.WriteStartArray("layers");
        for (int layer = 0; layer < direct.Layers; layer++)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", layer);
            numbers.Row(json, "heads", direct.Heads(layer));
            json.WriteNumber("mlp", direct.Mlps[layer]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("sum", direct.Sum);
        json.WriteNumber("expected", direct.Logit);
        json.WriteNumber("error", direct.Error);
        json.WriteEndObject();
    }

    private static string RuleName(SelectionRule rule) => rule switch
    {
        SelectionRule.Share => "share",
        SelectionRule.Top => "top",
        _ => "max",
    };

    private static void Heads(Utf8JsonWriter json, string name, IReadOnlyList<HeadStrength> heads)
    {
        json.WriteStartArray(name);
        foreach (HeadStrength head in heads)
            json.WriteNumberValue(head.Head);
        json.WriteEndArray();
    }

    private static void Head(Utf8JsonWriter json, string name, int layer, int head)
    {
        json.WriteStartObject(name);
        json.WriteNumber("layer", layer);
        json.WriteNumber("head", head);
        json.WriteEndObject();
    }
}
