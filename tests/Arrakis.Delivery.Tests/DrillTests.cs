using System.Text.RegularExpressions;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Delivery.Tests;

/// <summary>Faults that belong in a process of their own. Nothing is built for them, so they run beside what is.</summary>
public sealed class DrillTests : IDisposable
{
    private const int BusError = 7;
    private const int Abort = 6;
    private const int SignalBase = 128;

    private readonly TemporaryFolder _folder = new();

    private static readonly string s_drills = Path.Combine(AppContext.BaseDirectory, "Arrakis.Drills.dll");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Weights_that_were_copied_outlive_their_file()
    {
        Ran ran = (await Ran.Dotnet([s_drills, "cut", "copied", _folder.Path])).Succeeded();
        Assert.Equal(["cut", "the same"], ran.Lines);
    }

    [Fact]
    public async Task Mapped_weights_cut_short_in_the_midst_of_a_pass_end_the_process_as_is_documented()
    {
        Ran ran = await Ran.Dotnet([s_drills, "cut", "mapped", _folder.Path]);
        Assert.Equal(["cut"], ran.Lines);
        Assert.Contains(ran.ExitCode, new[] { SignalBase + BusError, SignalBase + Abort });
    }

    [Fact]
    public async Task Refused_memory_is_said_and_nothing_is_lost()
    {
        Ran ran = (await Ran.Dotnet([s_drills, "refuse-memory"], null, ("DOTNET_GCHeapHardLimit", "0x6000000"))).Succeeded();
        Assert.Equal("holds: the pool has its arenas", ran.Lines[^1]);
    }

    [Fact]
    public async Task A_full_disk_leaves_what_stood_there()
    {
        string folder = _folder.Path;
        // 16 blocks of 512 or 1,024 bytes: the first recording fits, the second does not. The signal that comes with the limit is not a full disk's, and is left out.
        const string Script = "trap '' XFSZ; ulimit -f 16; exec dotnet \"$@\"";
        Ran ran = await Ran.Process("bash", ["-c", Script, "bash", s_drills, "full-disk", folder], null, ("DOTNET_EnableWriteXorExecute", "0"));
        Assert.Equal("left: cache.safetensors", ran.Succeeded().Lines[^1]);
        Assert.StartsWith($"cannot write {Path.Combine(folder, "cache.safetensors")}: ", ran.Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fuzzing_in_its_short_form_finds_nothing()
    {
        // A few seconds' a reader here, and ten times what new edges take; a number and not a time, so that a busy machine tries as many.
        const string Inputs = "5000";
        string found = _folder.Path;
        Ran ran = await Ran.Dotnet([s_drills, "fuzz", "--inputs", Inputs, "--found", found]);
        Assert.True(ran.ExitCode == 0, ran.Output + ran.Errors);
        Assert.Empty(Directory.GetFiles(found));
        foreach (string line in ran.Lines)
        {
            Match match = Regex.Match(line, "^(.+): ([0-9]+) inputs took ([0-9]+) edges, ([0-9]+) of them the seeds'; ([0-9]+) files kept, 0 found$");
            Assert.True(match.Success, line);
            Assert.Equal(Inputs, match.Groups[2].Value);
            // That it is guided by coverage shows in edges which no seed takes.
            Assert.True(int.Parse(match.Groups[3].Value) > int.Parse(match.Groups[4].Value), line);
        }

        Assert.Equal(11, ran.Lines.Length);
    }
}
