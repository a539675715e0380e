using System.Diagnostics;
using System.Globalization;
using Arrakis.Native;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary>How the command is stopped from outside: as a process of its own, by signals.</summary>
public sealed class StopTests
{
    /// <summary>A pipe that nobody writes to is waited for until a signal comes; the exit code says which.</summary>
    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public async Task A_signal_stops_it(string signal, int code)
    {
        using var folder = new TemporaryFolder();
        string pipe = folder.File("ids");
        await Process.Start("mkfifo", [pipe]).WaitForExitAsync();
        using Process child = Start("run", "--model", GoldenModel.First.Folder, "--ids-file", pipe);
        // To open it for writing waits for the one who reads.
        using FileStream writer = await Task.Run(() => new FileStream(pipe, FileMode.Open, FileAccess.Write));
        await Send(signal, child);
        Assert.Equal("", await child.StandardError.ReadToEndAsync());
        await child.WaitForExitAsync();
        Assert.Equal(code, child.ExitCode);
    }

    /// <summary>What does not look at the first signal, because nobody reads its output, ends with the second.</summary>
    [Fact]
    public async Task The_second_signal_ends_it_at_once()
    {
        using Process child = Start("tokenize", "--ids", string.Join(',', Enumerable.Repeat(1, 30_000)), "--json");
        Assert.Equal('{', (char)child.StandardOutput.BaseStream.ReadByte());
        await Send("INT", child);
        Assert.False(child.WaitForExit(500));
        await Send("INT", child);
        await child.WaitForExitAsync();
        Assert.Equal(130, child.ExitCode);
    }

    [Fact]
    public void Random_weights_look_at_the_cancellation()
    {
        var config = new LlamaConfig
        {
            HiddenSize = 8,
            IntermediateSize = 8,
            NumHiddenLayers = 1,
            NumAttentionHeads = 1,
            NumKeyValueHeads = 1,
            HeadDim = 8,
            VocabSize = 8,
            MaxPositionEmbeddings = 8,
        };
        Assert.Throws<OperationCanceledException>(() => LlamaModel.CreateRandom(config, 1, cancellation: new CancellationToken(canceled: true)));
    }

    private static Process Start(params string[] call)
    {
        // Whoever runs the tests may ignore signals, as nohup does, and what it starts would go on to.
        string[] words = ["--default-signal=HUP,INT,TERM", "dotnet", typeof(Program).Assembly.Location, .. call];
        var start = new ProcessStartInfo("env", words) { RedirectStandardOutput = true, RedirectStandardError = true };
        return Process.Start(start)!;
    }

    private static Task Send(string signal, Process to) => Process.Start("kill", [$"-{signal}", to.Id.ToString(CultureInfo.InvariantCulture)]).WaitForExitAsync();
}
