using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Arrakis.Experiments;

/// <summary>One run of an experiment, as it is logged.</summary>
public sealed record ExperimentRecord
{
    /// <summary>SHA-256 of <see cref="Content"/>'s canonical JSON, in lower-case hexadecimal: two runs are of one version where nothing that it holds differs.</summary>
    public required string Version { get; init; }

    /// <summary>What was asked, of what, by which code, and what came of it.</summary>
    public required ExperimentContent Content { get; init; }

    /// <summary>When it began, in UTC.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>How long it took.</summary>
    public required double Seconds { get; init; }

    /// <summary>What the model is called.</summary>
    public required string Model { get; init; }

    /// <summary>The seed of the model's random weights; null where they were loaded.</summary>
    public ulong? ModelSeed { get; init; }

    /// <summary>The instructions that it ran with: between them results differ by rounding.</summary>
    public required string Kernels { get; init; }

    /// <summary>The line of the source file on which the experiment stood.</summary>
    public required int Line { get; init; }

    /// <summary>Where a pass of the model spent its time, if the experiment asked for it.</summary>
    public ModelProfile? Profile { get; init; }
}

/// <summary>What makes a version: everything about a run that does not change when it is repeated.</summary>
public sealed record ExperimentContent
{
    /// <summary>The experiment's name.</summary>
    public required string Experiment { get; init; }

    /// <summary>Its arguments by name.</summary>
    public required JsonObject Arguments { get; init; }

    /// <summary>The tools it asked for, in the order in which it first did.</summary>
    public required IReadOnlyList<string> Tools { get; init; }

    /// <summary>The token ids of the recorded pass that the first of those tools looked at; null where none did.</summary>
    public IReadOnlyList<int>? Input { get; init; }

    /// <summary>Those of every other pass that a tool looked at, or could because it ran after, in order and each once; null, and not in the file, where there was no other.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<IReadOnlyList<int>>? MoreInputs { get; init; }

    /// <summary><see cref="HookedAutoModel.Hash"/>.</summary>
    public required string ModelHash { get; init; }

    /// <summary>The seed of the experiment's own random choices.</summary>
    public required int Seed { get; init; }

    /// <summary>The code.</summary>
    public required ExperimentSource Source { get; init; }

    /// <summary>What it returned. A number that JSON lacks stands as <c>"NaN"</c>, <c>"Infinity"</c> or <c>"-Infinity"</c>.</summary>
    public JsonNode? Result { get; init; }

    /// <summary>The exception that it ended in; null where it returned.</summary>
    public ExperimentFailure? Failure { get; init; }
}

/// <summary>Where an experiment stands in the source, and its text.</summary>
/// <param name="File">The file's name, without its folder.</param>
/// <param name="Member">The bench and its method.</param>
/// <param name="Text">What was run, as it is written there.</param>
public sealed record ExperimentSource(string File, string Member, string Text);

/// <summary>What ended an experiment.</summary>
/// <param name="Type">The exception's type.</param>
/// <param name="Message">Its message.</param>
public sealed record ExperimentFailure(string Type, string Message);

/// <summary>A file of the log: its format, so that no other is taken for one, and the record.</summary>
internal sealed record ExperimentFile(string Format, ExperimentRecord Record)
{
    public const string Current = "arrakis-experiment/1";
}

// What is missing, or null where it may not be, is refused rather than made up; what a later version may add is not.
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, MaxDepth = Depth,
    RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true, WriteIndented = true)]
[JsonSerializable(typeof(ExperimentFile))]
internal sealed partial class RecordJson : JsonSerializerContext
{
    /// <summary>How deep a file may nest; a result may a little less.</summary>
    public const int Depth = 256;

    /// <summary>For people who read the file: text as it is, the experiment's source above all.</summary>
    public static RecordJson Readable => field ??= new(new JsonSerializerOptions(Default.Options!) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
