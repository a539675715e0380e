using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The models that the project made itself and ships beside the command, found by name from any working directory.</summary>
internal static class Bundled
{
    /// <summary>What is run where no model is named.</summary>
    public const string Default = "tales";

    private static string Root => Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>Their names, the default first.</summary>
    public static string Listed { get; } = string.Join(", ", Names());

    /// <summary>The path of a model: of the bundled one of that name where nothing of that name is at hand.</summary>
    /// <exception cref="ArrakisException">There is neither.</exception>
    public static string PathOf(string? model)
    {
        if (model is not null && Path.Exists(model))
            return model;
        return Names().Contains(model ?? Default)
            ? Path.Combine(Root, model ?? Default)
            : throw new ArrakisException($"--model {model ?? Default} does not exist: name a model's folder or its .gguf or .bin file, or a bundled model ({Listed})");
    }

    /// <summary>Opens a path, or the bundled model of that name where nothing of that name is at hand.</summary>
    public static LlamaModel Open(string? model) => LlamaModel.Load(PathOf(model), model ?? Default);

    private static IEnumerable<string> Names() =>
        Directory.Exists(Root) ? Directory.GetDirectories(Root).Select(folder => Path.GetFileName(folder)).OrderBy(name => name != Default).ThenBy(name => name, StringComparer.Ordinal) : [];
}
