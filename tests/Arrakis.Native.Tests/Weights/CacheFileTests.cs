using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

/// <summary>Files that are safetensors, and no saved run of any model.</summary>
public class CacheFileTests
{
    [Theory]
    [InlineData("[1, 2]", "blocks.00.hook_resid_mid", "tensor blocks.00.hook_resid_mid has no hook point's name")]
    [InlineData("[1, 2]", "blocks.+1.hook_resid_mid", "tensor blocks.+1.hook_resid_mid has no hook point's name")]
    [InlineData("[1, 2]", "blocks..hook_resid_mid", "tensor blocks..hook_resid_mid has no hook point's name")]
    [InlineData("[1, 2]", "blocks.2147483647.hook_resid_mid", "tensor blocks.2147483647.hook_resid_mid is of layer 2147483647, and at most 1048576 layers are read")]
    [InlineData("[1, 2]", "blocks.1048576.hook_resid_mid", "is of layer 1048576")]
    [InlineData("[1, 2]", "blocks.2147483648.hook_resid_mid", "has no hook point's name")]
    [InlineData("[1, -2]", "blocks.1.hook_resid_mid", "ids is '[1, -2]', which is not a list of token ids: a run has at least one, and none is negative")]
    [InlineData("[]", "blocks.1.hook_resid_mid", "ids is '[]', which is not a list of token ids")]
    [InlineData("[1, 2147483648]", "blocks.1.hook_resid_mid", "which is not a list of token ids")]
    public void What_is_no_run_is_refused(string ids, string second, string why)
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, ids, second);
        Refusal.Of(path, () => ActivationCache.Load(path), why);
    }

    [Fact]
    public void The_last_layer_that_a_file_may_name_is_soon_averaged()
    {
        using var folder = new TemporaryFolder();
        ActivationCache cache = ActivationCache.Load(Write(folder, "[1, 2]", "blocks.1048575.hook_resid_mid"));
        Assert.Equal(["blocks.0.hook_resid_mid", "blocks.1048575.hook_resid_mid"], cache.Names);
        var means = new ActivationMeans(perPosition: false, HookPoint.ResidMid);
        means.Add(cache);
        Assert.Equal(cache.Flat(HookPoint.ResidMid)[..3].ToArray(), means.Flat(HookPoint.ResidMid, 1048575).ToArray());
        ArrakisException missing = Assert.Throws<ArrakisException>(() => cache.Flat(HookPoint.ResidMid, 1).Length);
        Assert.Equal("blocks.1.hook_resid_mid is not recorded: the recording has 'resid_mid' of layers 0, 1048575", missing.Message);
    }

    // Two tokens of three ones.
    private static string Write(TemporaryFolder folder, string ids, string second)
    {
        var writer = new SafetensorsWriter { Metadata = { ["format"] = "arrakis-cache", ["version"] = "1", ["ids"] = ids } };
        writer.Add("blocks.0.hook_resid_mid", 2, 3);
        writer.Add(second, 2, 3);
        writer.Write(folder.File("cache.safetensors"), _ => [1, 1, 1, 1, 1, 1]);
        return folder.File("cache.safetensors");
    }
}
