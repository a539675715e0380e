namespace Arrakis.Native;

/// <summary>
/// Something a user can put right: a file that is not what it says, a model that is not supported, a recording over budget.
/// The message is one line: what is wrong, with the values, and what to do where that is known.
/// </summary>
public class ArrakisException : Exception
{
    /// <summary>An error with its one line.</summary>
    public ArrakisException(string message) : base(message) { }

    /// <summary>An error with its one line and what caused it.</summary>
    public ArrakisException(string message, Exception? innerException) : base(message, innerException) { }
}

/// <summary>A model file, or a saved cache, that is damaged, lies about itself, or asks for what is not supported.</summary>
public sealed class ModelFormatException : ArrakisException
{
    /// <summary>An error in <paramref name="path"/>: the message becomes <c>path: what</c>.</summary>
    /// <param name="path">The file at fault.</param>
    /// <param name="what">What is wrong with it, naming the tensor or key and the values.</param>
    /// <param name="innerException">What caused it, if anything did.</param>
    internal ModelFormatException(string path, string what, Exception? innerException = null)
        : base($"{path}: {what}", innerException) => Path = path;

    /// <summary>The file at fault.</summary>
    public string Path { get; }
}
