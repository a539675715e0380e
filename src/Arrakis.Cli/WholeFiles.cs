using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>Files that are there in full or not at all: all are written beside their places before the first is renamed.</summary>
internal static class WholeFiles
{
    /// <summary>Writes those that have a place.</summary>
    /// <exception cref="ArrakisException">One cannot be written; none is, and nothing is left behind.</exception>
    public static void Write(CancellationToken cancellation, params (string? Place, Action<Stream> Write)[] files)
    {
        var written = new List<(string Beside, string Place)>();
        string at = "";
        try
        {
            foreach ((string? place, Action<Stream> write) in files)
            {
                if (place is null)
                    continue;
                cancellation.ThrowIfCancellationRequested();
                at = place;
                if (Directory.Exists(place))
                    throw new ArrakisException($"cannot write {place}: it is a folder; name a file");
                string beside = $"{Path.GetFullPath(place)}.{Guid.NewGuid():N}.tmp";
                using var stream = new FileStream(beside, FileMode.CreateNew, FileAccess.Write);
                written.Add((beside, place));
                write(stream);
            }

            foreach ((string beside, string place) in written)
            {
                at = place;
                File.Move(beside, place, overwrite: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            // The file system names the file beside it, which nobody asked for.
            string why = written.Aggregate(e.Message, (message, file) => message.Replace(file.Beside, file.Place, StringComparison.Ordinal));
            throw new ArrakisException($"cannot write {at}: {(e is DirectoryNotFoundException ? "there is no such folder; make it first" : why)}", e);
        }
        finally
        {
            foreach ((string beside, _) in written)
                File.Delete(beside);
        }
    }
}
