using System.CommandLine;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Arrakis.Analysis.Numerics;
using Arrakis.Cli.Views;
using Arrakis.Native;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis run</c>: a forward pass, its next-token candidates, and its activations.</summary>
internal sealed class RunCommand : Command
{
    // What is not compiled before it runs is compiled as it runs; either way the memory is new.
    private static readonly string s_firstPass = RuntimeFeature.IsDynamicCodeCompiled ? "first pass, with compilation" : "first pass";

    private readonly Terminal _terminal;
    private readonly Input _input;
    private readonly Option<string> _record = new("--record") { Description = "none, heads, flow, all, or hook names such as z,pattern", DefaultValueFactory = _ => "none", HelpName = "SPEC" };
    private readonly Option<(int First, int Last)?> _layers = OptionOf.Layers("Record only these layers");
    private readonly Option<string?> _save = new("--save") { Description = "Save what was recorded as safetensors", HelpName = "FILE" };
    private readonly Option<int> _top = OptionOf.Integer("--top", "Candidates for the next token", standard: 10);

    public RunCommand(Terminal terminal, Input input)
        : base("run", "A forward pass, its next-token candidates, and its activations")
    {
        (_terminal, _input) = (terminal, input);
        input.AddTo(this);
        foreach (Option option in new Option[] { _record, _layers, _save, _top })
            Add(option);
        SetAction(Run);
    }

    /// <summary>The likeliest next tokens, likeliest first.</summary>
    public static JsonArray Candidates(ReadOnlySpan<float> logits, int top, Tokens tokens)
    {
        LogitRow.Softmax whole = LogitRow.Whole(logits);
        var candidates = new JsonArray();
        foreach (int id in LogitRow.Best(logits, top))
        {
            candidates.Add((JsonNode)new JsonObject
            {
                ["id"] = id,
                ["token"] = JsonValue.Create(tokens[id]),
                ["logit"] = Json.Number(logits[id]),
                ["prob"] = Json.Number((float)whole.Of(logits[id])),
            });
        }

        return candidates;
    }

    private void Run(ParseResult call)
    {
        RecordingPlan plan = Plan(call);
        string? save = call.GetValue(_save);
        _input.CheckPlaces(call, ("--save", save));
        using LlamaModel model = _input.OpenModel(call);
        int[] ids = _input.ReadIds(call, model.Config);
        Tokens tokens = _input.Tokens(call);
        using LlamaSession session = model.CreateSession(plan, _input.Session(call));
        long start = Stopwatch.GetTimestamp();
        ReadOnlySpan<float> logits = _terminal.Forward(session, ids);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        // Before anything is saved: it refuses numbers that are not finite, and leaves the file that stood there.
        var document = new JsonObject
        {
            ["ids"] = Json.Numbers(ids),
            ["tokens"] = tokens.Of(ids),
            ["top"] = Candidates(logits, call.GetValue(_top), tokens),
            ["recorded"] = plan.IsEmpty ? null : new JsonObject { ["tensors"] = session.Cache.Names.Count, ["bytes"] = session.Cache.Bytes, ["file"] = save },
            ["seconds"] = seconds,
            ["tokens_per_second"] = ids.Length / seconds,
            ["kernels"] = KernelTiers.Name(session.Kernels),
            ["threads"] = session.Threads,
        };
        if (save is not null)
            session.Cache.Save(save, _terminal.Cancellation);
        PlainView.Write(_terminal, call.GetValue(_input.Json), document, ("tokens_per_second", s_firstPass));
    }

    /// <summary>A recording's specification; what it does not know is a wrong call.</summary>
    public static RecordingPlan ParsePlan(string specification)
    {
        try
        {
            return RecordingPlan.Parse(specification);
        }
        catch (ArrakisException e)
        {
            throw new UsageException($"--record: {e.Message}");
        }
    }

    private RecordingPlan Plan(ParseResult call)
    {
        RecordingPlan plan = ParsePlan(call.GetValue(_record)!);
        if (call.GetValue(_layers) is var (first, last))
            plan = plan.ForLayers(first, last);

        // A saved file always holds the logits.
        return call.GetValue(_save) is null ? plan : plan.Union(RecordingPlan.Of(HookPoint.Logits));
    }
}
