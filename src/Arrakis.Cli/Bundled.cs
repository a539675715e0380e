using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The models that the project made itself and ships beside the command, found by name from any working directory.</summary>
internal static class Bundled
{
    /// <summary>What is run where no model is named.</summary>
    public const string Default = "tales";

    private static string Root => Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>The path of a model: of the bundled one of that name where nothing of that name is at hand.</summary>
    public static string PathOf(string? model) =>
        IsName(model) ? Path.Combine(Root, model ?? Default) : model!;

    /// <summary>Opens a path, or the bundled model of that name where nothing of that name is at hand.</summary>
    public static LlamaModel Open(string? model)
    {
        string name = model ?? Default;
        return IsName(model) ? LlamaModel.Load(Path.Combine(Root, name), name) : LlamaModel.Load(name);
    }

    private static bool IsName(string? model) => model is null || (!Path.Exists(model) && Names().Contains(model));

    private static IEnumerable<string> Names() => Directory.Exists(Root) ? Directory.GetDirectories(Root).Select(folder => Path.GetFileName(folder)) : [];
}
