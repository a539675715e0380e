using System.Globalization;
using Arrakis.Weights.Induction;
using Arrakis.Weights.Tales;

namespace Arrakis.Weights;

/// <summary>Makes the models in <c>weights/</c>, and measures them. Each command rebuilds its bytes from a seed.</summary>
internal static class Program
{
    private const string Usage = """
        induction      --out FOLDER [--kv-heads 4]               the hand-built model; its four heads share as many kv heads
        tales-data     --out FOLDER [--seed 1]                   the training tokens, held-out tales, prompts and tokenizer.json of the tales model
        tales-verify   --data FOLDER [--seed 1]                  whether a folder holds what the seed gives, and that is in order
        tales-evaluate --model FOLDER --data FOLDER [--seed 1] [--torch LOGITS] [--report FILE] [--draws 20]   what the model card says
        """;

    private static int Main(string[] args)
    {
        var options = new Dictionary<string, string>();
        for (int i = 1; i + 1 < args.Length; i += 2)
            options[args[i]] = args[i + 1];
        string Option(string name, string standard) => options.GetValueOrDefault(name, standard);
        int Number(string name, int standard) => int.Parse(Option(name, standard.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);
        switch (args.FirstOrDefault())
        {
            case "induction" when options.ContainsKey("--out"):
                InductionModel.Write(options["--out"], Number("--kv-heads", 4));
                return 0;
            case "tales-data" when options.ContainsKey("--out"):
                TalesData.Write(options["--out"], (ulong)Number("--seed", 1));
                return 0;
            case "tales-verify" when options.ContainsKey("--data"):
                string? wrong = TalesData.Verify(options["--data"], (ulong)Number("--seed", 1));
                Console.WriteLine(wrong ?? "in order");
                return wrong is null ? 0 : 1;
            case "tales-evaluate" when options.ContainsKey("--model") && options.ContainsKey("--data"):
                using (var evaluation = new Evaluation(options["--model"], (ulong)Number("--seed", 1)))
                    evaluation.Run(options["--data"], options.GetValueOrDefault("--torch"), options.GetValueOrDefault("--report"), Number("--draws", 20));
                return 0;
            default:
                Console.Error.WriteLine(Usage);
                return 2;
        }
    }
}
