using Arrakis.Native.Tests.Support;
using Arrakis.Text.Tests.Support;

namespace Arrakis.Drills.Fuzzing;

/// <summary>What is fuzzed.</summary>
internal static class Fuzzed
{
    /// <summary>The engine's readers, and those of tokenizers.</summary>
    public static IReadOnlyList<Reader> All { get; } = [.. Readers.All, .. TokenizerReaders.All];
}
