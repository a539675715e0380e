using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Arrakis.Native.Weights;

/// <summary>
/// A file mapped into memory for reading, or copied there. What it hands out points straight into that memory and is good until it is disposed;
/// every offset and length is checked against the file. (Reading where another process has cut a mapped file short ends this one, which no managed code
/// can prevent; <see cref="CheckWhole"/> narrows that to what happens after it, and a copy is safe.)
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    // What the widest vector wants.
    private const int Alignment = 64;

    private readonly SafeFileHandle? _file;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private nint _start;

    private MappedFile(string path, long length, void* copy)
    {
        Path = path;
        Length = length;
        _start = (nint)copy;
    }

    private MappedFile(string path, long length, SafeFileHandle file, MemoryMappedFile map, MemoryMappedViewAccessor view)
    {
        Path = path;
        Length = length;
        _file = file;
        _map = map;
        _view = view;
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = (nint)(start + view.PointerOffset);
    }

    /// <summary>Lets go of a file that nobody disposed: a view's handle is critical, and so still alive when this runs.</summary>
    ~MappedFile() => Release();

    /// <summary>The path it was opened by.</summary>
    public string Path { get; }

    /// <summary>How many bytes the file holds; never 0.</summary>
    public long Length { get; }

    /// <summary>Maps or copies a file; a copy looks for a cancellation every 64 MiB.</summary>
    /// <exception cref="ModelFormatException">There is no such file, it is empty or a folder, or it cannot be read.</exception>
    public static MappedFile Open(string path, WeightMemory memory = WeightMemory.Mapped, CancellationToken cancellation = default) =>
        Open(path, () => memory == WeightMemory.Copied ? Copy(path, cancellation) : Map(path), cancellation);

    /// <summary>Copies a file of a kind of which no more than <paramref name="most"/> bytes are read.</summary>
    /// <exception cref="ModelFormatException">As with <see cref="Open(string, WeightMemory, CancellationToken)"/>, or it is longer: nothing was copied.</exception>
    public static MappedFile Copy(string path, long most, string kind) => Open(path, () => Copy(path, CancellationToken.None, most, kind), CancellationToken.None);

    private static MappedFile Open(string path, Func<MappedFile> open, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
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
            return open();
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

    /// <summary>Refuses a mapped file that has become shorter: what is missing can no longer be read.</summary>
    /// <exception cref="ModelFormatException">It has.</exception>
    public void CheckWhole()
    {
        if (_file is null || _start == 0)
            return;
        long length = RandomAccess.GetLength(_file);
        if (length < Length)
            throw Said.Fault(Path, $"was cut short to {length} of its {Length} bytes while it was open: load it anew, or with its weights copied");
    }

    /// <summary>Lets go of the file; whatever points into it is void.</summary>
    public void Dispose()
    {
        Release();
        _view?.Dispose();
        _map?.Dispose();
        GC.SuppressFinalize(this);
    }

    private static SafeFileHandle OpenHandle(string path) => File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);

    private static MappedFile Copy(string path, CancellationToken cancellation, long most = long.MaxValue, string kind = "")
    {
        const int AtOnce = 1 << 26;
        using SafeFileHandle handle = OpenHandle(path);
        long length = RandomAccess.GetLength(handle);
        if (length > most)
            throw Said.Fault(path, $"is {length} bytes long, and at most {most} are read as {kind}");
        var copy = (byte*)NativeMemory.AlignedAlloc((nuint)length, Alignment);
        try
        {
            for (long at = 0; at < length;)
            {
                cancellation.ThrowIfCancellationRequested();
                int read = RandomAccess.Read(handle, new Span<byte>(copy + at, (int)Math.Min(AtOnce, length - at)), at);
                if (read == 0)
                    throw new EndOfStreamException($"it ended at {at} of its {length} bytes while it was read");
                at += read;
            }

            return new MappedFile(path, length, copy);
        }
        catch
        {
            NativeMemory.AlignedFree(copy);
            throw;
        }
    }

    private static MappedFile Map(string path)
    {
        SafeFileHandle handle = OpenHandle(path);
        MemoryMappedFile? map = null;
        MemoryMappedViewAccessor? view = null;
        try
        {
            long length = RandomAccess.GetLength(handle);
            map = MemoryMappedFile.CreateFromFile(handle, null, length, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(path, length, handle, map, view);
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
        nint start = Interlocked.Exchange(ref _start, 0);
        if (start == 0)
            return;
        if (_view is null)
            NativeMemory.AlignedFree((void*)start);
        else
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
    }
}
