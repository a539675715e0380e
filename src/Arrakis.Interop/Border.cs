using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;
using Arrakis.Native;

namespace Arrakis.Interop;

/// <summary>arrakis_status.</summary>
internal enum Status
{
    Ok,
    Invalid,
    Failed,
    BadFile,
    Buffer,
    NotNow,
    Closed,
    OutOfMemory,
    Fault,
}

/// <summary>A failure that already knows its status.</summary>
internal sealed class BorderException(Status status, string message) : Exception(message)
{
    public Status Status { get; } = status;
}

/// <summary>What lies between a caller in C and managed code: no exception crosses it, and a handle is looked up, never followed.</summary>
internal static unsafe class Border
{
    private static readonly ConcurrentDictionary<nint, object> s_open = new();
    private static long s_lastHandle;

    [ThreadStatic]
    private static string? t_lastError;

    /// <summary>Does the work of one call; whatever it throws becomes a status and this thread's message.</summary>
    [SuppressMessage("Design", "CA1031", Justification = "An exception that crossed the border would end the caller's process.")]
    public static Status Cross(Action call)
    {
        try
        {
            call();
            return Status.Ok;
        }
        catch (Exception e)
        {
            t_lastError = e.Message.ReplaceLineEndings(" ");
            return e switch
            {
                BorderException known => known.Status,
                ModelFormatException => Status.BadFile,
                ArrakisException { InnerException: System.OutOfMemoryException } or System.OutOfMemoryException => Status.OutOfMemory,
                ArrakisException => Status.Failed,
                ObjectDisposedException => Status.Closed,
                ArgumentException => Status.Invalid,
                InvalidOperationException => Status.NotNow,
                _ => Status.Fault,
            };
        }
    }

    /// <summary>Writes this thread's last message, cut to whole characters; returns the bytes that all of it takes with its zero.</summary>
    public static nuint LastError(byte* buffer, nuint capacity)
    {
        string message = t_lastError ?? "";
        if (buffer != null && capacity > 0)
        {
            var room = new Span<byte>(buffer, (int)Math.Min(capacity, int.MaxValue));
            Utf8.FromUtf16(message, room[..^1], out _, out int written);
            room[written] = 0;
        }

        return (nuint)Encoding.UTF8.GetByteCount(message) + 1;
    }

    /// <summary>Keeps an object open under a new handle. Handles are odd, so that none is an aligned address, and no handle is given twice.</summary>
    public static nint Open(object target)
    {
        var handle = (nint)(Interlocked.Add(ref s_lastHandle, 2) - 1);
        s_open[handle] = target;
        return handle;
    }

    /// <summary>The object of a handle.</summary>
    public static T Get<T>(nint handle) where T : class => s_open.TryGetValue(handle, out object? target) && target is T found ? found : throw NotOpen<T>();

    /// <summary>Forgets a handle and disposes its object; one that is in use stays open.</summary>
    public static void Close<T>(nint handle) where T : class, IDisposable
    {
        T target = Get<T>(handle);
        if (!s_open.TryRemove(KeyValuePair.Create<nint, object>(handle, target)))
            throw NotOpen<T>();
        try
        {
            target.Dispose();
        }
        catch
        {
            s_open[handle] = target;
            throw;
        }
    }

    /// <summary>Text of the caller's.</summary>
    public static string Text(byte* text, string name)
    {
        NotNull(text, name);
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
        }
        catch (ArgumentException)
        {
            throw new BorderException(Status.Invalid, $"{name} is not UTF-8");
        }
    }

    public static void NotNull(void* pointer, string name)
    {
        if (pointer == null)
            throw new BorderException(Status.Invalid, $"{name} is null");
    }

    /// <summary>Numbers of the caller's to read.</summary>
    public static ReadOnlySpan<T> In<T>(T* values, nuint count, string name) where T : unmanaged
    {
        if (count > int.MaxValue)
            throw new BorderException(Status.Invalid, $"{name} are {count}, which is more than can be taken at once");
        if (count > 0)
            NotNull(values, name);
        return new ReadOnlySpan<T>(values, (int)count);
    }

    /// <summary>The caller's buffer for so many numbers; empty where none is wanted.</summary>
    public static Span<T> Out<T>(T* values, nuint capacity, int count, string name) where T : unmanaged
    {
        if (values == null)
            return capacity == 0 ? default : throw new BorderException(Status.Invalid, $"{name} is null, and its capacity is {capacity}");
        if (capacity < (nuint)count)
            throw new BorderException(Status.Buffer, $"{name} needs room for {count} numbers and has room for {capacity}");
        return new Span<T>(values, count);
    }

    private static BorderException NotOpen<T>() =>
        new(Status.Closed, $"the handle is of no open {(typeof(T) == typeof(Model) ? "model" : "session")}: it was closed, or never opened");
}
