using Arrakis.Native.Weights;

namespace Arrakis.Cli;

/// <summary>Where a call writes, held against what it reads: a result renamed over its own input would be the end of that.</summary>
internal static class Places
{
    /// <summary>Refuses places that nothing can be written to, and those that the call reads.</summary>
    /// <param name="places">What the options that name outputs say.</param>
    /// <param name="read">The files that the call reads.</param>
    public static void Check(IEnumerable<(string Option, string? Place)> places, IEnumerable<string> read)
    {
        HashSet<string> inputs = [.. read.Select(Real)];
        foreach ((string option, string? place) in places)
        {
            if (place is null)
                continue;
            if (string.IsNullOrWhiteSpace(place))
                throw new UsageException($"{option} is empty: name a file");
            if (inputs.Contains(Real(OutputPlace.Check(place))))
                throw new UsageException($"{option} is {place}, which this call reads: name another file");
        }
    }

    /// <summary>The files of a model or a tokenizer, whichever of them are read.</summary>
    public static IEnumerable<string> OfModel(string path)
    {
        bool isFolder = Directory.Exists(path);
        string? folder = isFolder ? path : Path.GetDirectoryName(Path.Combine(Environment.CurrentDirectory, path));
        IEnumerable<string> beside = Directory.Exists(folder) ? Directory.EnumerateFiles(folder).Where(IsPart) : [];
        return isFolder ? beside : [path, .. beside];

        bool IsPart(string file)
        {
            string name = Path.GetFileName(file);
            return name == "config.json" || name.StartsWith("tokenizer", StringComparison.Ordinal)
                || (name.StartsWith("tok", StringComparison.Ordinal) && name.EndsWith(".bin", StringComparison.Ordinal))
                || (isFolder && name.Contains(".safetensors", StringComparison.Ordinal));
        }
    }

    /// <summary>The path of what is there in the end, whatever links lead to it.</summary>
    private static string Real(string path)
    {
        string full = Path.GetFullPath(path);
        if (Path.GetDirectoryName(full) is not { } folder)
            return full;
        full = Path.Combine(Real(folder), Path.GetFileName(full));
        return Path.Exists(full) && File.ResolveLinkTarget(full, returnFinalTarget: true) is { } target ? Real(target.FullName) : full;
    }
}
