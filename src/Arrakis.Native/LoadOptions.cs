namespace Arrakis.Native;

/// <summary>Where the weights of a model are while it is open.</summary>
public enum WeightMemory
{
    /// <summary>
    /// In the file, mapped: opening takes no time, and the operating system shares and drops pages as it likes. A file that another program cuts short
    /// is noticed before the next pass and refused; but one that is cut short in the midst of a pass ends the process, by the operating system's hand, as it ends
    /// every program that maps files, and one whose bytes are overwritten changes the weights. (Replacing the file by renaming another over it does neither.)
    /// </summary>
    Mapped,

    /// <summary>In the process's own memory, read once when the model is opened: nothing that happens to the file afterwards matters.</summary>
    Copied,
}

/// <summary>How a model is opened.</summary>
public sealed record LoadOptions
{
    /// <summary>Where its weights are kept.</summary>
    public WeightMemory Memory { get; init; }
}
