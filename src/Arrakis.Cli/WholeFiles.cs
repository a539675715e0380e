using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Cli;

/// <summary>Files that are there in full or not at all: all are written beside their places before the first is renamed.</summary>
internal static class WholeFiles
{
    /// <summary>Writes those that have a place.</summary>
    /// <exception cref="ArrakisException">One cannot be written; none is, and nothing is left behind.</exception>
    public static void Write(CancellationToken cancellation, params (string? Place, Action<Stream> Write)[] files)
    {
        var written = new List<(string Beside, string Place)>();
        (string Beside, string Place) at = ("", "");
        try
        {
            foreach ((string? place, Action<Stream> write) in files)
            {
                if (place is null)
                    continue;
                cancellation.ThrowIfCancellationRequested();
                at = ($"{OutputPlace.Check(place)}.{Guid.NewGuid():N}.tmp", place);
                using var stream = new FileStream(at.Beside, FileMode.CreateNew, FileAccess.Write);
                written.Add(at);
                write(stream);
            }

            foreach ((string Beside, string Place) file in written)
            {
                at = file;
                File.Move(file.Beside, file.Place, overwrite: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            // The file system names the file beside it, which nobody asked for.
            throw OutputPlace.CannotWrite(at.Place, Said.Why(e).Replace(Said.OneLine(at.Beside), Said.OneLine(at.Place), StringComparison.Ordinal), e);
        }
        finally
        {
            foreach ((string beside, _) in written)
                File.Delete(beside);
        }
    }
}
