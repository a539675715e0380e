using Arrakis.Native.Kernels;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>How tokens are shared out among workers.</summary>
public sealed class CutTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 2)]
    [InlineData(8, 2)]
    [InlineData(16, 3)]
    public void Panels_follow_each_other_and_are_as_equal_as_vectors_can_be(int lanes, int mostVectors)
    {
        for (int tokens = 1; tokens <= 600; tokens++)
        {
            for (int workers = 1; workers <= 5; workers++)
            {
                Cut cut = Cut.Of(tokens, lanes, mostVectors, workers, leastPart: 64);
                int[] widths = [.. Enumerable.Range(0, cut.Panels).Select(cut.Width)];
                Assert.InRange(widths.Min(), lanes, lanes * mostVectors);
                Assert.InRange(widths.Max(), widths.Min(), Math.Min(widths.Min() + lanes, lanes * mostVectors));
                Assert.Equal(tokens, Enumerable.Range(0, cut.Panels).Sum(cut.Count));
                Assert.Equal(0, cut.Start(0));
                for (int token = 0; token < tokens; token++)
                    Assert.InRange(token, cut.Start(cut.PanelOf(token)), cut.Start(cut.PanelOf(token)) + cut.Count(cut.PanelOf(token)) - 1);
            }
        }
    }

    [Theory]
    [InlineData(63, 2, 1)]
    [InlineData(127, 2, 1)]
    [InlineData(128, 2, 2)]
    [InlineData(128, 1, 1)]
    [InlineData(200, 8, 3)]
    public void Workers_have_parts_to_themselves_where_these_are_long_enough(int tokens, int workers, int parts)
    {
        Cut cut = Cut.Of(tokens, lanes: 16, mostVectors: 3, workers, leastPart: 64);
        Assert.Equal(parts, cut.Parts);
        Assert.Equal(0, cut.Panels % parts);
        int[] lengths = [.. Enumerable.Range(0, parts).Select(part => cut.Start(cut.FirstPanel(part + 1)) - cut.Start(cut.FirstPanel(part)))];
        Assert.InRange(lengths.Max() - lengths.Min(), 0, cut.Lanes);
    }

    [Fact]
    public void Of_no_tokens_there_is_no_panel_and_no_part()
    {
        Cut cut = Cut.Of(0, lanes: 16, mostVectors: 3, workers: 2, leastPart: 64);
        Assert.Equal((0, 0), (cut.Panels, cut.Parts));
    }
}
