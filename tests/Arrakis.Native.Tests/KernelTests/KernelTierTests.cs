using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests.KernelTests;

/// <summary>Every kernel of every tier that this machine has, at every small length and off every alignment.</summary>
public sealed class KernelTierTests
{
    [Theory]
    [MemberData(nameof(Engine.TiersByType), MemberType = typeof(Engine))]
    public void Dots(KernelTier tier, ElementType type) => KernelChecks.Of(tier).Dots(type);

    [Theory]
    [MemberData(nameof(Engine.TiersByType), MemberType = typeof(Engine))]
    public void Widen_has_the_bits_of_the_specification(KernelTier tier, ElementType type) => KernelChecks.Of(tier).Widen(type);

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Widen_has_the_bits_of_the_specification_for_all_16_bit_numbers(KernelTier tier)
    {
        KernelChecks.Of(tier).WidenAll(ElementType.F16);
        KernelChecks.Of(tier).WidenAll(ElementType.BF16);
    }

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void WeightedSum(KernelTier tier) => KernelChecks.Of(tier).WeightedSum();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Rotate(KernelTier tier)
    {
        KernelChecks.Of(tier).Rotate(RotaryLayout.Halves);
        KernelChecks.Of(tier).Rotate(RotaryLayout.Pairs);
    }

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Normalize(KernelTier tier) => KernelChecks.Of(tier).Normalize();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Multiply_Add_and_Scale_are_exact(KernelTier tier) => KernelChecks.Of(tier).Elementwise();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void SiluMultiply(KernelTier tier) => KernelChecks.Of(tier).SiluMultiply();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Softmax(KernelTier tier) => KernelChecks.Of(tier).Softmax();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Transpose_is_exact_and_leaves_what_lies_between_the_rows(KernelTier tier) => KernelChecks.Of(tier).Transpose();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Tile(KernelTier tier) => KernelChecks.Of(tier).Tile();

    [Theory]
    [MemberData(nameof(Engine.Tiers), MemberType = typeof(Engine))]
    public void Columns_of_scores_become_patterns_of_what_each_query_sees(KernelTier tier) => KernelChecks.Of(tier).Columns();
}
