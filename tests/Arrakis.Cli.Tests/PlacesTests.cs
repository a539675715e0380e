using System.Diagnostics;

namespace Arrakis.Cli.Tests;

/// <summary>Where results are written: never over what the call reads, nor over what is no plain file.</summary>
public sealed class PlacesTests : IDisposable
{
    private readonly WordModel _words = new();

    public void Dispose() => _words.Dispose();

    [Theory]
    [InlineData("--save", "run --ids 1 --save {0}/model.safetensors --model {0}")]
    [InlineData("--save", "run --ids 1 --save {0}/config.json --model {0}/model.safetensors")]
    [InlineData("--save", "run --ids 1 --save {0}/words.json --model {0} --tokenizer {0}/words.json")]
    [InlineData("--save", "run --ids 1 --save {0}/../{1}/link/tokenizer.json --model {0}")]
    [InlineData("--save", "run --ids 1 --save {0}/model.safetensors --model {0}/link")]
    [InlineData("--output", "report -o {0}/ids.txt --ids-file {0}/ids.txt --model {0}")]
    [InlineData("--data", "report -o {0}/page.html --data {0}/model.safetensors --ids 1 --model {0}")]
    public void Not_over_what_is_read(string option, string call)
    {
        _words.Folder.Write("ids.txt", "1 2 3");
        _words.Folder.Write("words.json", _words.Tokenizer);
        Directory.CreateSymbolicLink(_words.Folder.File("link"), _words.Path);
        string[] before = Files();
        Called called = Called.With([.. call.Split(' ').Select(word => word.Replace("{0}", _words.Path).Replace("{1}", Path.GetFileName(_words.Path)))]);
        Assert.Equal((2, ""), (called.Code, called.Output));
        Assert.StartsWith($"arrakis: {option} is ", called.Error, StringComparison.Ordinal);
        Assert.EndsWith(", which this call reads: name another file\n", called.Error);
        Assert.Equal(before, Files());

        string[] Files() => [.. Directory.GetFiles(_words.Path).Order().Select(file => $"{file} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))}")];
    }

    /// <summary>Beside a model there is room, also for what was written there before.</summary>
    [Fact]
    public void Beside_a_model_is_a_place()
    {
        for (int i = 0; i < 2; i++)
            Called.Text("run", "--model", Path.Combine(_words.Path, "model.safetensors"), "--ids", "1", "--save", _words.Folder.File("run.safetensors"));
    }

    [Theory]
    [InlineData("run --save")]
    [InlineData("report -o")]
    public void Not_over_a_pipe(string call)
    {
        string pipe = _words.Folder.File("pipe");
        Process.Start("mkfifo", [pipe]).WaitForExit();
        Called called = Called.With([.. call.Split(' '), pipe, .. GoldenModel.First.Options]);
        Assert.Equal((1, "", $"arrakis: cannot write {pipe}: it is a device or a pipe; name a file\n"), (called.Code, called.Output, called.Error));
    }

    /// <summary>The file that is written beside has a longer name, which is not the one that was asked for.</summary>
    [Fact]
    public void What_cannot_be_written_goes_by_its_own_name()
    {
        string page = _words.Folder.File(new string('p', 240));
        Called called = Called.With(["report", "-o", page, .. GoldenModel.First.Options]);
        Assert.Equal(1, called.Code);
        Assert.StartsWith($"arrakis: cannot write {page}: ", called.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(".tmp", called.Error);
    }

    /// <summary>A result that is refused leaves the file that stood there.</summary>
    [Fact]
    public void Not_before_the_result_is_known()
    {
        string saved = _words.Folder.Write("saved", "mine");
        _words.BreakWeights();
        Called called = Called.With("run", "--model", _words.Path, "--ids", "1", "--save", saved);
        Assert.Equal((1, ""), (called.Code, called.Output));
        Assert.Contains("not finite", called.Error);
        Assert.Equal("mine", File.ReadAllText(saved));
    }
}
