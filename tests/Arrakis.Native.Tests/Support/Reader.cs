namespace Arrakis.Native.Tests.Support;

/// <summary>
/// A reader of a file format, fed with bytes that may be anything: it reads everything there is to read, or refuses with an <see cref="ArrakisException"/>.
/// Another format joins by one more entry of the engine's or the tokenizers' readers.
/// </summary>
/// <param name="Name">The format.</param>
/// <param name="Seeds">Small valid files, to spoil.</param>
/// <param name="Words">What the format's files are made of, for a fuzzer to insert.</param>
/// <param name="Read">Reads a file's bytes, in a folder of the caller's.</param>
internal sealed record Reader(string Name, byte[][] Seeds, string[] Words, Action<TemporaryFolder, byte[]> Read)
{
    /// <summary>What JSON is made of.</summary>
    public static string[] Json { get; } =
        ["{", "}", "[", "]", ",", ":", "\"", "null", "true", "1e999", "-1", "0.5", "9223372036854775808", "\\u0000", "\ud83d\ude00", " "];

    public override string ToString() => Name;
}
