using System.Globalization;
using System.Text.Json.Nodes;

namespace Arrakis.Experiments.Tests;

/// <summary>What the tests start as other processes: <c>write FOLDER COUNT NAME</c> logs so many runs; <c>die FOLDER</c> logs one, and is gone in the middle of the next.</summary>
internal static class Program
{
    public static int Main(string[] args)
    {
        using HookedAutoModel model = Small.Model();
        var bench = new Bench(model, args[1]);
        switch (args[0])
        {
            case "write":
                int count = int.Parse(args[2], CultureInfo.InvariantCulture);
                for (int i = 0; i < count; i++)
                    bench.LogExperiment(new JsonObject { ["by"] = args[3], ["i"] = i }, _ => new JsonObject { ["square"] = i * i }, experiment: "Shared");
                return 0;
            case "die":
                bench.LogExperiment([], _ => new JsonObject { ["survived"] = true }, experiment: "Shared");
                bench.LogExperiment([], Die, experiment: "Shared");
                return 0;
            default:
                return 2;
        }
    }

    private static JsonObject Die(ExperimentRun run)
    {
        Environment.Exit(3);
        return [];
    }
}
