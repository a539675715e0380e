using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests.Reference;

/// <summary>The reference model against the golden activations, which another program computed.</summary>
public sealed class GoldenHookTests
{
    // The file holds F32 roundings of doubles: half a unit in the last place is 6e-8 of a value. What is allowed beyond is for its
    // configuration in double, where ours holds ε as a float.
    private const double Tolerance = 1e-7;

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Every_hook_equals_the_golden_one(string name)
    {
        GoldenCase golden = Golden.Load(name);
        ReferenceRun run = golden.Run();

        Assert.Equal(golden.Hooks.Keys.Order(StringComparer.Ordinal), run.Names.Order(StringComparer.Ordinal));
        foreach ((string hook, TestTensor expected) in golden.Hooks)
        {
            Assert.Equal(expected.Shape, run.Shape(hook));
            Close.ToLargest(expected.Values, run[hook], Tolerance, $"{name} {hook}");
        }
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void The_ids_of_both_files_are_the_same(string name)
    {
        GoldenCase golden = Golden.Load(name);
        string metadata = TestSafetensors.ReadMetadata(Path.Combine(golden.Folder, "expected.safetensors"))["ids"];
        Assert.Equal($"[{string.Join(", ", golden.Ids)}]", metadata);
    }
}
