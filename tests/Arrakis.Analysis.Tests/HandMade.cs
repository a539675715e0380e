using Arrakis.Native;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Analysis.Tests;

/// <summary>Caches of no run: what a measure makes of numbers that are known.</summary>
internal static class HandMade
{
    public static ActivationCache Cache(int[] ids, params (string Name, long[] Shape, float[] Values)[] tensors)
    {
        var writer = new SafetensorsWriter
        {
            Metadata = { ["format"] = "arrakis-cache", ["version"] = "1", ["ids"] = $"[{string.Join(",", ids)}]" },
        };
        foreach ((string name, long[] shape, _) in tensors)
            writer.Add(name, shape);
        using var folder = new TemporaryFolder();
        writer.Write(folder.File("cache.safetensors"), index => tensors[index].Values);
        return ActivationCache.Load(folder.File("cache.safetensors"));
    }

    /// <summary>A run's cache as it comes out of a file.</summary>
    public static ActivationCache Saved(ActivationCache run)
    {
        using var folder = new TemporaryFolder();
        run.Save(folder.File("cache.safetensors"));
        return ActivationCache.Load(folder.File("cache.safetensors"));
    }

    /// <summary>A run's numbers in a file that does not say of which model they are.</summary>
    public static ActivationCache Unsaid(ActivationCache run) => Like(run, name => run.Flat(name).ToArray());

    /// <summary>A run's cache with nothing in it: every activation is 0, and every norm divides by 1.</summary>
    public static ActivationCache Nothing(ActivationCache run) => Like(run, name =>
    {
        float[] values = new float[run.Flat(name).Length];
        Array.Fill(values, name.EndsWith("hook_scale", StringComparison.Ordinal) ? 1 : 0);
        return values;
    });

    private static ActivationCache Like(ActivationCache run, Func<string, float[]> values) =>
        Cache(run.Ids.ToArray(), [.. run.Names.Select(name => (name, run[name].Lengths.ToArray().Select(length => (long)length).ToArray(), values(name)))]);
}
