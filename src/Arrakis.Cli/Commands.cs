using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Numerics.Tensors;
using System.Text.Json.Nodes;
using Arrakis.Native;
using Arrakis.Native.Weights;
using Spectre.Console;

namespace Arrakis.Cli;

/// <summary>What each command does.</summary>
internal static class Commands
{
    public static readonly Option<bool> Verbose = new("--verbose") { Description = "Show where an error came from", Recursive = true };

    private static readonly Option<string> s_record = new("--record") { Description = "none, heads, flow, all, or hook names such as z,pattern", DefaultValueFactory = _ => "none" };
    private static readonly Option<string?> s_layers = new("--layers") { Description = "Record only these layers, as A-B" };
    private static readonly Option<string?> s_save = new("--save") { Description = "Save what was recorded as safetensors" };
    private static readonly Option<int> s_top = new("--top") { Description = "Candidates for the next token", DefaultValueFactory = _ => 10 };
    private static readonly Option<int> s_count = new("-n") { Description = "Tokens to generate", DefaultValueFactory = _ => 32 };
    private static readonly Option<double> s_temperature = new("--temperature") { Description = "0 is greedy" };
    private static readonly Option<double> s_topP = new("--top-p") { Description = "Draw from the likeliest tokens that make up this much", DefaultValueFactory = _ => 1 };

    public static RootCommand Root(CancellationToken cancellation)
    {
        var info = new Command("info", "What the model is") { Input.Model, Input.Json };
        info.SetAction(call => Info(call));
        var run = new Command("run", "A forward pass, its next-token candidates, and its activations")
        {
            Input.Model, Input.Ids, Input.IdsFile, Input.Random, Input.Seed, Input.Threads, Input.Kernels, Input.Json, s_record, s_layers, s_save, s_top,
        };
        run.SetAction(call => Run(call, cancellation));
        var generate = new Command("generate", "Continue the input")
        {
            Input.Model, Input.Ids, Input.IdsFile, Input.Random, Input.Seed, Input.Threads, Input.Kernels, Input.Json, s_count, s_temperature, s_topP,
        };
        generate.SetAction(call => Generate(call, cancellation));
        return new RootCommand("Runs a Llama and records what every attention head did.") { info, run, generate, Verbose };
    }

    private static void Info(ParseResult call)
    {
        bool json = call.GetValue(Input.Json);
        if (call.GetValue(Input.Model) is { } path && OpenVocabulary(path) is { } vocabulary)
        {
            using (vocabulary)
                Output.Write(json, Describe(path, vocabulary.Architecture, vocabulary.Architecture == "llama" ? GgufConfig.Read(vocabulary) : null, 0, 0, []));
            return;
        }

        using LlamaModel model = Input.OpenModel(call);
        var dtypes = new JsonObject();
        foreach ((string type, int count) in model.CountTensorsByType())
            dtypes[type] = count;
        Output.Write(json, Describe(model.Name, "llama", model.Config, model.Config.ParameterCount, model.WeightBytes, dtypes));
    }

    /// <summary>A GGUF file that holds a vocabulary and no weights; null for anything else.</summary>
    private static GgufFile? OpenVocabulary(string path)
    {
        if (!path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) || !File.Exists(path))
            return null;
        GgufFile file = GgufFile.Open(path);
        if (file.Tensors.Count == 0)
            return file;
        file.Dispose();
        return null;
    }

    private static JsonObject Describe(string name, string? architecture, LlamaConfig? c, long parameters, long bytes, JsonObject dtypes) => new()
    {
        ["model"] = name,
        ["architecture"] = architecture,
        ["layers"] = c?.NumHiddenLayers,
        ["heads"] = c?.NumAttentionHeads,
        ["kv_heads"] = c?.NumKeyValueHeads,
        ["head_dim"] = c?.HeadDim,
        ["hidden_size"] = c?.HiddenSize,
        ["intermediate_size"] = c?.IntermediateSize,
        ["vocab_size"] = c?.VocabSize,
        ["context"] = c?.MaxPositionEmbeddings,
        ["norm_eps"] = c is null ? null : double.Parse(c.RmsNormEps.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture),
        ["rope"] = c is null ? null : new JsonObject
        {
            ["theta"] = c.RopeTheta,
            ["layout"] = c.RotaryLayout == RotaryLayout.Halves ? "halves" : "pairs",
            ["scaling"] = Scaling(c.RopeScaling),
        },
        ["tied"] = c?.TieWordEmbeddings,
        ["parameters"] = parameters,
        ["bytes"] = bytes,
        ["dtypes"] = dtypes,
    };

    private static JsonObject? Scaling(RopeScaling scaling) => scaling.Kind switch
    {
        RopeScalingKind.Linear => new JsonObject { ["type"] = "linear", ["factor"] = scaling.Factor },
        RopeScalingKind.Llama3 => new JsonObject
        {
            ["type"] = "llama3",
            ["factor"] = scaling.Factor,
            ["low_freq_factor"] = scaling.LowFreqFactor,
            ["high_freq_factor"] = scaling.HighFreqFactor,
            ["original_max_position_embeddings"] = scaling.OriginalMaxPositionEmbeddings,
        },
        _ => null,
    };

    private static void Run(ParseResult call, CancellationToken cancellation)
    {
        int top = call.GetValue(s_top);
        if (top < 0)
            throw new UsageException($"--top is {top}: use 0 or more");
        RecordingPlan plan = Plan(call);
        string? save = call.GetValue(s_save);
        SessionOptions options = Input.Session(call);
        using LlamaModel model = Input.OpenModel(call);
        int[] ids = Input.ReadIds(call, model.Config);
        using LlamaSession session = model.CreateSession(plan, options);
        long start = Stopwatch.GetTimestamp();
        ReadOnlySpan<float> logits = session.Forward(ids, cancellation);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (save is not null)
            session.Cache.Save(save);

        bool json = call.GetValue(Input.Json);
        var result = new JsonObject
        {
            ["ids"] = Output.Ids(ids),
            ["tokens"] = null,
            ["top"] = Candidates(logits, top),
            ["recorded"] = plan.IsEmpty ? null : new JsonObject { ["tensors"] = session.Cache.Names.Count, ["bytes"] = session.Cache.Bytes, ["file"] = save },
            ["seconds"] = seconds,
            ["tokens_per_second"] = ids.Length / seconds,
            ["kernels"] = KernelTiers.Name(session.Kernels),
            ["threads"] = session.Threads,
        };
        Output.Write(json, result);
    }

    private static RecordingPlan Plan(ParseResult call)
    {
        RecordingPlan plan;
        try
        {
            plan = RecordingPlan.Parse(call.GetValue(s_record)!);
        }
        catch (ArrakisException e)
        {
            throw new UsageException($"--record: {e.Message}");
        }

        if (call.GetValue(s_layers) is { } layers)
        {
            string[] ends = layers.Split('-');
            if (ends.Length is 0 or > 2 || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last) || last < first)
            {
                throw new UsageException($"--layers is '{layers}': use A-B, such as 0-3");
            }

            plan = plan.ForLayers(first, last);
        }

        // A saved file always holds the logits.
        return call.GetValue(s_save) is null ? plan : plan.Union(RecordingPlan.Of(HookPoint.Logits));
    }

    private static JsonArray Candidates(ReadOnlySpan<float> logits, int top)
    {
        var probabilities = new float[logits.Length];
        Sampling.Softmax(logits, 1, probabilities);
        int[] order = Sampling.Descending(logits);
        var candidates = new JsonArray();
        foreach (int id in order.AsSpan(0, Math.Min(top, order.Length)))
            candidates.Add((JsonNode)new JsonObject { ["id"] = id, ["token"] = null, ["logit"] = logits[id], ["prob"] = probabilities[id] });
        return candidates;
    }

    private static void Generate(ParseResult call, CancellationToken cancellation)
    {
        int count = call.GetValue(s_count);
        double temperature = call.GetValue(s_temperature), topP = call.GetValue(s_topP);
        if (count < 0)
            throw new UsageException($"-n is {count}: use 0 or more");
        if (!(temperature >= 0) || double.IsInfinity(temperature))
            throw new UsageException($"--temperature is {temperature}: use 0 (greedy) or more");
        if (!(topP > 0 && topP <= 1))
            throw new UsageException($"--top-p is {topP}: use a share above 0, up to 1");
        SessionOptions options = Input.Session(call);
        using LlamaModel model = Input.OpenModel(call);
        int[] prompt = Input.ReadIds(call, model.Config);
        using LlamaSession session = model.CreateSession(RecordingPlan.None, options);
        var random = new Random(call.GetValue(Input.Seed));
        var ids = new List<int>();
        long start = Stopwatch.GetTimestamp();
        ReadOnlySpan<float> logits = session.Forward(prompt, cancellation);
        while (ids.Count < count && !(ids.Count > 0 && model.Config.EosTokenIds.Contains(ids[^1])))
        {
            int next = temperature == 0 ? TensorPrimitives.IndexOfMax(logits) : Sampling.Draw(logits, temperature, topP, random);
            ids.Add(next);
            if (ids.Count < count)
                logits = session.Append([next], cancellation);
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Output.Write(call.GetValue(Input.Json), new JsonObject
        {
            ["prompt_ids"] = Output.Ids(prompt),
            ["ids"] = Output.Ids(ids),
            ["text"] = null,
            ["seconds"] = seconds,
            ["tokens_per_second"] = ids.Count / seconds,
        });
    }
}

/// <summary>One result as JSON, or as tables.</summary>
internal static class Output
{
    public static JsonArray Ids(IEnumerable<int> ids) => [.. ids.Select(id => (JsonNode)JsonValue.Create(id))];

    public static void Write(bool json, JsonObject result)
    {
        if (json)
        {
            Console.Out.WriteLine(result.ToJsonString());
            return;
        }

        var table = new Table().AddColumns("", "").HideHeaders().Border(TableBorder.None);
        foreach ((string name, JsonNode? value) in result)
        {
            if (value is JsonArray { Count: > 0 } rows && rows[0] is JsonObject)
                continue;
            if (value is not null)
                table.AddRow(new Text(name), new Text(value is JsonArray ids ? string.Join(' ', ids.Select(id => id!.ToJsonString())) : value.ToJsonString().Trim('"')));
        }

        AnsiConsole.Write(table);
        foreach ((_, JsonNode? value) in result)
        {
            if (value is JsonArray { Count: > 0 } rows && rows[0] is JsonObject first)
                WriteRows(rows, first);
        }
    }

    private static void WriteRows(JsonArray rows, JsonObject first)
    {
        string[] columns = [.. first.Where(cell => cell.Value is not null).Select(cell => cell.Key)];
        var table = new Table().AddColumns(columns);
        foreach (JsonNode? row in rows)
            table.AddRow([.. columns.Select(column => new Text(Cell(row![column]!)))]);
        AnsiConsole.Write(table);
    }

    private static string Cell(JsonNode value) =>
        value.AsValue().TryGetValue(out float number) ? number.ToString("0.0000", CultureInfo.InvariantCulture) : value.ToJsonString();
}
