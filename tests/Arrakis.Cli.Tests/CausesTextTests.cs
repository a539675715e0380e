using System.Text.Json;

namespace Arrakis.Cli.Tests;

/// <summary><c>ablate</c> and <c>patch</c> in the words of the model's tokenizer: what is asked in texts, and what is shown of the answer.</summary>
public sealed class CausesTextTests : IDisposable
{
    private readonly WordModel _words = new();

    private string[] Input => ["--model", _words.Path, "--text", "w17 w4 w50 w6", "--threads", "1"];

    private string[] InputIds => ["--model", _words.Path, "--ids", "1,17,4,50,6", "--threads", "1"];

    public void Dispose() => _words.Dispose();

    [Theory]
    [InlineData("ablate --kind resample", "--reference", "1,17,9,50,6", "w17 w9 w50 w6")]
    [InlineData("ablate --kind mean", "--reference", "1,9", "w9")]
    [InlineData("ablate --loss --kind mean", "--reference", "1,9", "w9")]
    [InlineData("patch", "--source", "1,17,9,50,6", "w17 w9 w50 w6")]
    [InlineData("patch --sender 0.1 --token 7", "--source", "1,17,9,50,6", "w17 w9 w50 w6")]
    public void Other_inputs_are_the_ids_that_their_texts_stand_for(string command, string option, string ids, string text)
    {
        string[] words = command.Split(' ');
        Called byIds = Called.With([.. words, option, ids, .. InputIds, "--json"]);
        Assert.Equal((0, ""), (byIds.Code, byIds.Error));
        Assert.Equal(byIds, Called.With([.. words, option + "-text", text, .. Input, "--json"]));
        // A text beside an input of ids, too.
        Assert.Equal(byIds, Called.With([.. words, option + "-text", text, .. InputIds, "--json"]));
        Assert.Equal(byIds, Called.With([.. words, option + "-text", "<s> " + text, .. InputIds, "--no-bos", "--json"]));
    }

    [Fact]
    public void Several_references_are_ids_and_texts_together()
    {
        Called both = Called.With(["ablate", "--kind", "mean", "--reference-text", "w9", "--reference", "1,8,3", .. Input, "--json"]);
        Assert.Equal((0, ""), (both.Code, both.Error));
        Assert.Equal(Called.With(["ablate", "--kind", "mean", "--reference", "1,8,3", "--reference", "1,9", .. Input, "--json"]), both);
    }

    [Fact]
    public void Documents_and_tables_say_what_tokens_stand_for()
    {
        JsonElement ablated = Called.Json(["ablate", "--token", "7", "--minus", "3", "--at", "2", .. Input]);
        Assert.Equal(("w7", 7), (ablated.GetProperty("token").GetProperty("token").GetString(), ablated.GetProperty("token").Int("id")));
        Assert.Equal("a\nb", ablated.GetProperty("minus").GetProperty("token").GetString());
        Assert.Equal(2, ablated.Int("position"));
        Assert.Equal(["<s>", "w17", "w4", "w50", "w6"], ablated.Items("tokens").Select(token => token.GetString()));
        string table = Called.Text(["ablate", "--token", "7", "--minus", "3", "--at", "2", .. Input]);
        Assert.Contains("The logit of 7 (w7) less 3 (a\\nb) with each head zeroed", table);
        Assert.Contains(", at position 2 (w4).", table);
        Assert.Contains("1 w17  2 w4  3 w50", table);
        Assert.DoesNotContain("at position", Called.Text(["ablate", "--loss", .. Input]));

        string[] source = ["--source-text", "w17 w9 w50 w6"];
        JsonElement patched = Called.Json(["patch", .. source, .. Input]);
        Assert.Equal(["<s>", "w17", "w9", "w50", "w6"], patched.Items("source_tokens").Select(token => token.GetString()));
        int likeliest = patched.GetProperty("token").Int("id");
        Assert.Equal(JsonValueKind.Null, patched.GetProperty("minus").ValueKind);
        table = Called.Text(["patch", "--top", "1000", .. source, .. Input]);
        Assert.Contains($"The logit of {likeliest} ({WordModel.Piece(likeliest)}) with attn.z taken from the source", table);
        Assert.Contains("The source has 2 w9", table);
        // The column of the source's tokens is filled where they are other than the input's.
        string[] rows = [.. table.Split('\n').Where(line => line.Contains('%'))];
        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Equal(row.Contains("w4"), row.Contains("w9")));
        string paths = Called.Text(["patch", "--sender", "0.1", "--token", "7", .. source, .. Input]);
        Assert.Contains("The logit of 7 (w7) with L0H1 taken from the source", paths);
        Assert.Contains("The source has 2 w9", paths);
        Assert.Contains("The source is the same input: nothing can differ.", Called.Text(["patch", "--source-text", "w17 w4 w50 w6", .. Input]));
    }

    [Fact]
    public void What_does_not_fit_is_said_in_one_line()
    {
        Refused(1, "--source-text is 3 tokens long and the input 5: they are compared position by position, give one of 5 (arrakis tokenize shows a text's)", ["patch", "--source-text", "w17 w9"]);
        Refused(1, "--reference-text is 2 tokens long and the input 5: ", ["ablate", "--kind", "resample", "--reference", "1,2,3,4,5", "--reference-text", "w17"]);
        Refused(2, "--reference is for --kind mean or resample: name one of them, or leave it out", ["ablate", "--reference-text", "w17"]);
        Refused(1, "--source-text is empty, and nothing is put before it: give at least one character", ["patch", "--source-text", "", "--no-bos"]);
        Refused(2, "--no-bos goes with --text: ids are taken as they are", ["patch", "--source", "1,2", "--no-bos"], InputIds);
        File.Delete(_words.Folder.File("tokenizer.json"));
        Refused(1, "has no tokenizer: a model folder holds tokenizer.json or tokenizer.model: name another with --tokenizer PATH", ["patch", "--source-text", "w17"], InputIds);
        JsonElement ids = Called.Json(["patch", "--source", "1,17,9,50,6", .. InputIds]);
        Assert.All(new[] { ids.GetProperty("tokens"), ids.GetProperty("source_tokens"), ids.GetProperty("token").GetProperty("token") }, e => Assert.Equal(JsonValueKind.Null, e.ValueKind));
        Assert.DoesNotContain("(", Called.Text(["ablate", "--token", "7", .. InputIds]).Split('\n')[0]);

        void Refused(int code, string says, string[] call, string[]? input = null)
        {
            Called called = Called.With([.. call, .. input ?? Input]);
            Assert.Equal((code, ""), (called.Code, called.Output));
            Assert.StartsWith("arrakis: ", called.Error);
            Assert.Contains(says, called.Error);
            Assert.Single(called.Error.TrimEnd('\n').Split('\n'));
        }
    }
}
