using System.Globalization;
using Arrakis.Drills;
using Arrakis.Drills.Faults;
using Arrakis.Drills.Fuzzing;
using Arrakis.Native.Tests.Support;

// fuzz [READER] [--seconds N] [--inputs N] [--seed N] [--found FOLDER] [--corpus FOLDER]   coverage-guided fuzzing of one reader, or of each: for N seconds, or until
//                               N inputs were tried, whatever that takes
// cut mapped|copied FOLDER      a model file cut short behind the engine's back, while weights are read
// refuse-memory                 to be run with DOTNET_GCHeapHardLimit: passes and analyses that do not fit
// full-disk FOLDER              to be run with a limit on file sizes: a recording that cannot be saved
switch (args)
{
    case ["fuzz", .. var rest]:
        return Fuzz(FuzzOptions.Parse(rest));
    case ["fuzz-instrumented", .. var rest]:
        // Instrumented code counts from its first branch on.
        var coverage = new Coverage();
        FuzzOptions o = FuzzOptions.Parse(rest);
        return new Fuzzer(Fuzzed.All.Single(reader => reader.Name == o.Reader), coverage, o.Seed, o.Found).Run(o.Inputs, TimeSpan.FromSeconds(o.Seconds), Console.Out, o.Corpus) ? 0 : 1;
    case ["cut", var memory, var folder]:
        return CutShort.Run(memory, folder);
    case ["refuse-memory"]:
        return RefusedMemory.Run();
    case ["full-disk", var folder]:
        return FullDisk.Run(folder);
    default:
        Console.Error.WriteLine("usage: fuzz [READER] [--seconds N] [--inputs N] [--seed N] [--found FOLDER] [--corpus FOLDER] | cut mapped|copied FOLDER | refuse-memory | full-disk FOLDER");
        return 2;
}

static int Fuzz(FuzzOptions options)
{
    Directory.CreateDirectory(options.Found);
    int worst = 0;
    foreach (Reader reader in Fuzzed.All.Where(reader => options.Reader is null || reader.Name == options.Reader))
    {
        FuzzOptions one = options with { Reader = reader.Name, Corpus = options.CorpusOf(reader.Name) };
        worst = Math.Max(worst, Instrumented.Run(["fuzz-instrumented", .. one.Arguments()], options.Found, TimeSpan.FromSeconds(options.Seconds)));
    }

    return worst;
}

namespace Arrakis.Drills
{
    /// <summary>What a call of <c>fuzz</c> asks for.</summary>
    internal sealed record FuzzOptions
    {
        public string? Reader { get; init; }

        public int Seconds { get; init; } = 60;

        /// <summary>How many inputs to try, instead of for how long: as many on a slow machine as on a fast one.</summary>
        public int? Inputs { get; init; }

        public int Seed { get; init; } = 1;

        public string Found { get; init; } = Path.Combine(Path.GetTempPath(), "arrakis-found");

        public string? Corpus { get; init; }

        public string? CorpusOf(string reader) => Corpus is null ? null : Path.Combine(Corpus, reader);

        public IEnumerable<string> Arguments() =>
        [
            Reader!, "--seconds", Seconds.ToString(CultureInfo.InvariantCulture), "--seed", Seed.ToString(CultureInfo.InvariantCulture), "--found", Found,
            .. Inputs is not { } inputs ? Array.Empty<string>() : ["--inputs", inputs.ToString(CultureInfo.InvariantCulture)],
            .. Corpus is null ? Array.Empty<string>() : ["--corpus", Corpus],
        ];

        public static FuzzOptions Parse(ReadOnlySpan<string> words)
        {
            var options = new FuzzOptions();
            for (int i = 0; i < words.Length; i++)
            {
                options = words[i] switch
                {
                    "--seconds" => options with { Seconds = int.Parse(words[++i], CultureInfo.InvariantCulture) },
                    "--inputs" => options with { Inputs = int.Parse(words[++i], CultureInfo.InvariantCulture) },
                    "--seed" => options with { Seed = int.Parse(words[++i], CultureInfo.InvariantCulture) },
                    "--found" => options with { Found = Path.GetFullPath(words[++i]) },
                    "--corpus" => options with { Corpus = Path.GetFullPath(words[++i]) },
                    var reader => options with { Reader = reader },
                };
            }

            if (options.Reader is { } name && !Fuzzed.All.Any(reader => reader.Name == name))
                throw new ArgumentException($"there is no reader {name}: use one of {string.Join(", ", Fuzzed.All)}");
            return options;
        }
    }
}
