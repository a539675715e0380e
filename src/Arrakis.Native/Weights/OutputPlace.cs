using System.Runtime.InteropServices;

namespace Arrakis.Native.Weights;

/// <summary>Where a file may be written: beside the place and then renamed over it, so what is there must be a plain file or nothing.</summary>
internal static unsafe partial class OutputPlace
{
    /// <summary>The full path of a place that a file can be written to.</summary>
    /// <exception cref="ArrakisException"><c>cannot write PATH: why</c>.</exception>
    public static string Check(string path)
    {
        if (string.IsNullOrWhiteSpace(path) || path.Contains('\0', StringComparison.Ordinal))
            throw CannotWrite(path, "it is not a path");
        string place = Path.GetFullPath(path);
        string? folder = Path.GetDirectoryName(place);
        if (Directory.Exists(place) || folder is null || Path.EndsInDirectorySeparator(path))
            throw CannotWrite(path, "it is a folder; name a file");
        if (File.Exists(folder))
            throw CannotWrite(path, $"{Said.OneLine(folder)} is a file, not a folder");
        if (!Directory.Exists(folder))
            throw CannotWrite(path, "its folder does not exist; make it first");
        // Renaming over /dev/null would, for an administrator, replace it by a file.
        if (folder == "/dev" || IsNode(place))
            throw CannotWrite(path, "it is a device or a pipe; name a file");
        return place;
    }

    public static ArrakisException CannotWrite(string path, string why, Exception? inner = null) => new($"cannot write {Said.OneLine(path)}: {why}", inner);

    /// <summary>Whether something is there that is no plain file, of which .NET says no more than that it has no length.</summary>
    private static bool IsNode(string path)
    {
        const int CurrentFolder = -100, WantType = 1, ModeAt = 28, TypeMask = 0xF000, PlainFile = 0x8000;
        byte* status = stackalloc byte[256];
        try
        {
            return OperatingSystem.IsLinux() && Statx(CurrentFolder, path, 0, WantType, status) == 0 && (*(ushort*)(status + ModeAt) & TypeMask) != PlainFile;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // A C library of another name: as on a system that has no such call.
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint wanted, byte* status);
}
