using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Arrakis.Cli.Views;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis info</c>: what the model is.</summary>
internal sealed class InfoCommand : Command
{
    private readonly Terminal _terminal;
    private readonly Input _input;

    public InfoCommand(Terminal terminal, Input input)
        : base("info", "What the model is")
    {
        (_terminal, _input) = (terminal, input);
        input.AddTo(this);
        SetAction(Run);
    }

    /// <summary>A shape under the names of the contract.</summary>
    public static JsonObject Describe(string name, string? architecture, LlamaConfig? c, long parameters, long bytes, JsonObject dtypes) => new()
    {
        ["model"] = name,
        ["architecture"] = architecture,
        ["layers"] = c?.NumHiddenLayers,
        ["heads"] = c?.NumAttentionHeads,
        ["kv_heads"] = c?.NumKeyValueHeads,
        ["head_dim"] = c?.HeadDim,
        ["hidden_size"] = c?.HiddenSize,
        ["intermediate_size"] = c?.IntermediateSize,
        ["vocab_size"] = c?.VocabSize,
        ["context"] = c?.MaxPositionEmbeddings,
        ["norm_eps"] = c is null ? null : double.Parse(c.RmsNormEps.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture),
        ["rope"] = c is null ? null : new JsonObject
        {
            ["theta"] = c.RopeTheta,
            ["layout"] = c.RotaryLayout == RotaryLayout.Halves ? "halves" : "pairs",
            ["scaling"] = Scaling(c.RopeScaling),
        },
        ["tied"] = c?.TieWordEmbeddings,
        ["parameters"] = parameters,
        ["bytes"] = bytes,
        ["dtypes"] = dtypes,
    };

    private void Run(ParseResult call)
    {
        bool json = call.GetValue(_input.Json);
        _input.WarnIfGiven(call, _terminal, "info");
        if (call.GetValue(_input.Model) is { } path && OpenVocabulary(path) is { } vocabulary)
        {
            using (vocabulary)
            {
                LlamaConfig? config = vocabulary.Architecture == "llama" ? GgufConfig.Read(vocabulary) : null;
                PlainView.Write(_terminal, json, Describe(path, vocabulary.Architecture, config, 0, 0, []));
            }

            return;
        }

        using LlamaModel model = _input.OpenModel(call);
        var dtypes = new JsonObject();
        foreach ((string type, int count) in model.CountTensorsByType())
            dtypes[type] = count;
        PlainView.Write(_terminal, json, Describe(model.Name, "llama", model.Config, model.Config.ParameterCount, model.WeightBytes, dtypes), ("dtypes", "tensors of each"));
    }

    /// <summary>A GGUF file that holds a vocabulary and no weights; null for anything else.</summary>
    private static GgufFile? OpenVocabulary(string path)
    {
        if (!path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) || !File.Exists(path))
            return null;
        GgufFile file = GgufFile.Open(path);
        if (file.Tensors.Count == 0)
            return file;
        file.Dispose();
        return null;
    }

    private static JsonObject? Scaling(RopeScaling scaling) => scaling.Kind switch
    {
        RopeScalingKind.Linear => new JsonObject { ["type"] = "linear", ["factor"] = scaling.Factor },
        RopeScalingKind.Llama3 => new JsonObject
        {
            ["type"] = "llama3",
            ["factor"] = scaling.Factor,
            ["low_freq_factor"] = scaling.LowFreqFactor,
            ["high_freq_factor"] = scaling.HighFreqFactor,
            ["original_max_position_embeddings"] = scaling.OriginalMaxPositionEmbeddings,
        },
        _ => null,
    };
}
