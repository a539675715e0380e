using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Arrakis.Native.Tests.Support;
using Arrakis.Native.Weights;

namespace Arrakis.Native.Tests.Weights;

public class SafetensorsTests
{
    [Theory]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "not valid JSON")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} x", 8, "not valid JSON")]
    [InlineData("{\"a\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "not valid JSON")]
    [InlineData("[1]", 0, "header is not a JSON object")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 16, "tensor a stands twice")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a has a dtype that stands twice")]
    [InlineData("{\"a\":7}", 0, "tensor a is a Number in the header")]
    [InlineData("{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a is of dtype F33")]
    [InlineData("{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a has a dtype")]
    [InlineData("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a has no dtype")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor a has no shape")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor a has no data_offsets")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":\"2\",\"data_offsets\":[0,8]}}", 8, "tensor a has a shape that is no array")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "tensor a has a shape with a value")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "tensor a has a shape with a value")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}", 8, "tensor a has a shape with a value")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, "tensor a has shape [4294967296, 4294967296], whose product overflows")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,8]}}", 8, "whose product overflows")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "tensor a of F32 and shape [3] takes 12 bytes, and data_offsets [0, 8] hold 8")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "tensor a has data_offsets [8, 0]")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "tensor a has data_offsets [0]")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]}}", 8, "tensor a has data_offsets [0, 16], past the end of the data at 8")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775800,9223372036854775807]}}", 8, "past the end of the data at 8")]
    [InlineData("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "tensor a of F4 and shape [3] takes 12 bits")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[4,12]}}", 12, "tensor b begins at 4 and overlaps tensor a, which ends at 8")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,12]}}", 12, "tensor b begins at 8, and the bytes from 4 belong to no tensor")]
    [InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 12, "the last 8 of its")]
    [InlineData("{\"__metadata__\":{\"n\":1}}", 0, "__metadata__ n is a Number")]
    [InlineData("{\"__metadata__\":[]}", 0, "__metadata__ is a StartArray")]
    [InlineData("{\"__metadata__\":{\"n\":\"1\",\"n\":\"2\"}}", 0, "__metadata__ n stands twice")]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "key __metadata__ stands twice")]
    [InlineData("{\"a\\u001b[31m\\n\\u202e\":7}", 0, "tensor a\\u001b[31m\\u000a\\u202e is a Number")]
    public void A_header_that_lies_is_refused(string header, int dataLength, string part)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.safetensors", ModelFiles.Safetensors(header, new byte[dataLength]));
        Refusal.Of(path, () => SafetensorsFile.Open(path), part);
    }

    [Fact]
    public void A_header_that_nests_without_end_is_refused()
    {
        using var folder = new TemporaryFolder();
        string deep = "{\"a\":{\"x\":" + new string('[', 1_000_000);
        string path = folder.Write("a.safetensors", ModelFiles.Safetensors(deep, []));
        Refusal.Of(path, () => SafetensorsFile.Open(path), "not valid JSON");
    }

    [Fact]
    public void A_header_that_is_no_utf8_is_refused()
    {
        using var folder = new TemporaryFolder();
        byte[] header = Encoding.Latin1.GetBytes("{\"a\u00ff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        string path = folder.Write("a.safetensors", ModelFiles.Safetensors(header, []));
        Refusal.Of(path, () => SafetensorsFile.Open(path), "not valid JSON");
    }

    [Theory]
    [InlineData(1000UL, "header length 1000 is more than the 2 bytes that follow it")]
    [InlineData(100_000_001UL, "header length 100000001 is more than safetensors' 100000000")]
    [InlineData(ulong.MaxValue, "header length 18446744073709551615")]
    [InlineData(0UL, "header is not a JSON object")]
    public void A_header_length_that_lies_is_refused(ulong length, string part)
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = ModelFiles.Safetensors("{}", []);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        string path = folder.Write("a.safetensors", bytes);
        Refusal.Of(path, () => SafetensorsFile.Open(path), part);
        Refusal.Of(folder.Write("short", [1, 2, 3]), () => SafetensorsFile.Open(folder.File("short")), "3 bytes long");
    }

    [Fact]
    public void Empty_tensors_and_scalars_are_tensors()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.safetensors", ModelFiles.Safetensors([("none", "F32", [0, 7], []), ("one", "F32", [], [0, 0, 128, 63]), ("nothing", "BF16", [0], [])]));
        using var file = SafetensorsFile.Open(path);
        Assert.Equal(3, file.Tensors.Count);
        Assert.True(file.Floats("none").IsEmpty);
        Assert.Equal(1, file.Floats("one")[0]);
        Refusal.Of(path, () => file.Floats("two"), "tensor two is missing");
        Refusal.Of(path, () => file.Floats("nothing"), "tensor nothing is of type BF16, where F32 is wanted");
    }

    [Fact]
    public void A_name_of_any_length_is_shortened_in_a_message()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a.safetensors", ModelFiles.Safetensors($"{{\"{new string('x', 100_000)}\":7}}", []));
        Refusal.Of(path, () => SafetensorsFile.Open(path), "xxx…");
    }

    [Theory]
    [InlineData("../x.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("a/../../x.safetensors")]
    [InlineData("..\\x.safetensors")]
    [InlineData("C:x.safetensors")]
    [InlineData("")]
    [InlineData(".")]
    public void A_shard_outside_the_folder_is_refused(string shard)
    {
        using var folder = new TemporaryFolder();
        string index = WriteIndex(folder, new JsonObject { ["model.norm.weight"] = shard });
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "tensor model.norm.weight", "is in shard " + shard, "supported is a file in the folder");
    }

    [Fact]
    public void An_index_that_lies_is_refused()
    {
        using var folder = new TemporaryFolder();
        string index = WriteIndex(folder, new JsonObject { ["model.norm.weight"] = "model-00001-of-00002.safetensors" });
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "tensor model.norm.weight is in shard model-00001-of-00002.safetensors, which does not exist");

        string shard = folder.Write("model-00001-of-00002.safetensors", ModelFiles.Safetensors([("other", "F32", [1], new byte[4])]));
        Refusal.Of(shard, () => ModelSource.Open(folder.Path), "tensor model.norm.weight is missing");

        WriteIndex(folder, new JsonObject { ["model.norm.weight"] = 7 });
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "weight_map.model.norm.weight is 7: supported is a string");
        WriteIndex(folder, new JsonObject { ["model.norm.weight"] = null });
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "weight_map.model.norm.weight is null");
        WriteIndex(folder, null);
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "weight_map is missing");
        WriteIndex(folder, []);
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "tensor model.embed_tokens.weight is missing");
        folder.Write("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"b\",\"a\":\"c\"}}");
        Refusal.Of(index, () => ModelSource.Open(folder.Path), "weight_map.a stands twice");
    }

    private static string WriteIndex(TemporaryFolder folder, JsonObject? map)
    {
        folder.Write("config.json", ModelFiles.ConfigJson(ModelFiles.Small).ToJsonString());
        return folder.Write("model.safetensors.index.json", new JsonObject { ["weight_map"] = map }.ToJsonString());
    }
}
