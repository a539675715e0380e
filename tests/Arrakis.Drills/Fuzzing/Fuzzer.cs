using System.Diagnostics;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Drills.Fuzzing;

/// <summary>
/// Coverage-guided fuzzing of one reader for a bounded time or number of inputs: files that make it take new branches are kept and spoiled further. What is found is whatever a reader
/// must never do: throw anything but its own one-line refusal, take long, or take memory out of proportion.
/// </summary>
internal sealed class Fuzzer(Reader reader, Coverage coverage, int seed, string found)
{
    // Of the processor's time, so that a busy machine finds nothing.
    private static readonly TimeSpan s_long = TimeSpan.FromSeconds(5);

    // A reader may take what a list of a small file's tensors or pieces takes, and never what a length in it asks for.
    private const long FreeBytes = 32 << 20;

    private readonly Random _random = new(seed);
    private readonly List<byte[]> _kept = [];
    private int _inputs;
    private int _found;

    /// <summary>Tries as many inputs as it is told, the seeds among them, or where it is not told, for as long. Whether nothing was found.</summary>
    public bool Run(int? inputs, TimeSpan time, TextWriter output, string? corpus)
    {
        using var folder = new TemporaryFolder();
        var mutator = new Mutator(_random, reader.Words);
        foreach (byte[] seedFile in reader.Seeds)
            Try(folder, seedFile);
        (int seedEdges, int seeds) = (coverage.Edges, _kept.Count);
        string[] earlier = Directory.Exists(corpus) ? Directory.GetFiles(corpus) : [];
        foreach (string file in earlier.Order(StringComparer.Ordinal))
            Try(folder, File.ReadAllBytes(file));

        for (var watch = Stopwatch.StartNew(); inputs is { } most ? _inputs < most : watch.Elapsed < time;)
            Try(folder, mutator.Mutate(Pick(), Pick()));
        if (corpus is not null)
            Save(corpus, seeds);
        output.WriteLine($"{reader.Name}: {_inputs} inputs took {coverage.Edges} edges, {seedEdges} of them the seeds'; {_kept.Count} files kept, {_found} found");
        return _found == 0;
    }

    // Late ones are the ones that went furthest.
    private byte[] Pick() => _kept[_random.Next(2) == 0 ? _random.Next(_kept.Count) : Math.Max(_random.Next(_kept.Count), _random.Next(_kept.Count))];

    private void Try(TemporaryFolder folder, byte[] bytes)
    {
        _inputs++;
        // Should the process die, its parent finds here what it died of.
        File.WriteAllBytes(Path.Combine(found, Instrumented.Current), bytes);
        coverage.Clear();
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        TimeSpan begun = Environment.CpuUsage.TotalTime;
        string? fault = Read(folder, bytes);
        TimeSpan taken = Environment.CpuUsage.TotalTime - begun;
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        if (taken > s_long)
            fault ??= $"took {taken.TotalSeconds:F1} s";
        if (allocated > FreeBytes + 64L * bytes.Length)
            fault ??= $"took {allocated} bytes for a file of {bytes.Length}";
        if (fault is not null)
            Report(bytes, fault);
        if (coverage.Add())
            _kept.Add(bytes);
    }

    private string? Read(TemporaryFolder folder, byte[] bytes)
    {
        try
        {
            reader.Read(folder, bytes);
            return null;
        }
        catch (ArrakisException refusal)
        {
            return refusal.Message.AsSpan().ContainsAny('\n', '\r') ? $"refused on more than one line: {refusal.Message}" : null;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return e.ToString();
        }
    }

    private void Report(byte[] bytes, string fault)
    {
        _found++;
        string name = $"{reader.Name}-{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes).AsSpan(0, 6))}";
        File.WriteAllBytes(Path.Combine(found, name), bytes);
        Console.Error.WriteLine($"{name}: {fault}");
    }

    private void Save(string corpus, int seeds)
    {
        Directory.CreateDirectory(corpus);
        for (int i = seeds; i < _kept.Count; i++)
            File.WriteAllBytes(Path.Combine(corpus, $"{i:d4}"), _kept[i]);
    }
}
