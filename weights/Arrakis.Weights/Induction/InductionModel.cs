using System.Text.Json.Nodes;
using Arrakis.Native.Weights;

namespace Arrakis.Weights.Induction;

/// <summary>Writes the hand-built model as a Hugging Face folder.</summary>
internal static class InductionModel
{
    /// <summary>Writes <c>config.json</c> and <c>model.safetensors</c>; the same bits every time.</summary>
    public static void Write(string folder, int kvHeads)
    {
        Directory.CreateDirectory(folder);
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["model_type"] = "llama",
            ["hidden_act"] = "silu",
            ["hidden_size"] = InductionCircuit.Hidden,
            ["intermediate_size"] = InductionCircuit.Intermediate,
            ["num_hidden_layers"] = InductionCircuit.Layers,
            ["num_attention_heads"] = InductionCircuit.Heads,
            ["num_key_value_heads"] = kvHeads,
            ["head_dim"] = InductionCircuit.HeadDim,
            ["vocab_size"] = InductionCircuit.Vocabulary,
            ["max_position_embeddings"] = InductionCircuit.Context,
            ["rms_norm_eps"] = InductionCircuit.NormEpsilon,
            ["rope_theta"] = InductionCircuit.RopeTheta,
            ["tie_word_embeddings"] = false,
            ["attention_bias"] = false,
            ["mlp_bias"] = false,
            ["bos_token_id"] = 0,
            ["eos_token_id"] = null,
            ["torch_dtype"] = "float32",
        };
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString(new() { WriteIndented = true, NewLine = "\n" }) + "\n");

        IReadOnlyDictionary<string, (int Rows, int Columns, float[] Values)> tensors = new InductionCircuit(kvHeads).Build();
        var writer = new SafetensorsWriter { Metadata = { ["format"] = "pt" } };
        foreach ((string name, (int rows, int columns, _)) in tensors)
        {
            if (rows == 1)
                writer.Add(name, columns);
            else
                writer.Add(name, rows, columns);
        }

        float[][] values = [.. tensors.Values.Select(tensor => tensor.Values)];
        writer.Write(Path.Combine(folder, "model.safetensors"), index => values[index]);
    }
}
