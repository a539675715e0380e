using System.CommandLine;

namespace Arrakis.Cli.Commands;

/// <summary>The command itself. Called without another it tells the story of one prompt.</summary>
internal sealed class ArrakisCommand : RootCommand
{
    public ArrakisCommand(Terminal terminal)
        : base("Takes apart what a Llama's attention heads write, read and carry. Alone: the story of one prompt.")
    {
        var input = new Input(terminal);
        Add(Verbose);
        input.AddTo(this);
        SetAction(new StoryAction(terminal, input).Run);
        Add(new InfoCommand(terminal, input));
        Add(new RunCommand(terminal, input));
        Add(new GenerateCommand(terminal, input));
        Add(new TokenizeCommand(terminal, input));
        Add(new HeadsCommand(terminal, input));
        Add(new FlowCommand(terminal, input));
        Add(new RoutesCommand(terminal, input));
        Add(new ComposeCommand(terminal, input));
        Add(new AblateCommand(terminal, input));
        Add(new PatchCommand(terminal, input));
        Add(new ReportCommand(terminal, input));
        Add(new BenchCommand(terminal, input));
        Add(new ExperimentsCommand(terminal, input));
    }

    public Option<bool> Verbose { get; } = new("--verbose") { Description = "Show where an error came from", Recursive = true };
}
