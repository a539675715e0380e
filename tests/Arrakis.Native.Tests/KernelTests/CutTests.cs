using Arrakis.Native.Kernels;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>How the tokens of a product are divided.</summary>
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
            for (int parts = 0; parts <= 5; parts++)
            {
                Cut cut = Cut.Of(tokens, lanes, mostVectors, parts);
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
    [InlineData(127, 4, ElementType.F32, 1)]
    [InlineData(128, 4, ElementType.F32, 2)]
    [InlineData(128, 4, ElementType.Q8_0, 1)]
    [InlineData(128, 3, ElementType.F32, 1)]
    [InlineData(512, 2, ElementType.F32, 1)]
    [InlineData(200, 8, ElementType.F32, 3)]
    [InlineData(512, 8, ElementType.F16, 4)]
    public void Two_workers_at_least_have_a_part_in_common_and_it_is_long(int tokens, int workers, ElementType type, int parts)
    {
        Cut cut = MatrixProduct<VectorKernels>.CutOf(tokens, workers, type);
        Assert.Equal(parts, cut.Parts);
        Assert.Equal(0, cut.Panels % parts);
        int[] lengths = [.. Enumerable.Range(0, parts).Select(part => cut.Start(cut.FirstPanel(part + 1)) - cut.Start(cut.FirstPanel(part)))];
        Assert.InRange(lengths.Max() - lengths.Min(), 0, cut.Lanes);
    }

    // In vectors of sixteen and panels of three: 2 + 2, 3 + 3 + 2 and 3 + 2 + 2 are 4, 4 + 4 and 4 + 3 of wide ones; the others are no fewer, or full but for one.
    [Theory]
    [InlineData(48, false)]
    [InlineData(64, true)]
    [InlineData(80, false)]
    [InlineData(112, true)]
    [InlineData(128, true)]
    [InlineData(144, false)]
    [InlineData(512, false)]
    public void Wide_panels_are_for_tokens_of_which_others_would_be_uneven(int tokens, bool wide)
    {
        bool has = Avx512Kernels.WideVectors > 0;
        Cut cut = MatrixProduct<Avx512Kernels>.CutOf(tokens, workers: 1, ElementType.F32);
        Assert.Equal(wide && has, cut.Wide);
        Assert.InRange(cut.Width(0), 1, 16 * (cut.Wide ? 4 : 3));
    }

    [Fact]
    public void Of_no_tokens_there_is_no_panel_and_no_part()
    {
        Cut cut = Cut.Of(0, lanes: 16, mostVectors: 3, mostParts: 2);
        Assert.Equal((0, 0), (cut.Panels, cut.Parts));
    }
}
