using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;

namespace Arrakis.Native.Tests;

/// <summary>A saved run is of the model with these weights, whatever that is called by now.</summary>
public sealed class CacheOriginTests : IDisposable
{
    private static readonly int[] s_ids = [1, 2, 3, 4];
    private static readonly LlamaConfig s_config = ModelFiles.Small;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Tensors => [.. ModelFiles.Tensors(s_config).Select(tensor => tensor.Name)];

    private string Saved => _folder.File("run.safetensors");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_is_its_model_s_after_the_model_was_renamed()
    {
        float[] result = SaveRun(Write("here/model"));
        Directory.Move(_folder.File("here"), _folder.File("there"));
        Directory.Move(_folder.File("there/model"), _folder.File("there/other"));
        using LlamaModel model = LlamaModel.Load(_folder.File("there/other"));
        Assert.Equal(result, model.LoadCache(Saved).Flat(HookPoint.Result, 1).ToArray());
    }

    [Fact]
    public void A_run_of_the_same_seed_is_the_same_model_s_and_of_another_seed_is_not()
    {
        using LlamaModel model = LlamaModel.CreateRandom(s_config, 1), same = LlamaModel.CreateRandom(s_config, 1), other = LlamaModel.CreateRandom(s_config, 2);
        float[] result = SaveRun(model);
        Assert.Equal(result, same.LoadCache(Saved).Flat(HookPoint.Result, 1).ToArray());
        Refused(other);
    }

    /// <summary>One tensor that is another makes another model.</summary>
    [Theory]
    [MemberData(nameof(Tensors))]
    public void A_run_of_another_model_of_the_same_name_is_refused(string changed)
    {
        SaveRun(Write("here/model"));
        using LlamaModel other = LlamaModel.Load(Write("there/model", changed: changed)), same = LlamaModel.Load(Write("again/model"));
        Refused(other);
        same.LoadCache(Saved);
    }

    /// <summary>So does a shape that no tensor shows.</summary>
    [Fact]
    public void A_run_of_the_same_weights_turned_otherwise_is_refused()
    {
        SaveRun(Write("here/model"));
        JsonObject json = ModelFiles.ConfigJson(s_config);
        json["rope_theta"] = 20_000.0;
        using LlamaModel other = LlamaModel.Load(Write("there/model", json));
        Refused(other);
    }

    /// <summary>A file that another program wrote need not say what its weights are; its model's name tells then, as far as it does.</summary>
    [Fact]
    public void Without_a_fingerprint_the_name_decides()
    {
        SaveRun(Write("here/model"));
        byte[] file = File.ReadAllBytes(Saved);
        Encoding.UTF8.GetBytes("\"nothing\"").CopyTo(file, file.AsSpan().IndexOf(Encoding.UTF8.GetBytes("\"weights\"")));
        File.WriteAllBytes(Saved, file);
        using LlamaModel same = LlamaModel.Load(Write("there/model")), renamed = LlamaModel.Load(Write("there/other"));
        same.LoadCache(Saved);
        string here = _folder.File("here/model");
        Assert.Equal($"{Saved}: this is no run of this model: it is of '{here}'", Assert.ThrowsAny<ArrakisException>(() => renamed.LoadCache(Saved)).Message);
    }

    [Fact]
    public void A_run_that_was_loaded_and_saved_again_keeps_its_fingerprint()
    {
        SaveRun(Write("here/model"));
        ActivationCache.Load(Saved).Save(Saved);
        using LlamaModel other = LlamaModel.Load(Write("there/model", changed: "model.norm.weight"));
        Refused(other);
    }

    /// <summary>Its weights are unmapped: they are not read for a fingerprint, and one that was taken before stays.</summary>
    [Fact]
    public void The_fingerprint_of_a_model_that_was_disposed_is_the_one_that_was_taken_before()
    {
        SaveRun(Write("here/model"));
        LlamaModel model = LlamaModel.Load(_folder.File("here/model")), asked = LlamaModel.Load(_folder.File("here/model"));
        string fingerprint = asked.Fingerprint()!;
        var means = new ActivationMeans(perPosition: true, HookPoint.Z);
        using (LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options()))
        {
            session.Forward(s_ids);
            means.Add(session.Cache);
        }

        model.Dispose();
        asked.Dispose();
        Assert.Null(model.Fingerprint());
        Assert.Equal(fingerprint, asked.Fingerprint());
        means.Add(ActivationCache.Load(Saved));
        Assert.Equal(2, means.Runs);
    }

    private void Refused(LlamaModel model) =>
        Assert.Equal($"{Saved}: this is no run of this model: its weights are others", Assert.ThrowsAny<ArrakisException>(() => model.LoadCache(Saved)).Message);

    private float[] SaveRun(string path)
    {
        using LlamaModel model = LlamaModel.Load(path);
        return SaveRun(model);
    }

    private float[] SaveRun(LlamaModel model)
    {
        using LlamaSession session = model.CreateSession(RecordingPlan.Heads, Engine.Options());
        session.Forward(s_ids);
        session.Cache.Save(Saved);
        return session.Cache.Flat(HookPoint.Result, 1).ToArray();
    }

    /// <summary>A folder with the model, or with one that has one tensor half as large again.</summary>
    private string Write(string name, JsonObject? json = null, string? changed = null)
    {
        List<(string Name, string Type, long[] Shape, byte[] Data)> tensors = ModelFiles.Tensors(s_config);
        foreach ((_, _, _, byte[] data) in tensors.Where(tensor => tensor.Name == changed))
        {
            foreach (ref float number in MemoryMarshal.Cast<byte, float>(data.AsSpan()))
                number *= 1.5f;
        }


        string folder = Directory.CreateDirectory(_folder.File(name)).FullName;
        File.WriteAllText(Path.Combine(folder, "config.json"), (json ?? ModelFiles.ConfigJson(s_config)).ToJsonString());
        File.WriteAllBytes(Path.Combine(folder, "model.safetensors"), ModelFiles.Safetensors(tensors));
        return folder;
    }
}
