using System.Globalization;
using System.Text.Json;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Experiments;

/// <summary>What a folder of experiments holds.</summary>
/// <param name="Runs">Every run that could be read, oldest first.</param>
/// <param name="Faults">Of every file that could not, one line that says which and why.</param>
public sealed record ExperimentListing(IReadOnlyList<ExperimentRecord> Runs, IReadOnlyList<string> Faults);

/// <summary>An experiment ran, and its record could not be written. The record, with the result, is here.</summary>
public sealed class ExperimentNotLoggedException : ArrakisException
{
    internal ExperimentNotLoggedException(ExperimentRecord record, string message, Exception inner)
        : base(message, inner) => Record = record;

    /// <summary>What would have been written.</summary>
    public ExperimentRecord Record { get; }
}

/// <summary>
/// A folder of runs: a folder for every experiment, and in it a file for every run, <c>20260131T120000.0000000Z-3fa9c2d1e0b4-….json</c>: when, which version, and digits that
/// no other file has. A file is written beside its place and renamed, and none is ever written again: any number of threads and processes may log into one folder, and
/// whatever stops one of them takes nothing from the others.
/// </summary>
public sealed class ExperimentLog
{
    private const int LongestName = 100;

    private static readonly JsonDocumentOptions s_strict = new() { AllowDuplicateProperties = false, MaxDepth = RecordJson.Depth };

    /// <summary>The log in a folder, which need not exist yet.</summary>
    /// <param name="folder">Its path.</param>
    /// <exception cref="ArrakisException">It is no path.</exception>
    public ExperimentLog(string folder)
    {
        if (string.IsNullOrWhiteSpace(folder) || folder.Contains('\0', StringComparison.Ordinal))
            throw new ArrakisException("experiments need a folder to be saved in: name one");
        Folder = folder;
    }

    /// <summary>The folder, as it was named.</summary>
    public string Folder { get; }

    /// <summary>Reads every run. A file that is damaged, or is none of the log's, costs nothing but itself.</summary>
    /// <param name="experiment">Only the runs of this experiment; null for all.</param>
    /// <exception cref="ArrakisException">There is no such folder, or it cannot be read.</exception>
    public ExperimentListing Read(string? experiment = null)
    {
        var runs = new List<(string File, ExperimentRecord Record)>();
        var faults = new List<string>();
        foreach (string file in Files())
        {
            try
            {
                ExperimentRecord record = ReadFile(file);
                if (experiment is null || record.Content.Experiment == experiment)
                    runs.Add((file, record));
            }
            catch (Exception e) when (e is ArrakisException or JsonException or InvalidOperationException or FormatException || Said.IsFileTrouble(e))
            {
                string what = e is ArrakisException or IOException or UnauthorizedAccessException ? Why(e) : $"it is no run of an experiment: {Why(e)}";
                faults.Add($"{Said.OneLine(file)}: {what}");
            }
        }

        runs.Sort((a, b) => a.Record.Time != b.Record.Time ? a.Record.Time.CompareTo(b.Record.Time) : string.CompareOrdinal(a.File, b.File));
        return new ExperimentListing([.. runs.Select(run => run.Record)], faults);
    }

    /// <summary>The versions of an experiment, in the order in which they first ran.</summary>
    /// <inheritdoc cref="Read"/>
    public IReadOnlyList<string> ListVersions(string experiment) => [.. Read(experiment).Runs.Select(run => run.Version).Distinct()];

    /// <summary>The latest run of a version.</summary>
    /// <param name="version">The version, or as many of its first digits as no other version has.</param>
    /// <exception cref="ArrakisException">There is no such version, or several begin with these digits.</exception>
    public ExperimentRecord GetVersion(string version) => Find(Read().Runs, version);

    internal static ExperimentRecord Find(IReadOnlyList<ExperimentRecord> runs, string version)
    {
        ArgumentNullException.ThrowIfNull(version);
        string prefix = version.Trim().ToLowerInvariant();
        ExperimentRecord[] found = prefix.Length == 0 ? [] : [.. runs.Where(run => run.Version.StartsWith(prefix, StringComparison.Ordinal))];
        string[] versions = [.. found.Select(run => run.Version).Distinct()];
        return versions.Length switch
        {
            1 => found[^1],
            0 => throw new ArrakisException($"there is no version '{Said.Name(version)}': list shows those that there are"),
            _ => throw new ArrakisException($"{versions.Length} versions begin with '{Said.Name(version)}': use more digits, such as {versions[0][..12]} or {versions[1][..12]}"),
        };
    }

    /// <summary>Refuses a name that cannot be a folder's on some machine.</summary>
    internal static void CheckName(string experiment)
    {
        bool fits = experiment.Length is > 0 and <= LongestName && experiment[0] != '.' && experiment[^1] != '.'
            && experiment.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.');
        if (!fits)
        {
            throw new ArrakisException(
                $"'{Said.Name(experiment)}' cannot be an experiment's name: use up to {LongestName} letters, digits, '_', '-' and '.', of which the last neither first nor last");
        }
    }

    /// <summary>Makes the folder, so that what is wrong with it is known before an experiment runs.</summary>
    internal void Create()
    {
        try
        {
            Directory.CreateDirectory(Folder);
        }
        catch (Exception e) when (Said.IsFileTrouble(e))
        {
            throw new ArrakisException($"cannot make the folder {Said.OneLine(Folder)}: {Why(e)}", e);
        }
    }

    /// <summary>The version of a content.</summary>
    internal static string VersionOf(ExperimentContent content) => CanonicalJson.Hash(JsonSerializer.SerializeToElement(content, RecordJson.Default.ExperimentContent));

    /// <summary>Writes a run.</summary>
    /// <exception cref="ExperimentNotLoggedException">It cannot be written; nothing half-written is left.</exception>
    internal void Add(ExperimentRecord record)
    {
        string folder = Path.Combine(Folder, record.Content.Experiment), unique = Guid.NewGuid().ToString("N");
        string name = string.Create(CultureInfo.InvariantCulture, $"{record.Time.UtcDateTime:yyyyMMdd'T'HHmmss'.'fffffff'Z'}-{record.Version[..12]}-{unique[..8]}.json");
        string beside = Path.Combine(folder, unique + ".tmp");
        try
        {
            Directory.CreateDirectory(folder);
            using (var file = new FileStream(beside, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                JsonSerializer.Serialize(file, new ExperimentFile(ExperimentFile.Current, record), RecordJson.Readable.ExperimentFile);
                file.Flush(flushToDisk: true);
            }

            File.Move(beside, Path.Combine(folder, name));
        }
        catch (Exception e) when (Said.IsFileTrouble(e))
        {
            Remove(beside);
            throw new ExperimentNotLoggedException(record, $"cannot write a run of {record.Content.Experiment} to {Said.OneLine(Folder)}: {Why(e)}", e);
        }
    }

    private IEnumerable<string> Files()
    {
        if (!Directory.Exists(Folder))
            throw new ArrakisException($"there is no folder {Said.OneLine(Folder)}: name one that experiments were saved in");
        try
        {
            return [.. Directory.GetDirectories(Folder).SelectMany(folder => Directory.GetFiles(folder, "*.json")).Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (Said.IsFileTrouble(e))
        {
            throw new ArrakisException($"cannot read the folder {Said.OneLine(Folder)}: {Why(e)}", e);
        }
    }

    private static ExperimentRecord ReadFile(string path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path), s_strict);
        JsonElement root = document.RootElement;
        string? format = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("format", out JsonElement f) && f.ValueKind == JsonValueKind.String ? f.GetString() : null;
        if (format != ExperimentFile.Current)
            throw new ArrakisException($"format '{Said.Name(format ?? "")}' is not {ExperimentFile.Current}: it is no run of an experiment");
        ExperimentRecord record = root.Deserialize(RecordJson.Default.ExperimentFile)!.Record;
        string version = CanonicalJson.Hash(root.GetProperty("record").GetProperty("content"));
        if (version != record.Version)
            throw new ArrakisException($"its content is of version {version[..12]}, and it says {Said.Name(record.Version)}: it was changed after it was written");
        CheckName(record.Content.Experiment);
        if (record.Content.MoreInputs?.Contains(null!) == true)
            throw new ArrakisException("more_inputs holds null: it is no run of an experiment");
        return record;
    }

    // A file system's own messages end in a point, and may span lines.
    private static string Why(Exception e) => Said.Why(e).TrimEnd('.');

    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (Said.IsFileTrouble(e))
        {
            // What went wrong before is being said; that the rest could not be removed would only hide it.
        }
    }
}
