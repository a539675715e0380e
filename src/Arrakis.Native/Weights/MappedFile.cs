using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace Arrakis.Native.Weights;

/// <summary>
/// A file mapped into memory for reading. What it hands out points straight into the map and is good until it is disposed;
/// every offset and length is checked against the file. (A file that another process cuts short while it is mapped cannot be guarded
/// against: the operating system then ends the process that reads it.)
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private nint _start;

    private MappedFile(string path, long length, MemoryMappedFile map, MemoryMappedViewAccessor view)
    {
        Path = path;
        Length = length;
        _map = map;
        _view = view;
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = (nint)(start + view.PointerOffset);
    }

    /// <summary>Unmaps a file that nobody disposed: the view's handle is critical, and so still alive when this runs.</summary>
    ~MappedFile() => Release();

    /// <summary>The path it was opened by.</summary>
    public string Path { get; }

    /// <summary>How many bytes the file holds; never 0.</summary>
    public long Length { get; }

    /// <summary>Maps a file.</summary>
    /// <exception cref="ModelFormatException">There is no such file, it is empty or a folder, or it cannot be read.</exception>
    public static MappedFile Open(string path)
    {
        try
        {
            if (Directory.Exists(path))
                throw Said.Fault(path, "is a folder, where a file is wanted");
            if (!File.Exists(path))
                throw Said.Fault(path, "does not exist");
            // Pipes and devices have no length. They are turned away before they are opened, which could wait for ever.
            var file = new FileInfo(path);
            if (((file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo) ?? file).Length == 0)
                throw Said.Fault(path, "is empty, or no plain file");
            return Map(path);
        }
        catch (Exception e) when (Said.IsFileTrouble(e) || e is OutOfMemoryException)
        {
            throw Said.Fault(path, $"cannot be read: {Said.Why(e)}", e);
        }
    }

    /// <summary>The address of <paramref name="length"/> bytes at <paramref name="offset"/>, which must lie within the file.</summary>
    public nint Pointer(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_start == 0, this);
        if (offset < 0 || length < 0 || offset > Length - length)
            throw Said.Fault(Path, $"{length} bytes at {offset} reach past its end at {Length}");
        return _start + (nint)offset;
    }

    /// <summary>The <paramref name="length"/> bytes at <paramref name="offset"/>, which must lie within the file.</summary>
    public ReadOnlySpan<byte> Span(long offset, int length) => new((void*)Pointer(offset, length), length);

    /// <summary>Unmaps the file; whatever points into it is void.</summary>
    public void Dispose()
    {
        Release();
        _view.Dispose();
        _map.Dispose();
        GC.SuppressFinalize(this);
    }

    private static MappedFile Map(string path)
    {
        SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        MemoryMappedFile? map = null;
        MemoryMappedViewAccessor? view = null;
        try
        {
            long length = RandomAccess.GetLength(handle);
            map = MemoryMappedFile.CreateFromFile(handle, null, length, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(path, length, map, view);
        }
        catch
        {
            view?.Dispose();
            map?.Dispose();
            handle.Dispose();
            throw;
        }
    }

    private void Release()
    {
        // The constructor may have failed before there was a view, and the finalizer runs all the same.
        if (Interlocked.Exchange(ref _start, 0) != 0)
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
    }
}
