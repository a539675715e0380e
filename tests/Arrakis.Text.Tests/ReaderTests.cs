using Arrakis.Drills.Fuzzing;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Tests.Weights;
using Arrakis.Text.Tests.Support;

namespace Arrakis.Text.Tests;

/// <summary>Every reader of tokenizers, fed with valid files, with what fuzzing has kept, and with valid files spoiled.</summary>
public sealed class ReaderTests
{
    private const int Mutations = 2000;

    public static TheoryData<string> Names => [.. TokenizerReaders.All.Select(reader => reader.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Seeds_are_read(string name)
    {
        foreach (byte[] seed in Of(name).Seeds)
        {
            using var folder = new TemporaryFolder();
            Of(name).Read(folder, seed);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_fuzzing_kept_is_read_or_refused_on_one_line(string name)
    {
        string[] kept = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Corpus", name));
        Assert.NotEmpty(kept);
        using var folder = new TemporaryFolder();
        foreach (string file in kept)
            IsRefused(Of(name), folder, File.ReadAllBytes(file));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Spoiled_files_are_read_or_refused_on_one_line(string name)
    {
        Reader reader = Of(name);
        var random = new Random(name.Length);
        var mutator = new Mutator(random, reader.Words);
        using var folder = new TemporaryFolder();
        int refused = 0;
        for (int i = 0; i < Mutations; i++)
        {
            byte[] Any() => reader.Seeds[random.Next(reader.Seeds.Length)];
            refused += IsRefused(reader, folder, mutator.Mutate(Any(), Any())) ? 1 : 0;
        }

        // Were everything or nothing refused, the mutations would be testing little.
        Assert.InRange(refused, Mutations / 10, Mutations - 1);
    }

    private static Reader Of(string name) => TokenizerReaders.All.Single(reader => reader.Name == name);

    private static bool IsRefused(Reader reader, TemporaryFolder folder, byte[] bytes)
    {
        try
        {
            reader.Read(folder, bytes);
            return false;
        }
        catch (ArrakisException refusal)
        {
            Refusal.IsOneLine(refusal.Message);
            return true;
        }
    }
}
