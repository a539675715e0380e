using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Arrakis.Analysis;
using Arrakis.Native;

namespace Arrakis.Weights.Tales;

/// <summary><c>tales-evaluate</c>: measures the tales model with the engine and names the heads that do its work. What the model card says comes from here.</summary>
internal sealed class Evaluation : IDisposable
{
    private const ulong GiftStream = 3, RepeatStream = 4, NamingGifts = 5, NamingRepeats = 6, Draws = 7;

    private readonly ulong _seed;
    private readonly LlamaModel _model;
    private readonly Vocabulary _vocabulary = new();
    private readonly Pairs _pairs;
    private readonly JsonObject _report = [];

    public Evaluation(string folder, ulong seed)
    {
        _seed = seed;
        _model = LlamaModel.Load(folder);
        _pairs = new Pairs(seed);
    }

    public void Dispose() => _model.Dispose();

    /// <summary>Everything, as text on standard output and as JSON in a file.</summary>
    public void Run(string data, string? torch, string? report, int draws)
    {
        LlamaConfig c = _model.Config;
        Say("parameters", c.ParameterCount);
        int[][] tales = ReadDocuments(Path.Combine(data, "heldout.bin"));
        HeldOutLoss(tales);
        Completions(tales);
        if (torch is not null)
            CompareWithTorch(torch);

        GiftPrompt[] gifts = GiftPrompt.Write(1000, _seed, GiftStream, _pairs, _vocabulary);
        Repeated[] repeats = Repeated.Write(40, _seed, RepeatStream, c);
        GiftPrompt[] withStranger = [.. gifts.Where(gift => gift.Stranger is not null)];
        Say("gift prompts", gifts.Length);
        Say("gift: receiver over giver", Scores.Gifts(_model, gifts).OverOther);
        Say("gift: receiver first of all words", Scores.Gifts(_model, gifts).First);
        Say("gift prompts with a third person", withStranger.Length);
        Say("gift with a third person: receiver first", Scores.Gifts(_model, withStranger).First);
        foreach (int period in Repeated.Periods)
            Say($"induction, period {period}", Scores.Induction(_model, [.. repeats.Where(row => row.Period == period)]));
        Say("induction, all", Scores.Induction(_model, repeats));

        Detect();
        var naming = new Naming(_model, Tell);
        List<(int Layer, int Head)> named = naming.GiftHeads(GiftPrompt.Write(100, _seed, NamingGifts, _pairs, _vocabulary));
        Ablate("gift", named, draws, plan => Scores.Gifts(_model, gifts, plan).First);
        named = naming.InductionHeads([.. Repeated.Write(10, _seed, NamingRepeats, c).Where(row => row.Period <= 40)]);
        Ablate("induction", named, draws, plan => Scores.Induction(_model, repeats, plan));
        if (report is not null)
            File.WriteAllText(report, _report.ToJsonString(new() { WriteIndented = true }) + "\n");
    }

    private void HeldOutLoss(int[][] tales)
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.Of(HookPoint.Logits), Scores.OneThread);
        double nats = 0;
        int tokens = 0;
        foreach (int[] tale in tales)
        {
            (double n, int t) = Scores.Loss(session, tale);
            nats += n;
            tokens += t;
        }

        Say("held-out tales", tales.Length);
        Say("held-out tokens", tokens);
        Say("held-out loss", nats / tokens);
    }

    /// <summary>Every tale is begun with its own first two sentences and three words, and finished by the model, the likeliest word at a time.</summary>
    private void Completions(int[][] tales)
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.None, Scores.OneThread);
        var grammar = new Grammar();
        int sentences = 0, grammatical = 0, complete = 0, strangers = 0, tellable = 0;
        for (int i = 0; i < tales.Length; i++)
        {
            int[] prompt = Scores.Opening(tales[i], _vocabulary), ids = Scores.Complete(session, prompt, _model.Config.MaxPositionEmbeddings);
            string[] words = [.. ids.Select(id => _vocabulary.Tokens[id])];
            string[][] written = [.. Grammar.SentencesOf(words[(Array.LastIndexOf(prompt, _vocabulary["."]) + 1)..])];
            sentences += written.Length;
            grammatical += written.Count(grammar.Accepts);
            complete += ids[^1] == Vocabulary.End ? 1 : 0;
            tellable += prompt.Select(id => _vocabulary.Tokens[id]).Intersect(Words.Names).Count() >= 2 ? 1 : 0;
            strangers += prompt.Select(id => _vocabulary.Tokens[id]).Intersect(Words.Names).Count() >= 2
                && words.Intersect(Words.Names).Except(prompt.Select(id => _vocabulary.Tokens[id])).Any() ? 1 : 0;
            if (i < 10)
                Console.WriteLine($"  {_vocabulary.Decode(prompt)} ||| {string.Join(' ', words[prompt.Length..])}");
            foreach (string[] wrong in written.Where(sentence => !grammar.Accepts(sentence)).Take(sentences - grammatical <= 10 ? 1 : 0))
                Console.WriteLine($"  not of the grammar: {string.Join(' ', wrong)}");
        }

        Say("completed sentences", sentences);
        Say("completed sentences of the grammar", grammatical / (double)sentences);
        Say("completions that reach </s>", complete / (double)tales.Length);
        Say("completions that bring in a new name, of those whose prompt names two", strangers / (double)tellable);
    }

    private void CompareWithTorch(string path)
    {
        using LlamaSession session = _model.CreateSession(RecordingPlan.None, Scores.OneThread);
        double worst = 0, largest = 0;
        foreach (JsonNode? prompt in JsonNode.Parse(File.ReadAllText(path))!.AsArray())
        {
            ReadOnlySpan<float> logits = session.Forward([.. prompt!["ids"]!.AsArray().Select(id => id!.GetValue<int>())]);
            float[] theirs = [.. prompt["logits"]!.AsArray().Select(logit => logit!.GetValue<float>())];
            for (int i = 0; i < theirs.Length; i++)
            {
                worst = Math.Max(worst, Math.Abs(logits[i] - theirs[i]));
                largest = Math.Max(largest, Math.Abs(theirs[i]));
            }
        }

        Say("torch: largest difference of a logit", worst);
        Say("torch: largest logit", largest);
    }

    /// <summary>Heads by where they look on repeated random words.</summary>
    private void Detect()
    {
        IReadOnlyList<HeadDetection> heads = HeadDetectors.Detect(_model, period: 30, repeats: 2).Heads;
        void List(string what, Func<HeadDetection, double> score) => Tell(
            $"heads that look at {what}",
            string.Join(", ", heads.Where(h => score(h) >= 0.4).OrderByDescending(score).Select(h => string.Create(CultureInfo.InvariantCulture, $"L{h.Layer}H{h.Head} {score(h):F2}"))));
        List("the word before", h => h.PreviousToken);
        List("the same word before", h => h.DuplicateToken);
        List("what came after it", h => h.Induction);
    }

    /// <summary>The fall of a score without the named heads, against that without as many others, drawn at random again and again.</summary>
    private void Ablate(string what, List<(int Layer, int Head)> named, int draws, Func<InterventionPlan, double> score)
    {
        Ablation.Drops drops = Ablation.Compare(_model.Config, named, draws, new SeededRandom(_seed, Draws), score);
        Say($"{what}: drop without the {named.Count} named heads", drops.Named);
        Say($"{what}: mean drop without {named.Count} others, {draws} draws", drops.Others.Average());
        Say($"{what}: largest such drop", drops.Others.Max());
        Say($"{what}: drop over mean drop", drops.Named / Math.Max(drops.Others.Average(), 1e-9));
    }

    private void Tell(string what, string list)
    {
        _report[what] = list;
        Console.WriteLine($"{what}: {list}");
    }

    private void Say(string what, double value)
    {
        _report[what] = value;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {value:G6}"));
    }

    private static int[][] ReadDocuments(string path)
    {
        var documents = new List<List<int>>();
        foreach (ushort id in MemoryMarshal.Cast<byte, ushort>(File.ReadAllBytes(path)))
        {
            if (id == Vocabulary.Begin)
                documents.Add([]);
            documents[^1].Add(id);
        }

        return [.. documents.Select(document => document.ToArray())];
    }
}
