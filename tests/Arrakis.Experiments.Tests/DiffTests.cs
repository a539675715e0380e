using System.Text.Json.Nodes;
using Arrakis.Native;

namespace Arrakis.Experiments.Tests;

public sealed class DiffTests : OnSmallModel
{
    [Fact]
    public void What_differs_is_listed_value_by_value_and_numbers_within_the_tolerance_are_counted()
    {
        var bench = new Bench(Model, Folder.Path);
        string before = Log("""{"same":1,"near":1.0,"far":2,"gone":true,"list":[1,2,3],"deep":{"text":"a"},"kind":5}""", seed: 1, x: 3);
        string after = Log("""{"same":1.0,"near":1.000001,"far":4,"new":"b","list":[1,2],"deep":{"text":"b"},"kind":"5"}""", seed: 2, x: 4);
        ExperimentDiff diff = bench.Compare(before, after, tolerance: 1e-5);
        Assert.Equal(
            [
                ("arguments.x", "3", "4", 0.25), ("result.deep.text", "\"a\"", "\"b\"", null), ("result.far", "2", "4", 0.5), ("result.gone", "true", null, null),
                ("result.kind", "5", "\"5\"", null), ("result.list[2]", "3", null, null), ("result.new", null, "\"b\"", null), ("seed", "1", "2", 0.5),
            ],
            diff.Changes.Select(c => (c.Path, c.Before?.ToJsonString(), c.After?.ToJsonString(), c.Difference)).OrderBy(c => c.Path, StringComparer.Ordinal));
        Assert.Equal((1, 1e-5), (diff.WithinTolerance, diff.Tolerance));
        Assert.Contains(bench.Compare(before, after).Changes, change => change.Path == "result.near");

        ExperimentDiff none = bench.Compare(before, before);
        Assert.Equal((0, 0), (none.Changes.Count, none.WithinTolerance));
        Assert.Equal("the tolerance is -1: use 0 or more", Assert.Throws<ArrakisException>(() => bench.Compare(before, after, tolerance: -1)).Message);

        string Log(string result, int seed, int x)
        {
            bench.LogExperiment(new JsonObject { ["x"] = x }, _ => JsonNode.Parse(result)!.AsObject(), seed, experiment: "Compared");
            return bench.ListVersions("Compared")[^1];
        }
    }

    [Fact]
    public void A_failure_and_another_code_are_differences_too()
    {
        var bench = new Bench(Model, Folder.Path);
        bench.LogExperiment([], _ => new JsonObject { ["x"] = 1 }, experiment: "Compared");
        Assert.Throws<InvalidOperationException>(() => bench.LogExperiment([], _ => throw new InvalidOperationException("out of luck"), experiment: "Compared"));
        IReadOnlyList<string> versions = bench.ListVersions("Compared");
        Assert.Equal(["failure", "result", "source.text"], bench.Compare(versions[0], versions[1]).Changes.Select(change => change.Path).Order(StringComparer.Ordinal));
    }
}
