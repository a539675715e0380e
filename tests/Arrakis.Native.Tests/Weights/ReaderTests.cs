using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests.Weights;

/// <summary>Every reader, fed with what fuzzing has kept: files that took it down branches of their own, and any that it once did not survive.</summary>
public sealed class ReaderTests
{
    public static TheoryData<string> Names => [.. Readers.All.Select(reader => reader.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Seeds_are_read(string name)
    {
        Reader reader = Readers.All.Single(reader => reader.Name == name);
        foreach (byte[] seed in reader.Seeds)
        {
            using var folder = new TemporaryFolder();
            reader.Read(folder, seed);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_fuzzing_kept_is_read_or_refused_on_one_line(string name)
    {
        Reader reader = Readers.All.Single(reader => reader.Name == name);
        string[] kept = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Corpus", name));
        Assert.NotEmpty(kept);
        using var folder = new TemporaryFolder();
        foreach (string file in kept)
        {
            try
            {
                reader.Read(folder, File.ReadAllBytes(file));
            }
            catch (ArrakisException refusal)
            {
                Refusal.IsOneLine(refusal.Message);
            }
        }
    }
}
