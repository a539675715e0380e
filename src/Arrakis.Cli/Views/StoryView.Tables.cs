using System.Numerics.Tensors;
using Arrakis.Analysis;
using Arrakis.Analysis.Numerics;
using Arrakis.Native;
using Spectre.Console;
using static Arrakis.Cli.Figures;

namespace Arrakis.Cli.Views;

internal static partial class StoryView
{
    private const int MostLayers = 16;
    private const int MostIds = 24;
    private const int MostSources = 8;
    private const int MostPaths = 5;
    private const int MostHeads = 5;
    private const int WritersEach = 3;

    // How far above looking everywhere alike a head stands out, and what it then spends at least.
    private const double ManyTimes = 3;
    private const double Clearly = 0.5;

    public static void Tables(Terminal terminal, Story story, bool isGiven, string again)
    {
        Opening(terminal, story, isGiven);
        Writes(terminal, story);
        Reads(terminal, story);
        Flow(terminal, story);
        if (story.Detectors is { } detectors)
            Detectors(terminal, detectors);
        Next(terminal, story, again);
    }

    private static void Opening(Terminal terminal, Story story, bool isGiven)
    {
        LlamaConfig c = story.Model.Config;
        terminal.Title("What the attention heads of one model do with one prompt");
        terminal.Line();
        terminal.Line(Markup.Escape($"Model:  {story.Model.Name}"));
        terminal.Line(Invariant($"        {View.Count(c.NumHiddenLayers, "layer")} of {View.Count(c.NumAttentionHeads, "head")}, stream of {c.HiddenSize}, vocabulary {Whole(c.VocabSize)}, {Whole(c.ParameterCount)} parameters"));
        IEnumerable<string> shown = story.Ids.TakeLast(MostIds).Select(story.Tokens.Cell);
        terminal.Line(Invariant($"Prompt: {View.Count(story.Ids.Length, "token")}{(isGiven ? "" : Repetition(story))}:"));
        terminal.Line($"        {(story.Ids.Length > MostIds ? "... " : "")}{Markup.Escape(string.Join(' ', shown))}");
        LogitRow.Softmax whole = LogitRow.Whole(story.Logits);
        IEnumerable<string> next = LogitRow.Best(story.Logits, Candidates).Select(id => Invariant($"{story.Tokens.Name(id)} ({Percent(whole.Of(story.Logits[id]))})"));
        terminal.Line(Markup.Escape($"Next:   {string.Join(", ", next)}"));
        terminal.Line();
    }

    private static string Repetition(Story story) => Story.Continuation(story.Model.Config, story.Ids) is { } id
        ? Invariant($" that repeat; a model that copies goes on with {Markup.Escape(story.Tokens.Name(id))}")
        : story.Tokens.Tokenizer is null ? ", a default" : ", the beginning of a tale";

    private static void Writes(Terminal terminal, Story story)
    {
        terminal.Title("1. Who writes");
        Table table = View.Table("layer", "<strongest write heads: norm (part of the layer's)", "<80 % of it");
        int step = (story.Writes.Length + MostLayers - 1) / MostLayers;
        for (int l = 0; l < story.Writes.Length; l += step)
        {
            HeadWrites writes = story.Writes[l];
            double all = TensorPrimitives.Sum(writes.Strengths);
            IEnumerable<string> heads = HeadSelection.Order(writes.Strengths).Where(h => writes.Strengths[h] > 0).Take(WritersEach)
                .Select(h => Invariant($"H{h} {Size(writes.Strengths[h])} ({Percent(writes.Strengths[h] / all, "0")})"));
            table.Row(false, Invariant($"{l}"), string.Join("   ", heads), Invariant($"{writes.Select(s_usual.Threshold, s_usual.Rule).Count} of {writes.Heads} heads"));
        }

        terminal.Write(table);
        if (step > 1)
            terminal.Line(Invariant($"One layer of every {step}; all of them: --json."));
        terminal.Line($"At every token the signed shares of a layer's heads sum to 1 (off by {Error(story.Writes.Max(writes => writes.ShareError))}).");
        terminal.Line();
    }

    private static void Reads(Terminal terminal, Story story)
    {
        if (story.Reads.Length == 0)
            return;
        terminal.Title("2. Who reads what they write");
        Table table = View.Table("<writer", "<heads above that read it: the part of their q, k or v");
        foreach (ReadWrite read in story.Reads)
        {
            string readers = string.Join("   ", read.Readers.Select(reader => Invariant($"L{reader.Layer}H{reader.Head} {reader.Input} {Share(reader.Share)}")));
            table.Row(false, Invariant($"L{read.Layer}H{read.Head}"), readers.Length == 0 ? "nobody" : readers);
        }

        terminal.Write(table);
        terminal.Line($"Means over the tokens; v as the pattern mixes it. Of the whole stream such a part is 1 (off by {Error(story.ReadError)}): its q, k and v computed again are the run's.");
        terminal.Line();
    }

    private static void Flow(Terminal terminal, Story story)
    {
        FlowTrace flow = story.Flow;
        terminal.Title(Invariant($"3. What the prediction is made of: the logit of {story.Tokens.Name(story.Prediction)}"));
        terminal.Note(FlowView.Unit(flow));
        FlowView.Sources(terminal, flow, story.Ids, story.Tokens, MostSources);
        terminal.Line();
        terminal.Line(Invariant($"[bold]From position {flow.Source}[/] ({Markup.Escape(story.Tokens.Name(story.Ids[flow.Source]))}){(story.Ids.Length > 2 ? ", the strongest before the last" : "")}, it gets there by:"));
        FlowView.Paths(terminal, flow, MostPaths);
        FlowView.Heads(terminal, flow, MostHeads);
        terminal.Line();
    }

    private static void Detectors(Terminal terminal, HeadDetectors detectors)
    {
        terminal.Title(Invariant($"4. What kind of heads there are, on {detectors.Period} random tokens twice"));
        Table table = View.Table("<kind", "<best head", "attention", "uniform", "<stands out");
        Kind("previous token", head => head.PreviousToken, detectors.UniformPreviousToken);
        Kind("duplicate token", head => head.DuplicateToken, detectors.UniformRepeat);
        Kind("induction", head => head.Induction, detectors.UniformRepeat);
        terminal.Write(table);
        terminal.Line("Attention is the mean that a head spends on that place; uniform, what looking everywhere alike would spend.");
        terminal.Line();

        void Kind(string name, Func<HeadDetection, double> score, double uniform)
        {
            HeadDetection best = detectors.Heads.MaxBy(score);
            double attention = score(best);
            string verdict = attention < ManyTimes * uniform ? "no" : attention < Clearly ? "a little" : "clearly";
            table.Row(attention >= Clearly, name, Invariant($"L{best.Layer}H{best.Head}"), Size(attention), Size(uniform), verdict);
        }
    }

    private static void Next(Terminal terminal, Story story, string again)
    {
        terminal.Title("Where to go next");
        terminal.WholeLine(Markup.Escape($"Add the same model and prompt: {again}"));
        int layers = story.Model.Config.NumHiddenLayers;
        Command("this flow, whole", Invariant($"arrakis flow --src {story.Flow.Source} --dst -1 --target token:{story.Prediction}"));
        Command("every head of a layer", Invariant($"arrakis heads write --layer {layers - 1}"));
        if (story.Reads.FirstOrDefault(candidate => candidate.Readers.Count > 0) is { Readers: [var reader, ..] } read)
            Command("who reads one head", Invariant($"arrakis heads read --layer {reader.Layer} --head {read.Layer}.{read.Head}"));
        Command("another view, unsigned", "arrakis routes --dst -1");
        if (layers > 1)
            Command("the weights alone", "arrakis compose --kind k");

        void Command(string what, string command) => terminal.WholeLine($"  {what,-22}  [bold]{Markup.Escape(command)}[/]");
    }
}
