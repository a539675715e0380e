using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The strongest of the edges that pass by, against sorting all of them.</summary>
public sealed unsafe class FlowEdgesTests
{
    // Flows of few sizes and both signs, so that most are equal to others, and some carry nothing.
    [Fact]
    public void The_strongest_are_kept_and_of_equal_ones_the_first() =>
        Gen.Select(Gen.Int[-2, 2].Select(i => (float)i).Array[1, 5].Array[1, 8], Gen.Int[0, 12]).Sample((queries, limit) =>
        {
            FlowEdges kept = new(null, limit), all = new(null, null);
            FlowEdge[] passed = [.. queries.SelectMany((flows, t) => flows.Select((flow, s) => new FlowEdge(0, t % 3, t, 10 + s, flow)))];
            for (int t = 0; t < queries.Length; t++)
            {
                Assert.Equal(queries[t].Sum(), kept.Add(0, t % 3, t, 10, queries[t]));
                all.Add(0, t % 3, t, 10, queries[t]);
            }

            // OrderBy is stable: of equal ones the first to pass comes first.
            FlowEdge[] strongest = [.. passed.Where(e => e.Flow != 0).OrderByDescending(e => Math.Abs(e.Flow))];
            Assert.Equal(Listed(strongest.Take(limit)), kept.Sorted());
            Assert.Equal(Listed(strongest), all.Sorted());
            for (int head = 0; head < 3; head++)
                Assert.Equal(strongest.Where(e => e.Head == head).Select(e => (FlowEdge?)e).FirstOrDefault(), kept.Strongest(0, head));
        }, iter: 2000);

    private static IEnumerable<FlowEdge> Listed(IEnumerable<FlowEdge> edges) => edges.OrderByDescending(e => Math.Abs(e.Flow)).ThenBy(e => (e.Layer, e.Head, e.Query, e.Key));
}
