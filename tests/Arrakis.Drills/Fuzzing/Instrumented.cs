using System.Diagnostics;
using System.Reflection;
using Arrakis.Native;
using Arrakis.Text;

namespace Arrakis.Drills.Fuzzing;

/// <summary>Runs this program again over a copy of itself whose readers are instrumented, and watches that it does not die.</summary>
internal static class Instrumented
{
    /// <summary>The file that holds the input being tried.</summary>
    public const string Current = "current";

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(10);

    private static readonly string[] s_types =
        ["Arrakis.Native.Weights.", "Arrakis.Native.CacheFile", "Arrakis.Native.HookNames", "Arrakis.Native.LlamaConfig", "Arrakis.Native.ActivationCache", "Arrakis.Text."];

    /// <summary>The exit code of the run: 0 where nothing was found.</summary>
    public static int Run(IEnumerable<string> arguments, string found, TimeSpan time)
    {
        string copy = Directory.CreateTempSubdirectory("arrakis-fuzz-").FullName;
        try
        {
            foreach (string file in Directory.GetFiles(AppContext.BaseDirectory))
                File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
            Instrument(copy, typeof(LlamaModel).Assembly);
            Instrument(copy, typeof(Tokenizer).Assembly);

            var start = new ProcessStartInfo(Environment.ProcessPath!);
            if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
                start.ArgumentList.Add(Path.Combine(copy, Path.GetFileName(typeof(Instrumented).Assembly.Location)));
            else
                start = new ProcessStartInfo(Path.Combine(copy, Path.GetFileName(Environment.ProcessPath!)));
            foreach (string argument in arguments)
                start.ArgumentList.Add(argument);
            using Process child = Process.Start(start)!;
            // A reader that never ends is found too.
            if (!child.WaitForExit(time + s_patience))
                child.Kill();
            child.WaitForExit();
            return child.ExitCode is 0 or 1 ? child.ExitCode : Died(found, child.ExitCode);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
            File.Delete(Path.Combine(found, Current));
        }
    }

    private static void Instrument(string copy, Assembly assembly)
    {
        string path = Path.Combine(copy, Path.GetFileName(assembly.Location));
        if (!SharpFuzz.Fuzzer.Instrument(path, type => s_types.Any(start => type.StartsWith(start, StringComparison.Ordinal)), SharpFuzz.Options.Value).Any())
            throw new InvalidOperationException($"no reader of {assembly.GetName().Name} was instrumented");
    }

    private static int Died(string found, int code)
    {
        string current = Path.Combine(found, Current), kept = Path.Combine(found, $"died-{DateTime.UtcNow:yyyyMMddHHmmss}");
        if (File.Exists(current))
            File.Copy(current, kept);
        Console.Error.WriteLine($"the process ended with {code}{(File.Exists(kept) ? $" while it read {kept}" : ", before it read anything")}");
        return 1;
    }
}
