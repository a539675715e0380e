using System.Globalization;
using System.Text;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Cli.Tests;

/// <summary>Every refusal: an exit code, one line on the error stream, nothing on the output.</summary>
public sealed class RefusalTests
{
    /// <summary>Wrong by the call's own words, whatever the model and the input.</summary>
    [Theory]
    [InlineData("heads write", "--layer")]
    [InlineData("heads write --layer -1", "--layer is '-1': use a whole number, 0 or more")]
    [InlineData("heads write --layer one", "--layer is 'one': use a whole number, 0 or more")]
    [InlineData("heads write --layer 0 --threshold 0", "--threshold is '0': use a number above 0, up to 1")]
    [InlineData("heads write --layer 0 --threshold 1.5", "--threshold is '1.5': use a number above 0, up to 1")]
    [InlineData("heads write --layer 0 --threshold -0.1", "--threshold is '-0.1'")]
    [InlineData("heads write --layer 0 --threshold NaN", "--threshold is 'NaN'")]
    [InlineData("heads write --layer 0 --rule most", "--rule is 'most': use share, top or max")]
    [InlineData("heads write --layer 0 --layer 1", "--layer")]
    [InlineData("heads write --layer 0 --via q", "--via")]
    [InlineData("heads read --layer 0", "nothing to read: give one of --dim I, --head L.H, --token ID and --unembedding ID")]
    [InlineData("heads read --layer 1 --dim 1 --head 0.1", "several directions to read: give one of --dim I, --head L.H, --token ID and --unembedding ID")]
    [InlineData("heads read --layer 1 --token 1 --unembedding 1", "several directions")]
    [InlineData("heads read --layer 1 --head 1.0", "--head is 1.0: layer 1 reads what heads of the layers below it wrote")]
    [InlineData("heads read --layer 1 --head 3", "--head is '3': use a layer and a head, such as 0.3")]
    [InlineData("heads read --layer 1 --dim -1", "--dim is '-1'")]
    [InlineData("heads read --layer 1 --dim 1 --via x", "--via is 'x': use q, k, v or several, such as q,k")]
    [InlineData("heads read --layer 1 --dim 1 --via q,", "--via is 'q,'")]
    [InlineData("heads", "see arrakis heads --help")]
    [InlineData("flow --dst 1", "--src")]
    [InlineData("flow --src 1", "--dst")]
    [InlineData("flow --src x --dst 1", "--src is 'x': use a position such as 3, -1 for the last, or token:ID")]
    [InlineData("flow --src token:-1 --dst 1", "--src is 'token:-1'")]
    [InlineData("flow --src 3 --dst 1", "--src 3 comes after --dst 1")]
    [InlineData("flow --src -1 --dst -3", "--src -1 comes after --dst -3")]
    [InlineData("flow --src 1 --dst 2 --layers 0", "--layers is '0': use a whole number, 1 or more")]
    [InlineData("flow --src 1 --dst 2 --from -1", "--from is '-1'")]
    [InlineData("flow --src 1 --dst 2 --mlp melted", "--mlp is 'melted': use frozen or source")]
    [InlineData("flow --src 1 --dst 2 --target token", "--target is 'token': use residual, token:ID such as token:42, query:HEAD:KEY or key:HEAD:QUERY")]
    [InlineData("flow --src 1 --dst 2 --target key:1", "--target is 'key:1': use residual, token:ID such as token:42, query:HEAD:KEY or key:HEAD:QUERY")]
    [InlineData("flow --src 1 --dst 2 --paths -1", "--paths is '-1': use a whole number from 0 to 65536")]
    [InlineData("flow --src 1 --dst 2 --paths 65537", "--paths is '65537'")]
    [InlineData("flow --src 1 --dst 2 --edges -1", "--edges is '-1'")]
    [InlineData("routes", "--dst")]
    [InlineData("routes --dst 1 --tau 1", "--tau is '1': use a number from 0, below 1")]
    [InlineData("compose --kind o", "--kind is 'o': use k, q or v")]
    [InlineData("compose --layers 2-1", "--layers is '2-1': use A-B, such as 0-3")]
    [InlineData("compose --top 0", "--top is '0': use a whole number, 1 or more")]
    [InlineData("compose --offset -1", "--offset is '-1'")]
    [InlineData("run --record nonsense", "--record")]
    [InlineData("run --kernels sse", "--kernels is 'sse': use auto, scalar, vector, avx2 or avx512")]
    [InlineData("generate --temperature -1", "--temperature is '-1': use 0 (greedy) or more")]
    [InlineData("generate --top-p 0", "--top-p is '0'")]
    [InlineData("run --random 3", "several inputs: give one of --text, --ids, --ids-file and --random")]
    [InlineData("run --text Hi", "several inputs")]
    [InlineData("run --no-bos", "--no-bos goes with --text: ids are taken as they are")]
    [InlineData("nonsense", "see arrakis --help")]
    [InlineData("run --nonsense", "see arrakis run --help")]
    public void Wrong_calls(string call, string says) => Refused(2, says, [.. call.Split(' '), .. GoldenModel.First.Options]);

    [Theory]
    [InlineData("heads write --layer 0", "no input: give --text TEXT, --ids 1,2,3, --ids-file FILE or --random N")]
    [InlineData("heads read --layer 0 --dim 1", "no input")]
    [InlineData("flow --src 0 --dst 1", "no input")]
    [InlineData("routes --dst 0", "no input")]
    [InlineData("run", "no input")]
    [InlineData("run --ids 1,x", "--ids holds 'x': use token ids such as 1,2,3")]
    [InlineData("run --ids ,", "--ids holds no token id")]
    [InlineData("run --threads -2", "--threads is '-2': use a whole number from 0 to 1024")]
    [InlineData("run --threads 2147483647", "--threads is '2147483647': use a whole number from 0 to 1024")]
    [InlineData("run --random 0", "--random is '0': use a whole number, 1 or more")]
    public void Wrong_inputs(string call, string says)
    {
        Refused(2, says, [.. call.Split(' '), "--model", GoldenModel.First.Folder]);
        // The same of the bundled model.
        Refused(2, says, call.Split(' '));
    }

    /// <summary>A source after its destination is a wrong call however the two are written, though only the input shows where they are.</summary>
    [Theory]
    [InlineData("-1", "1", "--src -1 is position 10, after --dst 1 at 1")]
    [InlineData("5", "-9", "--src 5 is position 5, after --dst -9 at 2")]
    [InlineData("token:12", "token:5", "--src token:12 is position 10, after --dst token:5 at 1")]
    [InlineData("token:12", "-2", "--src token:12 is position 10, after --dst -2 at 9")]
    [InlineData("4", "token:5", "--src 4 is position 4, after --dst token:5 at 1")]
    public void Sources_after_the_destination(string src, string dst, string says) =>
        Refused(2, says, ["flow", "--src", src, "--dst", dst, .. GoldenModel.First.Options]);

    /// <summary>What only the model, the input or a file shows.</summary>
    [Theory]
    [InlineData("heads write --layer 3", "layer 3 is not in the model: use 0 to 2")]
    [InlineData("heads write --layer 3 --weights-only", "layer 3 is not in the model")]
    [InlineData("heads read --layer 3 --dim 0", "layer 3 is not in the model")]
    [InlineData("heads read --layer 1 --dim 40", "dimension 40 is not in the residual stream: use 0 to 39")]
    [InlineData("heads read --layer 1 --head 0.6", "head 6 is not in the model: use 0 to 5")]
    [InlineData("heads read --layer 1 --token 97", "token id 97 is outside the vocabulary: use 0 to 96")]
    [InlineData("flow --src 0 --dst 11", "--dst is 11, outside the input of 11 tokens: use 0 to 10, or -11 to -1 from the end")]
    [InlineData("flow --src -12 --dst 1", "--src is -12, outside the input")]
    [InlineData("flow --src token:50 --dst 1", "--src is token:50, which is not in the input: name a token that is, or a position")]
    [InlineData("flow --src 0 --dst 1 --layers 4", "--layers is 4: from layer 0 this model has 3")]
    [InlineData("flow --src 0 --dst 1 --from 3", "--from is 3: this model has layers 0 to 2")]
    [InlineData("flow --src 0 --dst 1 --target key:99:3", "head 99 is not in the model: use 0 to ")]
    [InlineData("flow --src 0 --dst 1 --target key:0:0", "query 0 comes before its key at 1")]
    [InlineData("flow --src 0 --dst 1 --target query:0:2", "key 2 comes after its query at 1")]
    [InlineData("flow --src 0 --dst 1 --target query:0:1 --layers 3", "no head reads behind the last layer: for a score let the flow end before layer 2 or a lower one")]
    [InlineData("flow --src 0 --dst 1 --target query:0:1 --from 2", "no head reads behind the last layer: for a score start before a lower one")]
    [InlineData("flow --src 0 --dst 1 --target token:97", "token id 97 is outside the vocabulary")]
    [InlineData("flow --src 0 --dst 1 --target token:3 --layers 2", "a logit is only reached from the last layer: trace 3 layers, or take the residual as the target")]
    [InlineData("routes --dst 11", "--dst is 11, outside the input")]
    [InlineData("compose --layers 1-3", "layer")]
    [InlineData("run --record all --layers 0-3", "layers")]
    public void What_there_is_not(string call, string says) => Refused(1, says, [.. call.Split(' '), .. GoldenModel.First.Options]);

    [Fact]
    public void Files_and_models()
    {
        using var folder = new TemporaryFolder();
        string model = GoldenModel.First.Folder;
        Refused(1, "cannot read", "run", "--model", model, "--ids-file", folder.File("none"));
        Refused(1, $"cannot read {folder.Path}: it is a folder; name a file of ids", "run", "--model", model, "--ids-file", folder.Path);
        Refused(1, "holds 'x'", "run", "--model", model, "--ids-file", folder.Write("ids", "1 2 x"));
        Refused(1, "none", "heads", "write", "--layer", "0", "--random", "3", "--model", folder.File("none"));
        Refused(1, "--random is 3000", "run", "--model", model, "--random", "3000");
        Refused(1, "97", "run", "--model", model, "--ids", "97");
    }

    /// <summary>What a call or a file holds does not steer the terminal that it is shown on, nor fill it.</summary>
    [Fact]
    public void What_is_quoted_is_harmless_and_short()
    {
        using var folder = new TemporaryFolder();
        string bad = "\u001b[31m\u0007" + new string('x', 10_000);
        foreach (string[] call in new string[][]
        {
            ["run", "--ids", bad], ["run", "--ids-file", folder.Write("ids", bad)], ["run", "--record", bad], ["run", "--threads", bad], ["run", "--kernels", bad],
            ["generate", "--temperature", bad], ["run", $"--{bad}"], [bad],
        })
        {
            Called called = Called.With(call);
            Assert.NotEqual(0, called.Code);
            Assert.DoesNotContain(called.Error.TrimEnd('\n'), char.IsControl);
            Assert.Contains("\\u001b[31m\\u0007xxx", called.Error);
            Assert.InRange(called.Error.Length, 1, 1000);
        }

        Called place = Called.With("report", "-o", "\u001b[31m/page.html");
        Assert.Equal("arrakis: cannot write \\u001b[31m/page.html: its folder does not exist; make it first\n", place.Error);
    }

    [Fact]
    public void Help_and_refusal_name_the_bundled_models()
    {
        const string Names = "tales, induction, induction-gqa";
        Refused(1, $"--model nonexist does not exist: name a model's folder or its .gguf or .bin file, or a bundled model ({Names})", "info", "--model", "nonexist");
        string help = string.Join(' ', Called.Text("run", "--help").Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains($"a bundled model's name: {Names} [default: tales]", help);
    }

    [Theory]
    [InlineData("heads write --layer 0")]
    [InlineData("flow --src 0 --dst 1")]
    [InlineData("routes --dst 0")]
    [InlineData("compose")]
    [InlineData("run")]
    [InlineData("generate -n 3")]
    [InlineData("ablate")]
    [InlineData("patch --source 0,1,2,3,4,5,6,7,8,9,10")]
    public void Cancelled(string call)
    {
        Called called = Called.With(new CancellationToken(canceled: true), [.. call.Split(' '), .. GoldenModel.First.Options]);
        Assert.Equal((130, "", ""), (called.Code, called.Output, called.Error));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_nobody_foresaw_is_one_line_too(bool verbose)
    {
        using var output = new BrokenWriter();
        using var error = new StringWriter(CultureInfo.InvariantCulture);
        string[] call = ["info", "--model", GoldenModel.First.Folder, "--json"];
        int code = Program.Run(verbose ? [.. call, "--verbose"] : call, output, error, CancellationToken.None);
        string[] lines = error.ToString().TrimEnd().Split('\n');
        Assert.Equal(1, code);
        Assert.Equal("arrakis: NotSupportedException: out of ink: this is a fault of the program; --verbose shows where it is", lines[0]);
        Assert.Equal(verbose, lines.Length > 1);
        Assert.Equal(verbose, error.ToString().Contains(nameof(BrokenWriter), StringComparison.Ordinal));
    }

    /// <summary>An error stream that is closed or full is no reason to end otherwise.</summary>
    [Theory]
    [InlineData(2, "run --nonsense")]
    [InlineData(1, "run --ids 97 --verbose")]
    [InlineData(0, "heads write --layer 0 --weights-only --ids 1 --json")]
    public void Nobody_need_hear_what_is_said(int code, string call)
    {
        // What a disk that is full gives, and a stream that is closed.
        foreach (Exception why in new Exception[] { new IOException(), new UnauthorizedAccessException() })
        {
            using var output = new StringWriter(CultureInfo.InvariantCulture);
            using var error = new RefusingWriter(why);
            Assert.Equal(code, Program.Run([.. call.Split(' '), "--model", GoldenModel.First.Folder], output, error, CancellationToken.None));
            Assert.Equal(code == 0, output.ToString().EndsWith("}\n", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void An_input_that_makes_no_difference_is_named()
    {
        Called called = Called.With(["heads", "write", "--layer", "0", "--weights-only", .. GoldenModel.First.Options, "--json"]);
        Assert.Equal((0, "arrakis: --weights-only looks at the weights alone: the input is not used\n"), (called.Code, called.Error));
    }

    [Fact]
    public void Info_takes_the_options_of_everywhere()
    {
        string[] call = ["info", "--model", GoldenModel.First.Folder, "--json"];
        Called alone = Called.With(call), run = Called.With([.. call, "--threads", "1", "--kernels", "scalar"]);
        Assert.Equal((0, "", alone.Output), (run.Code, run.Error, run.Output));
        foreach (string input in new[] { "--ids 1,2,3", "--ids-file nowhere", "--random 3 --seed 1" })
        {
            Called given = Called.With([.. call, .. input.Split(' ')]);
            Assert.Equal((0, "arrakis: info looks at the weights alone: the input is not used\n", alone.Output), (given.Code, given.Error, given.Output));
        }
    }

    private static void Refused(int code, string says, params string[] args)
    {
        foreach (string[] call in new[] { args, [.. args, "--json"] })
        {
            Called called = Called.With(call);
            Assert.Equal(code, called.Code);
            Assert.Equal("", called.Output);
            Assert.StartsWith("arrakis: ", called.Error);
            Assert.Contains(says, called.Error);
            Assert.Equal(1, called.Error.Count(c => c == '\n'));
        }
    }

    private sealed class RefusingWriter(Exception why) : TextWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => throw why;
    }

    private sealed class BrokenWriter : TextWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => throw new NotSupportedException("out of ink.");

        public override void Write(string? value) => throw new NotSupportedException("out of ink.");
    }
}
